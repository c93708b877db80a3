# Watcher: detached, inherits no descriptor of ours, one long sleep; then it asks the record whether a hold still
# stands, and rescues it, top down, each within its time. The boot job does the same after a restart.

sm_detach() { # METHOD COMMAND...
  sm_method=$1
  shift
  case $sm_method in
  systemd-run)
    [ -d /run/systemd/system ] && [ "$(id -u)" = 0 ] &&
      systemd-run --quiet --unit="splitmirror-$$-$(sm_now)" "$@" </dev/null >/dev/null 2>&1
    ;;
  setsid) setsid "$@" & ;;
  perl) perl -MPOSIX=setsid -e 'fork and exit; setsid(); exec { $ARGV[0] } @ARGV' "$@" ;;
  python3)
    python3 -c 'import os, sys
if os.fork() == 0:
    os.setsid()
    os.execvp(sys.argv[1], sys.argv[1:])' "$@"
    ;;
  at)
    sm_words=''
    for sm_w in "$@"; do
      sm_quote "$sm_w"
      sm_words="$sm_words $sm_q"
    done
    printf '%s\n' "$sm_words" | at now
    ;;
  nohup) nohup "$@" & ;;
  esac </dev/null >/dev/null 2>&1 3>&- 4>&- 5<&- 6>&- 7<&-
}

sm_detach_proven() { # MARK COMMAND...: by the first method after which MARK appears with content; sm_method
  sm_mark=$1
  shift
  for sm_method in systemd-run setsid perl python3 at nohup; do
    sm_has "$sm_method" || continue
    sm_detach "$sm_method" "$@" || continue
    sm_i=$((3 * sm_naps))
    while [ "$sm_i" -gt 0 ]; do
      [ ! -s "$sm_mark" ] || return 0
      sleep "$sm_nap"
      sm_i=$((sm_i - 1))
    done
  done
  sm_method=none
  return 1
}

sm_arm_watcher() { # "KIND SECONDS"
  sm_kind=${1%% *} sm_for=${1#* }
  case $sm_kind in blocking | lasting) sm_is_number "$sm_for" ;; *) false ;; esac || {
    sm_tell "say guard not understood: watch $1"
    return
  }
  sm_mark=$sm_run_folder/watcher.$sm_kind
  ! sm_noted_alive "$sm_mark" || kill "$sm_pid"
  rm -f "$sm_mark"
  # shellcheck disable=SC2086 # the shell may be two words
  sm_detach_proven "$sm_mark" $sm_shell "$0" watch "$SM_STATE" "$SM_RUN" "$sm_kind" "$sm_for"
  sm_tell "watching $sm_kind $sm_method"
}

sm_watch() { # STATE RUN KIND SECONDS: the watcher itself
  exec </dev/null >/dev/null 2>&1 3>&1
  cd / || return 1
  SM_STATE=$1 SM_RUN=$2 sm_run_folder=$1/runs/$2
  trap 'kill "$sm_sleeper"; exit 0' TERM
  sleep "$4" &
  sm_sleeper=$!
  sm_note_process "$$" "$sm_run_folder/watcher.$3"
  wait "$sm_sleeper"
  sm_boot
  sm_slurp "$sm_run_folder/boot" && [ "$sm_line" = "$sm_boot_id" ] || return 0
  sm_rounds=720
  while [ "$sm_rounds" -gt 0 ]; do
    sm_rescue_run "$sm_run_folder" "$3" watcher && break
    sleep 5
    sm_rounds=$((sm_rounds - 1))
  done
  sm_noted_alive "$sm_run_folder/guard" || sm_any_stands "$sm_run_folder" || sm_drop_claims "$SM_RUN"
}

sm_rescue_run() { # RUN-FOLDER blocking|lasting BY: one round over what stands, top down; 0 when nothing of it stands any more
  sm_left=0
  sm_top_down "$1"
  while IFS= read -r sm_d; do
    [ -n "$sm_d" ] && sm_stands "$sm_d" || continue
    sm_slurp "$sm_d/blocks"
    [ "$2" = lasting ] || [ "$sm_line" != nothing ] || continue
    sm_rescue_record "$sm_d" "$3" || sm_left=$((sm_left + 1))
    sm_rescued "$sm_d" "$sm_rc"
  done <<EOF
$sm_list
EOF
  [ "$sm_left" = 0 ]
}

sm_rescued() { :; } # FOLDER CODE: host.rescue puts a fact here

sm_boot_job() { # after a restart of this machine: ends what outlived it, closes the record of what did not
  sm_boot
  sm_rounds=${1:-180}
  while :; do
    sm_left_over=''
    for sm_run in "$SM_STATE"/runs/*; do
      sm_slurp "$sm_run/boot" && [ "$sm_line" != "$sm_boot_id" ] || continue
      for sm_d in "$sm_run"/[0-9]*.*; do
        [ -d "$sm_d" ] && sm_stands "$sm_d" || continue
        sm_slurp "$sm_d/survives"
        [ "$sm_line" = yes ] || echo "WAS_NOT_HELD restart" >"$sm_d/ended"
      done
      sm_rescue_run "$sm_run" lasting boot || sm_left_over="$sm_left_over ${sm_run##*/}"
    done
    [ -n "$sm_left_over" ] || return 0
    sm_rounds=$((sm_rounds - 1))
    if [ "$sm_rounds" -le 0 ]; then
      complain "could not be ended after the restart:$sm_left_over"
      return 1
    fi
    sleep 10 # what has to be spoken to may still be starting
  done
}
