# The guard program: what splitmirror runs on a data server. One file, put together from these parts and the verb
# families of the application drivers; the lines before this one carry version and checksum.
#
#   guard call      one verb, then the end                      header and answer: see sm_call
#   guard guard     a stack of holds                            see guard_ear.sh and guard_hand.sh
#   guard run       one command, ended when the channel ends    inline only
#   guard fetch     one file's content
#   guard hello     version, checksum, folder
#   guard entry [ACCOUNT]   behind a forced command: takes `splitmirror WORD` from SSH_ORIGINAL_COMMAND
#   guard watch …   the detached watcher, started by the guard itself
#   guard boot      the boot job
#
# Everything but the word comes in header lines on standard input, so that nothing shows in a process list:
#   state DIR · shell WORDS · run RUN · owner OWNER · beat S · blocking S · lasting S · verb NAME · seconds S · path PATH ·
#   limit BYTES · user NAME · secret VALUE · arg VALUE · env NAME=VALUE · stdin LINE · tail TEXT · hold … · claim NAME · go
# user, secret, arg and claim belong to the hold before them, where there is one.

sm_header() { # reads standard input up to `go`, byte by byte as read does, so that nothing beyond is taken
  sm_count=0 sm_of='' SM_RUN='' SM_OWNER='' SM_SECRET='' SM_USER='' sm_verb='' SM_SECONDS=60 sm_path='' sm_limit=0
  sm_folder='' sm_arguments='' sm_lines='' sm_input='' sm_shell=/bin/sh sm_beat_missed=5 sm_blocking_lease=60 sm_lasting_lease=7200
  while IFS= read -r sm_line; do
    sm_key=${sm_line%% *} sm_value=${sm_line#* }
    [ "$sm_key" != "$sm_line" ] || sm_value=''
    sm_header_line || {
      complain "not understood in the header: $sm_key"
      return 1
    }
    [ "$sm_key" != go ] || return 0
  done
  complain "the header ended before its go"
  return 1
}

sm_header_line() {
  case $sm_key in
  go) ;;
  state) sm_folder=$sm_value ;;
  shell) sm_shell=$sm_value ;;
  run) sm_is_word "$sm_value" && SM_RUN=$sm_value ;;
  owner) sm_is_word "$sm_value" && SM_OWNER=$sm_value ;;
  beat) sm_is_number "$sm_value" && sm_beat_missed=$sm_value ;;
  blocking) sm_is_number "$sm_value" && sm_blocking_lease=$sm_value ;;
  lasting) sm_is_number "$sm_value" && sm_lasting_lease=$sm_value ;;
  seconds) sm_is_number "$sm_value" && SM_SECONDS=$sm_value ;;
  limit) sm_is_number "$sm_value" && sm_limit=$sm_value ;;
  verb) sm_verb=$sm_value ;;
  path) sm_path=$sm_value ;;
  env)
    sm_quote "${sm_value#*=}"
    case ${sm_value%%=*} in '' | *[!A-Za-z0-9_]* | [0-9]*) return 1 ;; esac
    eval "${sm_value%%=*}=$sm_q"
    export "${sm_value%%=*}"
    ;;
  stdin) sm_input=$sm_input$sm_value$sm_nl ;;
  tail) sm_input=$sm_input$sm_value ;;
  hold) sm_header_hold "$sm_value" ;;
  claim) sm_is_word "$sm_value" && eval "sm_claim_$sm_count=\$sm_value" ;;
  user) if [ -n "$sm_of" ]; then eval "sm_user_$sm_of=\$sm_value"; else SM_USER=$sm_value; fi ;;
  secret) if [ -n "$sm_of" ]; then eval "sm_secret_$sm_of=\$sm_value"; else SM_SECRET=$sm_value; fi ;;
  arg)
    sm_quote "$sm_value"
    if [ -n "$sm_of" ]; then
      eval "sm_arguments_$sm_of=\"\$sm_arguments_$sm_of \$sm_q\" sm_lines_$sm_of=\$sm_lines_$sm_of\$sm_value\$sm_nl"
    else
      sm_arguments="$sm_arguments $sm_q"
    fi
    ;;
  *) return 1 ;;
  esac
}

sm_header_hold() { # "NAME FAMILY BLOCKS ENDS ENTER-SECONDS LEAVE-SECONDS SURVIVES", from the bottom of the stack up
  set -f
  # shellcheck disable=SC2086 # split on purpose
  set -- $1
  set +f
  [ "$#" = 7 ] && sm_is_word "$1" && sm_is_word "$2" && sm_is_number "$5" && sm_is_number "$6" || return 1
  sm_count=$((sm_count + 1))
  sm_of=$sm_count
  eval "sm_name_$sm_of=\$1 sm_family_$sm_of=\$2 sm_blocks_$sm_of=\$3 sm_ends_$sm_of=\$4 sm_enter_$sm_of=\$5 sm_leave_$sm_of=\$6
    sm_survives_$sm_of=\$7 sm_user_$sm_of='' sm_secret_$sm_of='' sm_arguments_$sm_of='' sm_lines_$sm_of='' sm_claim_$sm_of=''"
}

# ---- one verb, one command, one file ----

sm_when_channel_ends() { # PID: ends it with all below it; run with descriptor 7 on the channel's input
  while read -r sm_line; do :; done <&7
  trap '' TERM # who waits for the first of the tree must not stop us before its last
  sm_end_tree "$1"
}

sm_call() { # answers `fact KEY VALUE`, `say TEXT`, and last `exit CODE`
  SM_DIR=$SM_STATE/calls/$$
  SM_HOLD='' SM_OWN=no SM_VERDICT='' sm_interrupted=''
  rm -rf "$SM_DIR"
  mkdir "$SM_DIR" || return 1
  exec 7<&0 </dev/null
  (
    exec 7<&- >"$SM_DIR/said" 2>&1
    sm_find_account && sm_call_verb
  ) &
  sm_child=$!
  (
    exec 3>&- </dev/null >/dev/null 2>&1
    sm_when_channel_ends "$sm_child"
  ) &
  sm_listener=$!
  exec 7<&-
  wait "$sm_child" 2>/dev/null
  sm_rc=$?
  kill "$sm_listener" 2>/dev/null
  while IFS= read -r sm_line || [ -n "$sm_line" ]; do
    printf 'say %s\n' "$sm_line"
    sm_line=''
  done <"$SM_DIR/said"
  rm -rf "$SM_DIR"
  echo "exit $sm_rc"
} 2>/dev/null

sm_call_verb() {
  sm_w=${sm_verb%%.*}_${sm_verb#*.}
  case $sm_w in sm_* | *[!a-z0-9_]*) false ;; *_*) sm_has "$sm_w" ;; esac || {
    complain "this guard program has no verb $sm_verb"
    return 126
  }
  eval "$sm_w $sm_arguments"
}

sm_run() { # a command with its own three streams; its group is ended when the channel ends before it
  [ -z "$sm_entered" ] || {
    complain "an installed guard runs verbs only, not commands"
    return 126
  }
  exec 7<&0
  sm_apart=''
  ! sm_has setsid || sm_apart=setsid
  printf '%s' "$sm_input" | eval "umask $sm_umask; exec 3>&- 7<&-; exec $sm_apart $sm_arguments" &
  sm_child=$!
  (
    exec 3>&- </dev/null >/dev/null 2>&1
    sm_when_channel_ends "$sm_child"
  ) &
  sm_listener=$!
  exec 7<&-
  wait "$sm_child"
  sm_rc=$?
  kill "$sm_listener" 2>/dev/null
  return "$sm_rc"
}

sm_fetch() { # first `size N`, then the bytes
  [ -f "$sm_path" ] && [ -r "$sm_path" ] || {
    complain "$sm_path is no file that can be read"
    return 1
  }
  [ -z "$sm_entered" ] || sm_may_fetch || {
    complain "$sm_path is in no folder named in $SM_STATE/fetch-folders"
    return 1
  }
  sm_size=$(wc -c <"$sm_path")
  sm_size=$((sm_size + 0))
  [ "$sm_size" -le "$sm_limit" ] || {
    complain "$sm_path has $sm_size bytes, more than $sm_limit"
    return 1
  }
  echo "size $sm_size"
  cat "$sm_path"
}

sm_may_fetch() { # installed: only below the folders that an administrator wrote down, links followed
  sm_real "$sm_path" && [ -r "$SM_STATE/fetch-folders" ] || return 1
  while IFS= read -r sm_line; do
    case $sm_line in /*) ;; *) continue ;; esac
    case $sm_path in "${sm_line%/}"/*) return 0 ;; esac
  done <"$SM_STATE/fetch-folders"
  return 1
}

# ---- the way in ----

sm_entry() { # [ACCOUNT]: the forced command
  case ${SSH_ORIGINAL_COMMAND-} in
  "splitmirror call" | "splitmirror guard" | "splitmirror fetch" | "splitmirror hello") ;;
  *)
    complain "refused: this key may only run: splitmirror call, guard, fetch or hello"
    return 126
    ;;
  esac
  sm_w=${SSH_ORIGINAL_COMMAND#splitmirror }
  if [ -n "${1-}" ]; then exec sudo -n -H -u "$1" -- "$0" "$sm_w"; fi
  exec "$0" "$sm_w"
}

sm_main() { # WORD
  sm_entered=${sm_installed:-}
  case ${1-} in
  entry) sm_entry "${2-}" ;;
  hello)
    sm_find_state && printf 'hello %s %s %s\n' "$sm_version" "$sm_checksum" "$SM_STATE"
    ;;
  watch) sm_watch "$2" "$3" "$4" "$5" ;;
  boot) sm_find_state && exec 3>/dev/null && sm_boot_job "${2-}" ;;
  call | guard | run | fetch)
    cd / && exec 3>&1 && sm_header || return 1
    if [ -n "$sm_entered" ]; then sm_folder=''; fi
    [ "$1" = run ] || sm_find_state "$sm_folder" || return 1
    "sm_$1"
    ;;
  *)
    complain "usage: guard call|guard|run|fetch|hello|entry|boot"
    return 2
    ;;
  esac
}
