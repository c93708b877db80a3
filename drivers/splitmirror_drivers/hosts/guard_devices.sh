# Built-in verb: host.devices. What a block device is known as, and what it stands on: partitions, LVM, md, multipath,
# btrfs over several devices and ZFS pools. Sources: sysfs-block, sysfs(5); zpool-list(8). Without /sys only the names that were given.

# For each DEVICE device = DEVICE TAB NODE; for each node below it, once: id = NODE TAB ID, below = NODE TAB NODE,
# beside = NODE TAB NODE (what one filesystem spans too). NODE is MAJOR:MINOR, zfs:POOL, or - for what is neither.
host_devices() { # DEVICE...
  sm_known=' ' sm_queue=''
  for sm_w in "$@"; do
    if sm_number_of "$sm_w"; then
      sm_node=$sm_number
    elif sm_is_pool "${sm_w%%/*}"; then
      sm_node=zfs:${sm_w%%/*}
    else
      sm_node=-
    fi
    fact device "$sm_w$sm_tab$sm_node"
    [ "$sm_node" = - ] || sm_queue="$sm_queue $sm_node"
  done
  while [ -n "$sm_queue" ]; do
    sm_queue=${sm_queue# }
    sm_node=${sm_queue%% *}
    case $sm_queue in *' '*) sm_queue=${sm_queue#* } ;; *) sm_queue='' ;; esac
    case $sm_known in *" $sm_node "*) continue ;; esac
    sm_known="$sm_known$sm_node "
    case $sm_node in
    zfs:*) sm_pool_devices "${sm_node#zfs:}" ;;
    *) sm_block_device "/sys/dev/block/$sm_node" ;;
    esac
  done
  return 0
}

sm_number_of() { # PATH: sm_number is MAJOR:MINOR of the block device it leads to; 1 when it is none
  [ -b "$1" ] || return 1
  # shellcheck disable=SC2012 # ls is what every system has for it
  sm_row=$(ls -ldnL -- "$1" 2>/dev/null)
  set -f
  # shellcheck disable=SC2086 # split on purpose
  set -- $sm_row
  set +f
  [ "$#" -ge 6 ] || return 1
  sm_number=${5%,}:$6
}

sm_stands_on() { # WORD OTHER-NODE: fact WORD of sm_node, and the other is looked at too
  fact "$1" "$sm_node$sm_tab$2"
  sm_queue="${sm_queue:+$sm_queue }$2"
}

sm_block_device() { # SYSFS-FOLDER of sm_node
  for sm_w in "$1/wwid" "$1/device/wwid" "$1/dm/uuid"; do
    if sm_slurp "$sm_w"; then sm_world_wide "$sm_line"; fi
  done
  for sm_w in "$1"/slaves/*/dev; do
    if sm_slurp "$sm_w"; then sm_stands_on below "$sm_line"; fi
  done
  if [ -e "$1/partition" ] && sm_slurp "$1/../dev"; then sm_stands_on below "$sm_line"; fi
  for sm_w in /sys/fs/btrfs/*/devices/*/dev; do
    if ! sm_slurp "$sm_w" || [ "$sm_line" != "$sm_node" ]; then continue; fi
    for sm_d in "${sm_w%/*/dev}"/*/dev; do
      if sm_slurp "$sm_d" && [ "$sm_line" != "$sm_node" ]; then sm_stands_on beside "$sm_line"; fi
    done
  done
  return 0
}

sm_world_wide() { # TEXT of the kernel: the name that the whole network knows it by, if it is one
  case $1 in
  naa.* | eui.*) fact id "$sm_node${sm_tab}wwn:$(sm_lower "${1#*.}")" ;;
  mpath-[23]?*) fact id "$sm_node${sm_tab}wwn:$(sm_lower "${1#mpath-?}")" ;; # 3: NAA, 2: EUI-64 (multipath's names)
  esac
}

sm_lower() { printf %s "$1" | tr ABCDEF abcdef; }

sm_is_pool() { # NAME
  case $1 in '' | -* | *[!A-Za-z0-9_.:-]*) return 1 ;; esac
  sm_has zpool && zpool list -H -o name "$1" >/dev/null 2>&1 </dev/null
}

sm_pool_devices() { # POOL
  sm_row=$(zpool list -v -H -P -L "$1" 2>/dev/null </dev/null) || return 0
  while read -r sm_w _; do
    case $sm_w in /*) sm_number_of "$sm_w" && sm_stands_on below "$sm_number" ;; esac
  done <<END
$sm_row
END
  return 0
}
