# Filesystems: frozen over a split with fsfreeze; and, for presentations and arrays on any host, what is mounted where
# and who has a copy open.
#
# A freeze has no owner, no time-out and no query: FIFREEZE answers EBUSY when it is frozen, FITHAW answers EINVAL when it
# is not; fsfreeze exits with 1 for both and says which (fsfreeze(8); tried: util-linux 2.38, busybox 1.35, kernel 6.18).
# It acts on the whole filesystem that a path lies in, so a path that is not mounted would freeze another one: the mount
# is looked up right before. A filesystem is named by its numbers, MAJOR:MINOR, the third field of mountinfo (proc(5)).
# Unmounting a frozen filesystem succeeds and hides the freeze; a thaw goes through any mount of it that is left.
# shellcheck disable=SC2154 # the sm_ variables are the guard kit's

# ---- the hold: every verb begins with MOUNT NUMBERS TOKEN-FOLDER ----

filesystem_open() { # writes the run's token, by which a mounted copy is known again; the last free exit
  filesystem_is_there "$1" "$2" || {
    complain "$1 is not the mount that it was"
    return 1
  }
  printf '%s\n' "$SM_RUN" >"$SM_DIR/token" || return 1
  # a new file in place of whatever has that name, so that no link planted there is followed
  filesystem_bounded 10 cp --remove-destination -T "$SM_DIR/token" "$3/.splitmirror-run"
  case $? in
  0) ;;
  124)
    complain "$1 takes no writes: is it frozen already, by somebody else?"
    return 1
    ;;
  *)
    complain "cannot write $3/.splitmirror-run: $filesystem_said"
    return 1
    ;;
  esac
}

filesystem_warm() { sync -f "$1" 2>/dev/null || sync; } # dirty pages are paid for here, not inside the freeze

filesystem_enter() {
  filesystem_is_there "$1" "$2" || {
    complain "$1 is not the mount that it was"
    return 1
  }
  sm_clear "$SM_DIR/trying" || return 1
  if filesystem_said=$(fsfreeze --freeze "$1" 2>&1); then
    fact frozen "$1"
    return 0
  fi
  rm -f "$SM_DIR/trying"
  case $filesystem_said in
  *[Rr]"esource busy"*)
    complain "$1 is frozen already, and not by us; it is left as it is"
    return 2
    ;;
  esac
  complain "$filesystem_said"
  return 1
}

filesystem_leave() { filesystem_thaw "$1" "$2"; }

filesystem_rescue() { # what our record does not say is ours stays frozen
  [ "$SM_OWN" = yes ] || return 3
  if [ -d "$SM_DIR" ] && [ ! -e "$SM_DIR/trying" ]; then return 3; fi # never got as far as to freeze it
  filesystem_thaw "$1" "$2"
}

filesystem_thaw() { # MOUNT NUMBERS: 0 it was frozen, 3 it was not, 1 could not
  filesystem_way "$1" "$2" || return
  filesystem_said=$(fsfreeze --unfreeze "$filesystem_at" 2>&1) && return 0
  case $filesystem_said in *"Invalid argument"*) return 3 ;; esac
  complain "$filesystem_said"
  return 1
}

filesystem_way() { # MOUNT NUMBERS: filesystem_at is a mount of that filesystem, MOUNT where it is still one
  filesystem_at=''
  filesystem_is_there "$1" "$2" && filesystem_at=$1
  [ -z "$filesystem_at" ] || return 0
  filesystem_at=$filesystem_other
  [ -z "$filesystem_at" ] || return 0
  case $2 in
  0:*) ;;
  *) [ -e "/sys/dev/block/$2" ] || return 3 ;; # the device is gone, and the freeze with it
  esac
  complain "$1 was unmounted, perhaps while frozen: mount it again and run: fsfreeze --unfreeze $1"
  return 1
}

filesystem_is_there() { # MOUNT NUMBERS; filesystem_other is another mount of it. Builtins only: it runs on the way out
  filesystem_top='' filesystem_other=''
  while read -r filesystem_x filesystem_x filesystem_n filesystem_x filesystem_p filesystem_x; do
    sm_unescape "$filesystem_p"
    if [ "$sm_text" = "$1" ]; then
      filesystem_top=$filesystem_n
    elif [ "$filesystem_n" = "$2" ]; then
      filesystem_other=$sm_text
    fi
  done </proc/self/mountinfo
  [ "$filesystem_top" = "$2" ]
}

filesystem_bounded() { # SECONDS COMMAND...: 124 when it is not done by then; it may then hang for ever, holding nothing of ours
  filesystem_left=$(($1 * sm_naps))
  shift
  rm -f "$SM_DIR/bounded"
  (
    exec </dev/null >"$SM_DIR/bounded.said" 2>&1 3>&- 4>&- 5<&-
    "$@"
    echo "$?" >"$SM_DIR/bounded"
  ) &
  until [ -s "$SM_DIR/bounded" ]; do
    [ "$filesystem_left" -gt 0 ] || return 124
    sleep "$sm_nap"
    filesystem_left=$((filesystem_left - 1))
  done
  sm_slurp "$SM_DIR/bounded.said"
  filesystem_said=$sm_line
  sm_slurp "$SM_DIR/bounded"
  return "$sm_line"
}

# ---- what is there ----

filesystem_check() { # KEPT PATH...: every mount; where each PATH really lies; what must never be frozen (KEPT is one more)
  filesystem_kept=$1
  shift
  filesystem_table
  for filesystem_w in "$@"; do
    if sm_real "$filesystem_w"; then fact real "$filesystem_w$sm_tab$sm_path"; else fact missing "$filesystem_w"; fi
  done
  ! sm_has fsfreeze || fact program "$(command -v fsfreeze)"
  filesystem_vital "the root filesystem" /
  filesystem_vital "the guard's folder" "$SM_STATE"
  filesystem_vital "the journal" "$filesystem_kept"
  for filesystem_w in sh "${sm_shell%% *}" fsfreeze sync sleep cp rm mkdir cat ls ps kill sudo; do
    filesystem_vital "the program ${filesystem_w##*/}" "$(command -v "$filesystem_w" 2>/dev/null)"
  done
  for filesystem_w in /etc /usr /var /var/log /tmp /var/tmp /run /dev /proc /sys; do
    filesystem_vital "$filesystem_w" "$filesystem_w"
  done
  filesystem_vital "the home of the guard's account" "${HOME-}"
  if sm_is_word "${SUDO_USER-}"; then
    eval "filesystem_w=~$SUDO_USER"
    filesystem_vital "the home of the login's account" "$filesystem_w"
  fi
  while read -r filesystem_w filesystem_x; do
    sm_unescape "$filesystem_w"
    filesystem_vital "swap space" "$sm_text"
  done </proc/swaps
}

filesystem_vital() { # WHAT PATH
  case $2 in /*) ! sm_real "$2" || fact vital "$1$sm_tab$sm_path" ;; esac
}

filesystem_table() { # uid; each line of mountinfo; source = SOURCE TAB NUMBERS of btrfs devices; backing = NUMBERS TAB FILE of loops
  fact uid "$(id -u)"
  filesystem_mounts=$(cat /proc/self/mountinfo) || return 1
  fact mountinfo "$filesystem_mounts"
  filesystem_sources
  for filesystem_w in /sys/block/loop*/loop/backing_file; do
    sm_slurp "$filesystem_w" || continue
    filesystem_x=$sm_line
    sm_slurp "${filesystem_w%/loop/backing_file}/dev" && fact backing "$sm_line$sm_tab$filesystem_x"
  done
  return 0
}

filesystem_sources() { # a btrfs mount has numbers of its own; those of its device are found by its source
  filesystem_known=$sm_nl
  while read -r filesystem_row; do
    case $filesystem_row in *" - btrfs "*) ;; *) continue ;; esac
    filesystem_row=${filesystem_row##* - btrfs }
    sm_unescape "${filesystem_row%% *}"
    case $filesystem_known in *"$sm_nl$sm_text$sm_tab"*) continue ;; esac
    filesystem_numbers "$sm_text" || continue
    filesystem_known=$filesystem_known$sm_text$sm_tab$sm_nl
    fact source "$sm_text$sm_tab$filesystem_number"
  done <<END
$filesystem_mounts
END
}

filesystem_seen() { # PATH...: the table, and place = PATH TAB MODE TAB UID TAB REAL-PATH TAB NUMBERS-OF-BLOCK-DEVICE TAB CONTENT
  filesystem_table || return 1
  for filesystem_w in "$@"; do
    if [ ! -e "$filesystem_w" ] && [ ! -L "$filesystem_w" ]; then
      fact missing "$filesystem_w"
      continue
    fi
    filesystem_listed -ldn "$filesystem_w" || return 1
    filesystem_x=$filesystem_mode$sm_tab$filesystem_uid
    sm_real "$filesystem_w" || sm_path=-
    filesystem_numbers "$filesystem_w" || filesystem_number=-
    filesystem_content "$filesystem_w"
    fact place "$filesystem_w$sm_tab$filesystem_x$sm_tab$sm_path$sm_tab$filesystem_number$sm_tab$filesystem_holds"
  done
}

filesystem_listed() { # LS-OPTIONS PATH: filesystem_mode, _uid, _number (of a device)
  # shellcheck disable=SC2012 # ls is what every system has for mode and owner
  filesystem_row=$(ls "$1" -- "$2" 2>/dev/null)
  set -f
  # shellcheck disable=SC2086 # split on purpose
  set -- $filesystem_row
  set +f
  [ "$#" -ge 6 ] || return 1
  filesystem_mode=$1 filesystem_uid=$3 filesystem_number=${5%,}:$6
}

filesystem_numbers() { # PATH: filesystem_number is MAJOR:MINOR of the block device it leads to; 1 when it is none
  sm_number_of "$1" && filesystem_number=$sm_number
}

filesystem_content() { # PATH: filesystem_holds is empty or full of a folder, - of anything else
  filesystem_holds=-
  [ -d "$1" ] && [ ! -L "$1" ] || return 0
  filesystem_holds=empty
  for filesystem_row in "$1"/* "$1"/.[!.]* "$1"/..?*; do
    if [ -e "$filesystem_row" ] || [ -L "$filesystem_row" ]; then filesystem_holds=full; fi
  done
}

# ---- who has it open ----

filesystem_users() { # PATH-or-DEVICE...: user = PID TAB NAME TAB PATH; PID 0: a mount (other than at a PATH) or a holder
  filesystem_what=$sm_nl filesystem_devices=' ' filesystem_roots=$sm_nl filesystem_is_shown='' filesystem_grep=''
  filesystem_mounts=$(cat /proc/self/mountinfo) || return 1
  for filesystem_w in "$@"; do
    sm_real "$filesystem_w" || continue
    filesystem_what=$filesystem_what$filesystem_w$sm_nl$sm_path$sm_nl
    filesystem_grep="${filesystem_grep:+$filesystem_grep$sm_nl} $sm_path"
    if filesystem_numbers "$sm_path"; then
      filesystem_devices="$filesystem_devices$filesystem_number "
      for filesystem_x in "/sys/dev/block/$filesystem_number"/*/partition; do
        sm_slurp "${filesystem_x%/partition}/dev" && filesystem_devices="$filesystem_devices$sm_line "
      done
    elif [ -d "$sm_path" ]; then
      filesystem_root_of "$sm_path"
    fi
  done
  [ "$filesystem_what" != "$sm_nl" ] || return 0
  filesystem_mount_users 0 "$filesystem_mounts"
  [ -n "$filesystem_is_shown" ] || filesystem_elsewhere
  filesystem_holder_users
  filesystem_process_users
}

filesystem_user() { fact user "$1$sm_tab$2$sm_tab$3"; }

filesystem_is_named() { case $filesystem_what in *"$sm_nl$1$sm_nl"*) ;; *) return 1 ;; esac } # PATH: one of those asked about

filesystem_is_below() { # PATH: really below one of those asked about
  case $1 in /*) filesystem_up=$1 ;; *) return 1 ;; esac
  while filesystem_up=${filesystem_up%/*} && [ -n "$filesystem_up" ]; do
    filesystem_is_named "$filesystem_up" && return 0
  done
  return 1
}

filesystem_root_of() { # FOLDER: notes "NUMBERS PATH-WITHIN-ITS-FILESYSTEM", by which a bind mount of it is known
  filesystem_p=''
  while read -r filesystem_x filesystem_x filesystem_n filesystem_r filesystem_row; do
    sm_unescape "${filesystem_row%% *}"
    case $1/ in "${sm_text%/}"/*) ;; *) continue ;; esac
    [ "${#sm_text}" -ge "${#filesystem_p}" ] || continue
    filesystem_p=$sm_text filesystem_o=$filesystem_n
    sm_unescape "$filesystem_r"
    filesystem_t=$sm_text
  done <<END
$filesystem_mounts
END
  [ -n "$filesystem_p" ] || return 0
  filesystem_t=${filesystem_t%/}${1#"${filesystem_p%/}"}
  filesystem_roots=$filesystem_roots$filesystem_o$sm_tab${filesystem_t:-/}$sm_nl
}

filesystem_mount_users() { # PID TABLE: mounts of the devices or folders asked about; PID not 0: in that process's namespace
  while read -r filesystem_x filesystem_x filesystem_n filesystem_r filesystem_p filesystem_row; do
    sm_unescape "$filesystem_p"
    filesystem_p=$sm_text
    if filesystem_is_ours "$filesystem_n" "$filesystem_r" "$filesystem_row"; then
      if [ "$1" != 0 ]; then
        sm_slurp "/proc/$1/comm" || sm_line='?'
        filesystem_user "$1" "$sm_line" "$filesystem_p (mounted in its own namespace)"
      elif filesystem_is_named "$filesystem_p"; then
        filesystem_is_shown=yes
      else
        filesystem_user 0 mount "$filesystem_p"
      fi
    elif [ "$1" = 0 ] && filesystem_is_below "$filesystem_p"; then
      filesystem_user 0 mount "$filesystem_p"
    fi
  done <<END
$2
END
}

filesystem_is_ours() { # NUMBERS ROOT REST-OF-LINE: a mount of what was asked about
  case $filesystem_devices in *" $1 "*) return 0 ;; esac
  case $3 in
  *" - btrfs "*)
    filesystem_up=${3##* - btrfs }
    sm_unescape "${filesystem_up%% *}"
    filesystem_numbers "$sm_text" || filesystem_number=-
    case $filesystem_devices in *" $filesystem_number "*) return 0 ;; esac
    ;;
  esac
  case $filesystem_roots in *"$sm_nl$1$sm_tab"*) ;; *) return 1 ;; esac
  sm_unescape "$2"
  case $sm_text in /*) filesystem_up=${sm_text%/} ;; *) return 1 ;; esac
  while :; do
    case $filesystem_roots in *"$sm_nl$1$sm_tab${filesystem_up:-/}$sm_nl"*) return 0 ;; esac
    [ -n "$filesystem_up" ] || return 1
    filesystem_up=${filesystem_up%/*}
  done
}

filesystem_elsewhere() { # a namespace that was made while a copy was mounted may keep it, though it is mounted here no more
  # shellcheck disable=SC2012 # ls is what every system has for where a link leads
  ls -l /proc/self/ns/mnt /proc/[0-9]*/ns/mnt 2>/dev/null | awk '{
      split($0, half, " -> "); n = split(half[1], part, "/"); pid = part[n - 2]
      if (pid == "self") ours = half[2]; else if (!(half[2] in first)) first[half[2]] = pid
    } END { for (space in first) if (space != ours) print first[space] }' | while read -r filesystem_w; do
    filesystem_x=$(cat "/proc/$filesystem_w/mountinfo" 2>/dev/null) || continue
    ! filesystem_is_hinted "$filesystem_x" || filesystem_mount_users "$filesystem_w" "$filesystem_x"
  done
}

filesystem_is_hinted() { # TABLE: whether the numbers of anything asked about are in it at all
  set -f
  for filesystem_n in $filesystem_devices $filesystem_roots; do
    case $filesystem_n in *:*) ;; *) continue ;; esac
    case $1 in *" $filesystem_n "*) set +f && return 0 ;; esac
  done
  set +f
  return 1
}

filesystem_holder_users() {
  for filesystem_w in $filesystem_devices; do
    for filesystem_x in "/sys/dev/block/$filesystem_w"/holders/*; do
      [ -e "$filesystem_x" ] || continue
      sm_slurp "$filesystem_x/dm/name" || sm_line=${filesystem_x##*/}
      filesystem_user 0 "$sm_line" "block device $filesystem_w"
    done
  done
  for filesystem_x in /sys/fs/btrfs/*/devices/*/dev; do
    if [ -n "$filesystem_is_shown" ] || ! sm_slurp "$filesystem_x"; then continue; fi
    filesystem_w=${filesystem_x#/sys/fs/btrfs/}
    case $filesystem_devices in *" $sm_line "*) filesystem_user 0 "btrfs ${filesystem_w%%/*}" "block device $sm_line" ;; esac
  done
  for filesystem_x in /sys/block/loop*/loop/backing_file; do
    sm_slurp "$filesystem_x" || continue
    if filesystem_is_named "$sm_line" || filesystem_is_below "$sm_line"; then
      filesystem_x=${filesystem_x#/sys/block/}
      filesystem_user 0 "${filesystem_x%%/*}" "$sm_line"
    fi
  done
  while read -r filesystem_w filesystem_x; do
    sm_unescape "$filesystem_w"
    if filesystem_is_named "$sm_text" || filesystem_is_below "$sm_text"; then filesystem_user 0 swap "$sm_text"; fi
  done </proc/swaps
}

filesystem_process_users() { # three forks, whatever runs here: descriptors and folders, mappings, and what sorts them
  # shellcheck disable=SC2012 # ls is what every system has for where a link leads
  {
    ls -l /proc/[0-9]*/fd
    ls -l /proc/[0-9]*/cwd /proc/[0-9]*/root /proc/[0-9]*/exe
    grep -Fs "$filesystem_grep" /proc/[0-9]*/maps
  } 2>/dev/null | SM_WHAT=$filesystem_what awk '
    BEGIN { n = split(ENVIRON["SM_WHAT"], what, "\n") }
    /^\/proc\/[0-9]+\/fd:$/ { split($0, part, "/"); pid = part[3]; next }
    /^\/proc\/[0-9]+\/maps:/ { split($0, part, "/"); say(part[3], substr($0, index($0, " /") + 1)); next }
    at = index($0, " -> ") {
      who = pid
      if (match($0, /\/proc\/[0-9]+\/(cwd|root|exe) -> /)) { split(substr($0, RSTART), part, "/"); who = part[3] }
      say(who, substr($0, at + 4))
    }
    function say(who, path, i) {
      for (i = 1; i <= n; i++)
        if (what[i] != "" && (path == what[i] || path == what[i] " (deleted)" || index(path, what[i] "/") == 1)) {
          if (!((who, path) in told)) { told[who, path] = 1; print who "\t" path }
          return
        }
    }' | while read -r filesystem_w filesystem_x; do
    sm_slurp "/proc/$filesystem_w/comm" && filesystem_user "$filesystem_w" "$sm_line" "$filesystem_x" # else it is gone by now
  done
}
