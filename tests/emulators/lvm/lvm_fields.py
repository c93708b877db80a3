"""The fields of ``lvs``, ``vgs`` and ``pvs``: names, headings, which are numbers."""

EMPTY = (
    "lv_name", "lv_attr", "lv_size", "lv_uuid", "lv_full_name", "lv_path", "lv_dm_path", "lv_parent", "lv_layout", "lv_role", "lv_active",
    "lv_health_status", "lv_permissions", "lv_tags", "lv_image_synced", "lv_initial_image_sync", "sync_percent", "copy_percent",
    "raid_sync_action", "raid_mismatch_count", "origin", "origin_uuid", "data_percent", "snap_percent", "metadata_percent",
    "lv_snapshot_invalid", "lv_skip_activation", "lv_device_open", "lv_suspended", "pool_lv", "move_pv", "mirror_log", "convert_lv",
    "seg_count", "segtype", "devices", "lv_merging", "lv_converting", "lv_merge_failed", "lv_lockargs", "lv_autoactivation",
)  # fmt: skip
VG = ("vg_name", "vg_attr", "vg_uuid", "vg_tags", "pv_count", "lv_count", "snap_count", "vg_size", "vg_free", "vg_fmt", "vg_extent_size", "vg_extent_count",
      "vg_free_count", "vg_exported", "vg_partial", "vg_missing_pv_count")  # fmt: skip
PV = (
    "pv_name",
    "pv_uuid",
    "pv_fmt",
    "pv_attr",
    "pv_size",
    "pv_free",
    "dev_size",
    "pv_missing",
    "pv_tags",
    "pv_exported",
    "pv_used",
    "pv_in_use",
    "pv_duplicate",
)
DEFAULT = {
    "lvs": ("lv_name", "vg_name", "lv_attr", "lv_size", "pool_lv", "origin", "data_percent", "metadata_percent", "move_pv", "mirror_log", "copy_percent", "convert_lv"),
    "vgs": ("vg_name", "pv_count", "lv_count", "snap_count", "vg_attr", "vg_size", "vg_free"),
    "pvs": ("pv_name", "vg_name", "pv_fmt", "pv_attr", "pv_size", "pv_free"),
}  # fmt: skip
HEADS = {
    "lv_name": "LV", "vg_name": "VG", "lv_attr": "Attr", "lv_size": "LSize", "pool_lv": "Pool", "origin": "Origin", "data_percent": "Data%", "metadata_percent": "Meta%",
    "move_pv": "Move", "mirror_log": "Log", "copy_percent": "Cpy%Sync", "sync_percent": "Cpy%Sync", "convert_lv": "Convert", "lv_uuid": "LV UUID", "lv_path": "Path",
    "lv_dm_path": "DMPath", "lv_device_open": "DevOpen", "lv_suspended": "Suspended", "lv_full_name": "LV", "lv_parent": "Parent", "lv_layout": "Layout", "lv_role": "Role",
    "lv_active": "Active", "lv_health_status": "Health", "lv_permissions": "LPerms", "lv_tags": "LV Tags", "lv_image_synced": "ImgSynced",
    "lv_initial_image_sync": "InitImgSync", "raid_sync_action": "SyncAction", "raid_mismatch_count": "Mismatches", "origin_uuid": "Origin UUID", "snap_percent": "Snap%",
    "lv_snapshot_invalid": "SnapInvalid", "lv_skip_activation": "SkipAct", "devices": "Devices", "segtype": "Type", "seg_count": "#Seg", "vg_attr": "Attr", "vg_uuid": "VG UUID",
    "pv_count": "#PV", "lv_count": "#LV", "snap_count": "#SN", "vg_size": "VSize", "vg_free": "VFree", "vg_tags": "VG Tags", "vg_exported": "Exported", "vg_partial": "Partial",
    "vg_missing_pv_count": "#PV Missing", "vg_fmt": "Fmt", "vg_extent_size": "Ext", "vg_extent_count": "#Ext", "vg_free_count": "Free", "pv_name": "PV", "pv_fmt": "Fmt",
    "pv_attr": "Attr", "pv_size": "PSize", "pv_free": "PFree", "pv_uuid": "PV UUID", "dev_size": "DevSize", "pv_missing": "Missing", "pv_tags": "PV Tags", "pv_exported": "Exported",
    "pv_used": "Used", "pv_in_use": "PInUse", "pv_duplicate": "Duplicate", "lv_merging": "Merging", "lv_converting": "Converting", "lv_merge_failed": "MergeFailed",
    "lv_lockargs": "Lock Args", "lv_autoactivation": "AutoAct",
}  # fmt: skip
SIZES = ("lv_size", "vg_size", "vg_free", "vg_extent_size", "pv_size", "pv_free", "dev_size", "pv_used")
NUMBERS = (
    *SIZES,
    "pv_count",
    "lv_count",
    "snap_count",
    "seg_count",
    "vg_missing_pv_count",
    "vg_extent_count",
    "vg_free_count",
    "raid_mismatch_count",
)
KINDS = {"lvs": (EMPTY + VG, "lv_"), "vgs": (VG, "vg_"), "pvs": (PV + VG, "pv_")}
REAL_TOO = ("lv_all", "vg_all", "pv_all", "lv_time", "lv_host", "lv_modules", "lv_kernel_major", "lv_kernel_minor", "lv_read_ahead", "lv_profile", "lv_major", "lv_minor", "seg_size",
            "stripes", "seg_pe_ranges", "lv_ancestors", "lv_descendants", "lv_live_table", "lv_inactive_table", "kernel_discards", "lv_when_full", "region_size")  # fmt: skip
