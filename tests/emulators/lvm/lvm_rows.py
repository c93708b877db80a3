"""One row for each volume, part, group and disk: every field that is modelled."""

import parts
from lvm_fields import EMPTY
from lvm_state import action, disk_path, is_partial, is_synced, missing, opened, paths, sees, use, uuid

HEALTH = {"p": "partial", "r": "refresh needed", "m": "mismatches exist", "-": ""}
META_BYTES = 4 * 2**20


class Look:
    """What one machine sees of a state."""

    def __init__(self, store, state, machine):
        self.store, self.state, self.machine, self.known = store, state, machine, opened()

    def volumes(self, group):
        """Rows of all its volumes and their parts, by name."""
        rows = []
        for volume in group["volumes"].values():
            rows.append(self._main(group, volume))
            if volume["kind"] == "raid":
                for number in range(len(volume["places"])):
                    rows += [self._image(group, volume, number), self._meta(group, volume, number)]
            elif volume["kind"] == "pool":
                rows += self._pool_parts(group, volume)
        return sorted(rows, key=lambda row: row["lv_name"].strip("[]"))

    def _base(self, group, name, size, tags=(), **more):
        near, far = paths(self.state, group, name, self.machine)
        row = dict.fromkeys(EMPTY, "")
        row.update(
            lv_name=name,
            vg_name=group["name"],
            lv_full_name=f"{group['name']}/{name}",
            lv_uuid=uuid(group["uuid"], name),
        )
        row.update(lv_size=size, lv_path=near, lv_dm_path=far, lv_tags=",".join(tags), seg_count="1", **more)
        row.update({key: value for key, value in self.group(group).items() if key.startswith("vg_")})
        return row

    def _main(self, group, volume):
        kind, here = volume["kind"], self.machine in volume["active"]
        row = self._base(
            group, volume["name"], parts.size_of(volume["image"]) if kind != "pool" else volume["room"], volume["tags"]
        )
        snapshots = [one for one in group["volumes"].values() if one.get("origin") == volume["name"]]
        thick, thin = ([one for one in snapshots if one["kind"] == what] for what in ("thick", "thin"))
        health = self._health(group, volume)
        first = (
            "o"
            if thick or (thin and kind == "thin")
            else {"raid": "R" if volume["nosync"] else "r", "thick": "s", "thin": "V", "pool": "t"}.get(kind, "-")
        )
        bits = [first, "r" if volume["read_only"] else "w", "i", "-", "a" if here else "-", "-"]
        bits[4] = "I" if here and volume.get("invalid") else bits[4]
        if here and (
            kind == "pool"
            or (
                kind != "pool"
                and not volume.get("invalid")
                and use(self.store, volume["image"], self.machine, self.known)
            )
        ):
            bits[5] = "o"
        target = {"raid": "r-", "thick": "s-", "thin": "tz", "pool": "tz"}.get(kind, "s-" if thick else "--")
        row["lv_attr"] = "".join(bits) + target + (health or "-") + ("k" if volume["skip"] else "-")
        row.update(
            lv_active="active" if here else "",
            lv_health_status=HEALTH.get(health, ""),
            lv_device_open="open" if bits[5] == "o" else "" if here else "unknown",
        )
        row.update(lv_permissions=("read-only" if volume["read_only"] else "writeable") if here else "unknown")
        row.update(
            lv_layout=self._layout(volume),
            lv_role=self._role(volume, thick, thin),
            devices=self._devices(group, volume),
        )
        row.update(segtype={"raid": "raid1", "thin": "thin", "pool": "thin-pool"}.get(kind, "linear"))
        row["lv_snapshot_invalid"] = (
            ("snapshot invalid" if volume.get("invalid") else "") if kind == "thick" else "unknown"
        )
        self._percents(row, group, volume, here)
        if health == "s":
            row["lv_health_status"] = "snapshot invalid"
            row["lv_attr"] = row["lv_attr"][:8] + "-" + row["lv_attr"][9:]
        return row

    def _health(self, group, volume):
        if is_partial(group, volume, self.machine):
            return "p"
        if volume["kind"] == "thick" and volume.get("invalid"):
            return "s"
        if volume.get("health", "-") != "-":
            return volume["health"]
        return "m" if volume.get("mismatches") else ""

    def _layout(self, volume):
        return {"raid": "raid,raid1", "thin": "thin,sparse", "pool": "thin,pool"}.get(volume["kind"], "linear")

    def _role(self, volume, thick, thin):
        if volume["kind"] == "pool":
            return "private"
        words = ["public"]
        if volume["kind"] == "thick":
            words += ["snapshot", "thicksnapshot"]
        if volume["kind"] == "thin" and volume["origin"]:
            words += ["snapshot", "thinsnapshot"]
        thin = thin if volume["kind"] == "thin" else []
        words += ["origin"] if thick or thin else []
        words += ["thinorigin"] if thin else []
        words += ["multithinorigin"] if len(thin) > 1 else []
        words += ["thickorigin"] if thick else []
        return ",".join(words + (["multithickorigin"] if len(thick) > 1 else []))

    def _devices(self, group, volume):
        if volume["kind"] == "raid":
            return ",".join(f"{volume['name']}_rimage_{n}(0)" for n in range(len(volume["places"])))
        if volume["kind"] == "pool":
            return f"{volume['name']}_tdata(0)"
        return "" if volume["kind"] == "thin" else self._disk(group, volume["places"][0], 1)

    def _disk(self, group, place, extent):
        disk = group["disks"][place]
        return f"{disk_path(self.state, disk, self.machine) if sees(disk, self.machine) else '[unknown]'}({extent})"

    def _percents(self, row, group, volume, here):
        if volume["kind"] == "raid":
            row["lv_initial_image_sync"] = "" if volume["nosync"] else "initial image sync"
            if here:
                percent = volume["stuck"] if volume.get("stuck") is not None else parts.percent(volume["pair"])
                row["sync_percent"] = row["copy_percent"] = f"{float(percent):.2f}"
                if volume.get("action"):
                    row["sync_percent"] = row["copy_percent"] = "0.00"
                row["raid_sync_action"], row["raid_mismatch_count"] = action(volume), str(volume.get("mismatches", 0))
        elif volume["kind"] == "thick":
            row["origin"], row["origin_uuid"] = volume["origin"], uuid(group["uuid"], volume["origin"])
            full = 100 * len(volume["filled"]) * parts.BLOCK / volume["room"]
            if here:
                row["data_percent"] = row["snap_percent"] = f"{100.0 if volume['invalid'] else full:.2f}"
        elif volume["kind"] in ("thin", "pool"):
            row["origin"], row["pool_lv"] = volume["origin"] or "", "pool" if volume["kind"] == "thin" else ""
            row["lv_skip_activation"] = "skip activation" if volume["skip"] else ""
            row["data_percent"] = "50.00" if here else ""
            row["metadata_percent"] = "10.94" if volume["kind"] == "pool" else ""

    def _image(self, group, volume, number):
        is_tracked, here = volume["tracked"] == number, self.machine in volume["active"]
        name = f"{volume['name']}_rimage_{number}"
        row = self._base(group, name, parts.size_of(volume["image"]), lv_parent="" if is_tracked else volume["name"])
        alone = volume["leg_active"].get(self.machine) == number
        is_active = alone or (here and not is_tracked)
        last = number == volume["copied"]
        good = here and not is_tracked and (is_synced(volume) or not (last or volume.get("is_first")))
        is_lost = is_partial(group, volume, self.machine, number)
        is_open = bool(is_active and (use(self.store, volume["copy"], self.machine, self.known) if alone else here))
        health = "p" if is_lost else "r" if alone and not here else "-"
        row["lv_attr"] = (
            f"{'i' if good else 'I'}{'r' if is_tracked else 'w'}i-{'a' if is_active else '-'}{'o' if is_open else '-'}r-{health}-"
        )
        if not is_tracked:
            row.update(lv_name=f"[{name}]", lv_path="")
        row.update(
            lv_active="active" if is_active else "",
            lv_health_status=HEALTH[health],
            lv_device_open="open" if is_open else "" if is_active else "unknown",
        )
        row.update(
            lv_permissions="read-only" if is_tracked else "writeable" if is_active else "unknown",
            lv_role="private,raid,image",
            lv_layout="linear",
            segtype="linear",
        )
        row.update(
            lv_image_synced="image synced" if good else "",
            devices=self._disk(group, volume["places"][number], 1),
            lv_snapshot_invalid="unknown",
        )
        return row

    def _meta(self, group, volume, number):
        name, here = f"{volume['name']}_rmeta_{number}", self.machine in volume["active"]
        row = self._base(group, name, META_BYTES, lv_parent=volume["name"])
        is_lost = is_partial(group, volume, self.machine, number)
        is_open = here and volume["tracked"] != number
        row["lv_attr"] = f"ewi-{'a' if here else '-'}{'o' if is_open else '-'}r-{'p' if is_lost else '-'}-"
        row.update(
            lv_name=f"[{name}]",
            lv_path="",
            lv_active="active" if here else "",
            lv_permissions="writeable" if here else "unknown",
            lv_snapshot_invalid="unknown",
        )
        row.update(
            lv_device_open="open" if is_open else "" if here else "unknown",
            lv_health_status="partial" if is_lost else "",
            segtype="linear",
        )
        row.update(
            lv_role="private,raid,metadata", lv_layout="linear", devices=self._disk(group, volume["places"][number], 0)
        )
        return row

    def _pool_parts(self, group, volume):
        for suffix, attr, role in (
            ("_tdata", "Twi-ao----", "private,thin,pool,data"),
            ("_tmeta", "ewi-ao----", "private,thin,pool,metadata"),
        ):
            row = self._base(
                group,
                volume["name"] + suffix,
                volume["room"] if suffix == "_tdata" else META_BYTES,
                lv_parent=volume["name"],
            )
            row.update(
                lv_name=f"[{row['lv_name']}]",
                lv_path="",
                lv_attr=attr,
                lv_role=role,
                lv_layout="linear",
                lv_active="active",
                segtype="linear",
            )
            yield {
                **row,
                "lv_permissions": "writeable",
                "lv_device_open": "open",
                "devices": self._disk(group, volume["places"][0], 1),
            }

    # -- groups, disks --

    def group(self, group):
        gone = missing(group, self.machine)
        attr = f"wz{'x' if group['exported'] else '-'}{'p' if gone else '-'}n-"
        row = {"vg_name": group["name"], "vg_attr": attr, "vg_uuid": group["uuid"], "vg_tags": ",".join(group["tags"])}
        shown = [
            row
            for volume in group["volumes"].values()
            for row in ([volume] if volume["tracked"] is None else [volume, volume])
        ]
        row.update(
            pv_count=str(len(group["disks"])),
            lv_count=str(len(shown)),
            snap_count=str(sum(v["kind"] == "thick" for v in group["volumes"].values())),
        )
        row.update(
            vg_size=group["room"] * len(group["disks"]),
            vg_free=group["room"],
            vg_fmt="lvm2",
            vg_extent_size=group["extent"],
        )
        row.update(
            vg_extent_count=str(group["room"] * len(group["disks"]) // group["extent"]),
            vg_free_count=str(group["room"] // group["extent"]),
        )
        row.update(
            vg_exported="exported" if group["exported"] else "",
            vg_partial="partial" if gone else "",
            vg_missing_pv_count=str(len(gone)),
        )
        return row

    def disks(self, group):
        for disk in group["disks"].values():
            is_here = sees(disk, self.machine)
            row = {
                "pv_name": disk_path(self.state, disk, self.machine) if is_here else "[unknown]",
                "pv_uuid": disk["uuid"],
                "pv_fmt": "lvm2",
            }
            row.update(
                pv_attr=f"a{'x' if group['exported'] else '-'}{'-' if is_here else 'm'}",
                pv_size=group["room"],
                pv_free=group["room"] // 2,
            )
            row.update(
                dev_size=group["room"] + META_BYTES if is_here else 0,
                pv_missing="" if is_here else "missing",
                pv_tags="",
                pv_exported="exported" if group["exported"] else "",
            )
            row.update(pv_used=group["room"] // 2, pv_in_use="used", pv_duplicate="")
            yield {**row, **self.group(group)}

    def is_hidden(self, row):
        return row["lv_name"].startswith("[")
