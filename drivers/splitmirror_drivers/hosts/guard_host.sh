# Built-in verbs: host.coverage, host.facts, host.records, host.rescue, host.forget.

host_coverage() { # PATH...
  for sm_w in "$@"; do
    sm_real "$sm_w" || {
      fact missing "$sm_w"
      continue
    }
    if [ -b "$sm_path" ]; then # a raw volume: the file is the device
      fact covers "$sm_path$sm_tab-$sm_tab$sm_path${sm_tab}raw"
      continue
    fi
    sm_mounted_on "$sm_path"
    fact covers "$sm_path$sm_tab$sm_point$sm_tab$sm_device$sm_tab$sm_type"
  done
}

sm_real() { # PATH: sm_path without links
  [ -e "$1" ] || return 1
  if sm_has readlink && sm_path=$(readlink -f -- "$1" 2>/dev/null) && [ -n "$sm_path" ]; then
    return 0
  elif [ -d "$1" ]; then
    sm_path=$(cd "$1" && pwd -P)
  else
    sm_path=$(cd "$(dirname "$1")" && pwd -P)/${1##*/}
  fi
}

sm_mounted_on() { # REAL-PATH: the mount with the longest point above it; of equal ones the last, which lies on top
  sm_point='' sm_device=- sm_type=-
  if [ -r /proc/self/mounts ]; then
    while read -r sm_dev sm_at sm_fs sm_rest; do
      sm_unescape "$sm_at"
      case ${1%/}/ in "${sm_text%/}"/*) ;; *) continue ;; esac
      [ "${#sm_text}" -ge "${#sm_point}" ] || continue
      sm_point=$sm_text sm_type=$sm_fs
      sm_unescape "$sm_dev"
      sm_device=$sm_text
    done </proc/self/mounts
  else
    sm_table=$(df -P "$1" | tail -1)
    sm_device=${sm_table%% *} sm_point=${sm_table##*% }
    sm_type=$(df -n "$1" 2>/dev/null | sed 's/.*: *//')
    sm_type=${sm_type:--}
  fi
}

sm_unescape() { # TEXT as in /proc/mounts: sm_text
  sm_text=''
  sm_r=$1
  while :; do
    case $sm_r in
    *\\[01][0-7][0-7]*)
      sm_text=$sm_text${sm_r%%\\[01][0-7][0-7]*}
      sm_r=${sm_r#"${sm_r%%\\[01][0-7][0-7]*}"}
      case $sm_r in
      \\040*) sm_text="$sm_text " ;;
      \\011*) sm_text=$sm_text$sm_tab ;;
      \\012*) sm_text=$sm_text$sm_nl ;;
      \\134*) sm_text=$sm_text\\ ;;
      *) sm_text=$sm_text${sm_r%"${sm_r#????}"} ;;
      esac
      sm_r=${sm_r#????}
      ;;
    *) break ;;
    esac
  done
  sm_text=$sm_text$sm_r
}

host_machine() { # what two names of one machine have in common: this boot of its kernel, and what it sees of its mounts
  sm_boot
  if sm_space=$(readlink /proc/self/ns/mnt 2>/dev/null) && [ -n "$sm_space" ]; then
    fact machine "$sm_boot_id $sm_space"
  fi
}

host_facts() {
  sm_boot
  fact boot "$sm_boot_id"
  fact system "$(uname -s) $(uname -r) $(uname -m)"
  fact time "$(sm_now)"
  fact user "$(id -un)"
  fact shell "$sm_shell"
  fact folder "$SM_STATE"
  # shellcheck disable=SC2086 # the shell may be two words
  sm_detach_proven "$SM_DIR/detached" $sm_shell -c 'echo yes >"$1"' sh "$SM_DIR/detached" 2>/dev/null
  fact detach "$sm_method"
}

host_records() { # [RUN]
  for sm_run in "$SM_STATE/runs/"${1:-*}; do
    sm_slurp "$sm_run/owner" || continue
    sm_whose=$sm_line
    sm_slurp "$sm_run/boot"
    sm_at_boot=$sm_line
    for sm_d in "$sm_run"/[0-9]*.*; do
      [ -d "$sm_d" ] || continue
      sm_hold_state "$sm_d"
      [ "$sm_word" != armed ] || continue
      sm_slurp "$sm_d/family"
      sm_name=${sm_d##*/}
      fact hold "${sm_run##*/}$sm_tab$sm_whose$sm_tab${sm_name#*.}$sm_tab$sm_line$sm_tab$sm_word$sm_tab$sm_at_boot"
    done
  done
}

sm_run_named() { # RUN: sm_run is its folder
  sm_run=$SM_STATE/runs/$1
  sm_is_word "$1" && [ -d "$sm_run" ] || {
    complain "there is no record of run $1 in $SM_STATE/runs"
    return 1
  }
}

host_rescue() { # RUN
  sm_run_named "$1" || return 1
  sm_rescued() {
    sm_name=${1##*/}
    fact rescued "${sm_name#*.}$sm_tab$2"
  }
  sm_rescue_run "$sm_run" lasting recover || return 1
  if sm_noted_alive "$sm_run/guard"; then # its hook is gone, though the link that told it so may not be known to be
    kill "$sm_pid"
    sm_i=$((5 * sm_naps))
    while sm_noted_alive "$sm_run/guard" && [ "$sm_i" -gt 0 ]; do
      sleep "$sm_nap"
      sm_i=$((sm_i - 1))
    done
  fi
  sm_noted_alive "$sm_run/guard" || sm_drop_claims "$1"
}

host_forget() { # RUN
  sm_run_named "$1" || return 1
  if sm_noted_alive "$sm_run/guard"; then
    complain "the guard of run $1 still runs"
    return 1
  elif sm_any_stands "$sm_run"; then
    complain "something of run $1 still stands; host.rescue ends it"
    return 1
  fi
  for sm_k in blocking lasting; do
    sm_noted_alive "$sm_run/watcher.$sm_k" && kill "$sm_pid"
  done
  sm_drop_claims "$1"
  rm -rf "$sm_run"
}
