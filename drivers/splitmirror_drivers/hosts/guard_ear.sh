# Ear: reads orders and ticks from one pipe, writes orders to the top hand, never runs a foreground command.
#
#   reader ──┐                                    reader: the channel's input, line by line, then `eof`
#            ├─► ear ─► top hand ─► … ─► bottom hand
#   ticker ──┘                                    ticker: `tick`; does the ear's work when the ear is stopped
# All counting is in ticks. Descriptor 6: the top hand's pipe.

sm_guard() { # after the header: claims, record, stack, then orders until everything has ended
  sm_make_run || return 1
  sm_i=1
  while [ "$sm_i" -le "$sm_count" ]; do
    eval "sm_c=\$sm_claim_$sm_i"
    if [ -n "$sm_c" ] && ! sm_claim "$sm_c" "$SM_OWNER" "$SM_RUN"; then
      sm_drop_claims "$SM_RUN"
      rm -rf "$sm_run_folder"
      printf 'foreign %s %s\n' "${sm_c##*/}" "$sm_foreign" >&3
      return 1
    fi
    sm_i=$((sm_i + 1))
  done
  sm_start_stack
  printf 'hello %s %s %s %s\n' "$sm_version" "$sm_boot_id" "$$" "$sm_run_folder" >&3
  sm_listen
  sm_finish
}

sm_make_run() {
  sm_boot
  sm_run_folder=$SM_STATE/runs/$SM_RUN
  if [ -d "$sm_run_folder" ]; then
    if sm_noted_alive "$sm_run_folder/guard" || sm_any_stands "$sm_run_folder"; then
      sm_slurp "$sm_run_folder/owner"
      complain "run $SM_RUN of backup server $sm_line has a guard or a hold here already; its record is $sm_run_folder"
      return 1
    fi
    rm -rf "$sm_run_folder"
  fi
  mkdir "$sm_run_folder" || return 1
  sm_note_process "$$" "$sm_run_folder/guard"
  echo "$SM_OWNER" >"$sm_run_folder/owner"
  echo "$sm_boot_id" >"$sm_run_folder/boot"
  sm_now >"$sm_run_folder/time"
  echo 0 >"$sm_run_folder/heard"
  sm_i=1
  while [ "$sm_i" -le "$sm_count" ]; do
    sm_make_hold || return 1
    sm_i=$((sm_i + 1))
  done
}

sm_make_hold() {
  eval "sm_d=\$sm_run_folder/\$sm_i.\$sm_name_$sm_i"
  mkdir "$sm_d" "$sm_d/dir" || return 1
  for sm_k in family blocks ends enter leave survives user; do
    eval "echo \"\$sm_${sm_k}_$sm_i\"" >"$sm_d/$sm_k" || return 1
  done
  eval "printf '%s' \"\$sm_lines_$sm_i\"" >"$sm_d/arguments"
}

sm_start_stack() {
  sm_orders=$sm_run_folder/orders sm_top=$sm_run_folder/top
  mkfifo "$sm_orders" "$sm_top"
  exec 7<&0 </dev/null
  sm_pipeline='' sm_i=1
  while [ "$sm_i" -le "$sm_count" ]; do
    sm_pipeline="sm_hand $sm_i${sm_pipeline:+ | $sm_pipeline}" sm_i=$((sm_i + 1))
  done
  # the first to open each pipe waits for the other end, so the order of these lines matters
  (
    exec 7<&- >"$sm_orders"
    if [ -n "$sm_pipeline" ]; then eval "{ $sm_pipeline ; } >/dev/null" <"$sm_top"; else cat <"$sm_top"; fi 2>>"$sm_run_folder/noise"
    echo 'done'
  ) &
  sm_stack=$!
  exec 0<"$sm_orders"
  exec 8>"$sm_orders"
  (
    exec 3>&- 2>/dev/null >&8 8>&-
    sm_read
  ) </dev/null &
  sm_reader=$!
  exec 7<&- 8>&-
  sm_start_ticker
  exec 6>"$sm_top"
  rm -f "$sm_top"
  trap 'sm_signal=1' HUP TERM INT
  trap '' PIPE
}

sm_read() {
  while IFS= read -r sm_order <&7; do printf '%s\n' "$sm_order"; done
  echo eof
}

# The pipe of orders keeps its name, so that a killed ticker can be replaced. It is opened here, where it has its reader: what opened
# it in a process of its own would wait for ever when the ear was killed meanwhile, and keep the channel open.
sm_start_ticker() {
  exec 8>"$sm_orders"
  (
    exec 6>&- 7<&- 2>/dev/null >&8 8>&-
    sm_tick_on
  ) </dev/null &
  sm_ticker=$!
  exec 8>&-
}

sm_tick_on() {
  trap 'exit 0' TERM
  trap '' PIPE
  sm_slurp "$sm_run_folder/heard" || sm_line=0
  sm_sent=$sm_line sm_deaf=0 sm_acted=''
  while sleep "$sm_tick" 3>&-; do
    # looked at before the next tick is sent, when the ear does not write; one look alone proves nothing, as a number may be half written
    if { IFS= read -r sm_line <"$sm_run_folder/heard"; } 2>/dev/null && [ "$((sm_sent - sm_line))" -le "$sm_ticks" ]; then
      sm_deaf=0
    else
      sm_deaf=$((sm_deaf + 1))
    fi
    sm_sent=$((sm_sent + 1))
    echo tick || exit 0
    [ "$sm_deaf" -gt "$sm_ticks" ] || continue
    sm_noted_alive "$sm_run_folder/guard" || exit 0 # the hands see end of file
    [ -s "$sm_run_folder/blocking" ] && [ -z "$sm_acted" ] || continue
    sm_acted=1
    sm_unwind_hands
  done
}

sm_unwind_hands() { # the ear does not hear: the blocking holds' hands are told directly, top first
  sm_lapsed beat
  sm_top_down "$sm_run_folder"
  for sm_k in USR1 USR2; do
    while IFS= read -r sm_d; do
      [ -n "$sm_d" ] && sm_slurp "$sm_d/blocks" && [ "$sm_line" != nothing ] || continue
      sm_noted_alive "$sm_d/pid" && kill "-$sm_k" "$sm_pid"
      sm_i=$sm_naps
      while [ "$sm_k" = USR2 ] && sm_stands "$sm_d" && [ "$sm_i" -gt 0 ]; do
        sleep "$sm_nap"
        sm_i=$((sm_i - 1))
      done
    done <<EOF
$sm_list
EOF
  done
}

# ---- orders ----

sm_listen() {
  sm_signal='' sm_part='' sm_heard=0 sm_silent=0 sm_beats='' sm_held_for='' sm_lasting_for='' sm_bye='' sm_closed='' sm_nursing=0 sm_all_done=''
  until [ -n "$sm_all_done" ] && [ "$sm_nursing" -le 0 ]; do
    sm_order=''
    if IFS= read -r sm_order; then
      sm_hear "$sm_part$sm_order"
      sm_part=''
    else
      sm_part=$sm_part$sm_order
      [ -n "$sm_signal" ] || return # every writer is gone; hands end by themselves when we do
    fi
    if [ -n "$sm_signal" ]; then
      sm_signal=''
      sm_lapse signal
      sm_close
    fi
  done
}

sm_hear() { # ORDER
  case $1 in
  tick) sm_on_tick ;;
  beat)
    sm_silent=0
    sm_started "$sm_ticker" || sm_start_ticker
    ;;
  release)
    sm_let_go
    ;;
  open | warm) sm_pass "$1" ;;
  "hold "*) sm_order_hold "$1" ;;
  "leave "*)
    sm_signal_hold USR1 "$1"
    sm_pass "$1"
    ;;
  "watch "*)
    (
      exec 6>&- </dev/null
      sm_arm_watcher "${1#watch }"
    ) 2>>"$sm_run_folder/noise" &
    ;;
  bye)
    sm_bye=1
    sm_close
    ;;
  eof)
    [ -n "$sm_closed" ] || sm_close
    ;;
  done)
    sm_all_done=1
    sm_look_at_all
    ;;
  nursed) sm_nursing=$((sm_nursing - 1)) ;;
  *) printf 'say guard not understood: %s\n' "$1" >&3 ;;
  esac 2>/dev/null
}

sm_pass() { printf '%s\n' "$1" >&6; } 2>/dev/null

sm_order_hold() { # hold NAME SECONDS
  sm_name=${1#hold } sm_name=${sm_name%% *}
  sm_find "$sm_name"
  case $sm_found_blocks in
  '') printf 'failed %s enter 125\n' "$sm_name" >&3 ;;
  nothing) sm_lasting_for=${sm_lasting_for:-0} ;;
  *)
    # a stopped service waits for its lease: to start it for a moment without a link would help nobody
    if [ "$sm_found_blocks" = writes ] && [ -z "$sm_beats" ]; then sm_beats=1 sm_silent=0; fi
    if [ -z "$sm_held_for" ]; then
      sm_held_for=0
      echo yes >"$sm_run_folder/blocking"
    fi
    ;;
  esac
  sm_pass "$1"
}

sm_find() { # "NAME …": sm_found is its number, sm_found_blocks what it blocks, '' when there is none
  sm_found=1 sm_found_blocks=''
  while [ "$sm_found" -le "$sm_count" ]; do
    eval "sm_w=\$sm_name_$sm_found"
    if [ "$sm_w" = "${1%% *}" ]; then
      eval "sm_found_blocks=\$sm_blocks_$sm_found"
      return
    fi
    sm_found=$((sm_found + 1))
  done
}

sm_signal_hold() { # SIGNAL "ORDER NAME …"
  sm_find "${2#* }"
  [ -n "$sm_found_blocks" ] || return
  sm_slurp "$sm_run_folder/$sm_found.$sm_w/pid" && kill "-$1" "${sm_line%% *}"
}

sm_signal_all() { # SIGNAL [all]: the hands of blocking and service holds, or of all
  sm_j=$sm_count
  while [ "$sm_j" -gt 0 ]; do
    eval "sm_w=\$sm_name_$sm_j sm_b=\$sm_blocks_$sm_j"
    if [ "$sm_b" != nothing ] || [ -n "${2-}" ]; then
      sm_slurp "$sm_run_folder/$sm_j.$sm_w/pid" && kill "-$1" "${sm_line%% *}" 2>/dev/null
    fi
    sm_j=$((sm_j - 1))
  done
}

sm_let_go() { # an enter on its way is stopped first, then the stack unwinds from the top
  sm_signal_all USR1
  sm_pass release
  sm_held_for='done'
  sm_clear "$sm_run_folder/blocking"
}

sm_lapse() { # REASON
  [ -z "$sm_closed" ] || return
  sm_lapsed "$1"
  sm_let_go
}

sm_close() { # end of file for the top hand: everything ends, non-blocking holds as bad
  sm_closed=1
  sm_signal_all USR1 all
  exec 6>&-
}

# ---- ticks ----

sm_on_tick() {
  sm_heard=$((sm_heard + 1))
  echo "$sm_heard" >"$sm_run_folder/heard"
  if sm_is_number "$sm_held_for"; then
    sm_held_for=$((sm_held_for + 1)) sm_silent=$((sm_silent + 1))
    if [ -n "$sm_beats" ] && [ "$sm_silent" -ge $((sm_beat_missed * sm_ticks)) ]; then
      sm_lapse beat
    elif [ "$sm_held_for" -ge $((sm_blocking_lease * sm_ticks)) ]; then
      sm_lapse deadline
    fi
  fi
  if sm_is_number "$sm_lasting_for" && [ -z "$sm_closed" ]; then
    sm_lasting_for=$((sm_lasting_for + 1))
    if [ "$sm_lasting_for" -ge $((sm_lasting_lease * sm_ticks)) ]; then
      sm_lapse deadline
      sm_close
    fi
  fi
  sm_look_at_all
}

sm_look_at_all() {
  sm_j=$sm_count
  while [ "$sm_j" -gt 0 ]; do
    eval "sm_d=\$sm_run_folder/\$sm_j.\$sm_name_$sm_j"
    sm_look_at "$sm_d"
    sm_j=$((sm_j - 1))
  done
}

sm_look_at() { # FOLDER of a hold: its hand must live, and be done in its time
  [ ! -e "$1/gone" ] && [ -s "$1/pid" ] || return
  if ! sm_noted_alive "$1/pid"; then
    echo dead >"$1/gone"
    sm_nursing=$((sm_nursing + 1))
    (
      exec 6>&- </dev/null
      sm_nurse "$1"
    ) 2>>"$sm_run_folder/noise" &
    return
  fi
  sm_hand_pid=$sm_pid
  sm_slurp "$1/busy" || sm_line=''
  eval "sm_was=\${sm_busy_$sm_j-} sm_for=\${sm_for_$sm_j-0}"
  # shellcheck disable=SC2154 # set by the eval above
  if [ -n "$sm_line" ] && [ "$sm_line" = "$sm_was" ]; then
    sm_for=$((sm_for + 1))
    [ "$sm_for" -lt $((${sm_line##* } * sm_ticks)) ] || sm_overdue "$1" "$((sm_for - ${sm_line##* } * sm_ticks))"
  else
    sm_for=0
  fi
  eval "sm_busy_$sm_j=\$sm_line sm_for_$sm_j=$sm_for"
}

sm_overdue() { # FOLDER TICKS-OVER: a verb's time is up; those below are not kept waiting
  case $sm_line in
  enter* | warm*)
    kill -ALRM "$sm_hand_pid"
    return
    ;;
  esac
  if [ "$2" = 0 ]; then
    sm_k=$((sm_j - 1))
    while [ "$sm_k" -gt 0 ]; do
      eval "sm_w=\$sm_name_$sm_k sm_b=\$sm_blocks_$sm_k"
      sm_keep=$sm_line
      [ "$sm_b" = nothing ] || case $sm_line in open*) ;; *)
        sm_slurp "$sm_run_folder/$sm_k.$sm_w/pid" && kill -USR2 "${sm_line%% *}"
        sm_line=$sm_keep
        ;;
      esac
      sm_k=$((sm_k - 1))
    done
    (sm_end_tree "$sm_hand_pid" below) </dev/null >/dev/null 2>&1 3>&- 6>&- &
  elif [ "$2" -ge $((3 * sm_ticks)) ]; then
    kill -KILL "$sm_hand_pid" # the hand below sees end of file; a nurse rescues this one's hold
  fi
}

sm_nurse() { # FOLDER: its hand died
  sm_hold_state "$1"
  sm_before=$sm_word sm_i=60
  sm_slurp "$1/blocks"
  if [ "$sm_line" = nothing ]; then sm_after=left; else sm_after=released; fi
  sm_name=${1##*/} sm_name=${sm_name#*.}
  case $sm_before in
  armed) sm_tell "failed $sm_name enter 137" ;;
  taking | taken)
    sm_lapsed eof
    until sm_rescue_record "$1" nurse || [ "$sm_i" -le 0 ]; do
      sleep 1
      sm_i=$((sm_i - 1))
    done
    [ "$sm_before" = taken ] || sm_tell "failed $sm_name enter 137"
    if [ "$sm_before" = taken ] || [ "$sm_kept" = UNKNOWN ]; then sm_tell "$sm_after $sm_name $sm_kept"; fi
    ;;
  esac
  echo nursed >"$sm_orders"
}

# ---- the end ----

sm_finish() {
  exec 6>&- 0</dev/null
  wait "$sm_stack" 2>/dev/null
  kill "$sm_reader" "$sm_ticker" 2>/dev/null
  if ! sm_any_stands "$sm_run_folder"; then
    for sm_k in blocking lasting; do
      sm_noted_alive "$sm_run_folder/watcher.$sm_k" && kill "$sm_pid"
    done
    sm_drop_claims "$SM_RUN"
  fi
  rm -f "$sm_orders"
  [ -z "$sm_bye" ] || echo bye >&3
} 2>/dev/null
