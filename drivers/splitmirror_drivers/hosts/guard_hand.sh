# Hand: one process a hold. It reads orders from the hand above it (the top one: from the ear), does what is its own
# and passes the rest down. End of file means that everything above is gone: it rescues its hold and goes too, which
# closes the next hand's pipe: the kernel unwinds the stack. Descriptor 3: channel, 4 and 5: the session.

sm_hand() { # NUMBER
  sm_n=$1
  sm_hand_variables
  sm_interrupted='' sm_stop='' sm_late='' sm_unwind='' sm_idle='' sm_child='' sm_cutting='' sm_state=armed sm_opened='' sm_as=self
  trap 'sm_interrupted=1 sm_stop=1; sm_cut' USR1
  trap 'sm_interrupted=1 sm_late=1; sm_cut' ALRM
  # last in the trap: a verb in it clears sm_interrupted, and an interrupted read would pass for the end of file
  trap 'sm_unwind=1; [ -z "$sm_idle" ] || sm_release; sm_interrupted=1' USR2
  trap '' PIPE HUP TERM INT
  sm_self "$sm_hold_folder/pid"
  sm_note_process "$sm_me" "$sm_hold_folder/pid"
  while :; do
    sm_interrupted='' sm_order='' sm_idle=1
    if IFS= read -r sm_order; then
      sm_idle=''
      sm_obey "$sm_order"
      [ -z "$sm_unwind" ] || sm_release
    elif [ -z "$sm_interrupted" ]; then
      break
    fi
    sm_idle=''
  done
  sm_idle=''
  sm_hand_ends
}

sm_hand_variables() {
  for sm_k in family blocks ends enter leave survives user name arguments; do
    eval "sm_$sm_k=\$sm_${sm_k}_$sm_n"
  done
  eval "SM_SECRET=\$sm_secret_$sm_n"
  # shellcheck disable=SC2154 # set by the eval above
  SM_HOLD=$sm_name SM_USER=$sm_user
  sm_hold_folder=$sm_run_folder/$sm_n.$SM_HOLD
  SM_DIR=$sm_hold_folder/dir SM_OWN=no SM_VERDICT='' sm_has_leave=''
  ! sm_has "${sm_family}_leave" || sm_has_leave=1
}

sm_obey() { # ORDER
  case $1 in
  open) sm_open ;;
  warm) sm_warm ;;
  release)
    sm_release down
    return
    ;;
  "hold $SM_HOLD "*)
    sm_take
    return
    ;;
  "leave $SM_HOLD "*)
    sm_leave_order "${1#"leave $SM_HOLD "}"
    return
    ;;
  esac
  sm_down "$1"
}

sm_down() { printf '%s\n' "$1" 2>/dev/null; }
sm_tell() { printf '%s\n' "$1" >&3; } 2>/dev/null
sm_busy() { printf '%s\n' "$1" >"$sm_hold_folder/busy"; }

sm_say() { # what the last verb printed
  [ -s "$SM_DIR/said" ] || return 0
  while IFS= read -r sm_line || [ -n "$sm_line" ]; do
    sm_tell "say $SM_HOLD $sm_line"
    sm_line=''
  done <"$SM_DIR/said"
}

sm_verb() { # COMMAND: a verb in this very shell; its standard output must never reach the hand below
  sm_interrupted='' sm_ran=''
  {
    sm_ran=1
    eval "$1"
    sm_rc=$?
  } >"$SM_DIR/said" 2>&1 </dev/null
  [ -z "$sm_ran" ] || return "$sm_rc"
  { eval "$1"; } >/dev/null 2>&1 </dev/null # the record's filesystem is broken: not a reason to stay frozen
}

# ---- a verb as a child, so that a signal ends it half-way ----

sm_verb_child() { # NAME SECONDS: sm_rc
  SM_SECONDS=$2
  sm_busy "$1 $2"
  (
    trap - USR1 USR2 ALRM HUP TERM
    eval "${sm_family}_$1 $sm_arguments"
  ) >"$SM_DIR/said" 2>&1 </dev/null &
  sm_child=$!
  sm_note_process "$sm_child" "$sm_hold_folder/child"
  [ -z "$sm_stop$sm_late" ] || sm_cut
  sm_interrupted=1
  while [ -n "$sm_interrupted" ]; do # a trap interrupts wait
    sm_interrupted=''
    wait "$sm_child"
    sm_rc=$?
    [ ! -e "$sm_hold_folder/stuck" ] || break
  done
  sm_child=''
  sm_clear "$sm_hold_folder/busy"
  sm_clear "$sm_hold_folder/child"
}

sm_cut() { # ends the child, once; what KILL does not end is left behind, and rescued once more when it is gone
  [ -n "$sm_child" ] && [ -z "$sm_cutting" ] || return 0
  sm_cutting=$sm_child
  (
    sm_end_tree "$sm_cutting"
    # shellcheck disable=SC2086 # a list of pids
    if sm_any_alive $sm_tree; then
      sm_clear "$sm_hold_folder/stuck"
      kill -ALRM "$sm_me"
      sm_gone=$sm_tree
      while sm_any_alive $sm_gone; do sleep "$sm_tick"; done
      SM_OWN=yes
      sm_rescue_verb
    fi
  ) </dev/null >/dev/null 2>&1 3>&- 4>&- 5<&- &
}

# ---- arm ----

sm_open() {
  SM_SECONDS=60 sm_rc=0
  sm_busy "open $SM_SECONDS"
  if sm_find_account >"$SM_DIR/said" 2>&1; then
    if sm_has "${sm_family}_open"; then
      sm_verb "${sm_family}_open $sm_arguments"
      sm_rc=$?
    fi
  else
    sm_rc=1
  fi
  sm_clear "$sm_hold_folder/busy"
  sm_say
  if [ "$sm_rc" = 0 ]; then
    sm_opened=1
    sm_tell "opened $SM_HOLD"
  else
    sm_tell "failed $SM_HOLD open $sm_rc"
  fi
}

sm_warm() {
  if [ -n "$sm_opened" ] && [ -z "$sm_stop" ] && sm_has "${sm_family}_warm"; then
    sm_verb_child warm 60
    sm_say
    sm_late='' sm_cutting=''
    rm -f "$sm_hold_folder/stuck"
  fi
  sm_tell "warmed $SM_HOLD"
}

# ---- quiesce ----

sm_take() { # every hold order is answered once, by held or by failed
  if [ -n "$sm_stop" ] || [ -z "$sm_opened" ] || [ "$sm_state" != armed ]; then
    sm_tell "failed $SM_HOLD enter 125"
    return
  fi
  echo "$sm_enter" >"$sm_hold_folder/taking"
  [ "$sm_survives" != yes ] || sync "$sm_hold_folder/taking" "$sm_hold_folder" 2>/dev/null || sync
  sm_state=taking
  sm_verb_child enter "$sm_enter"
  [ -z "$sm_stop" ] || sm_rc=125
  [ -z "$sm_late" ] || sm_rc=124
  if [ "$sm_rc" = 0 ]; then
    sm_state=taken
    echo yes >"$sm_hold_folder/taken" # before it is said: who finds this hand dead goes by the record
    sm_say
    sm_tell "held $SM_HOLD"
  else
    sm_not_taken
  fi
}

sm_not_taken() { # an enter that failed by itself owns nothing; one that was cut may have taken it
  case $sm_rc in
  124 | 125) SM_OWN=yes ;;
  *)
    SM_OWN=no
    echo yes >"$sm_hold_folder/not-ours" # whoever goes by the record later is told so
    ;;
  esac
  sm_code=$sm_rc
  sm_say
  sm_rescue
  sm_tell "failed $SM_HOLD enter $sm_code"
  if [ "$sm_kept" = UNKNOWN ]; then # it may still stand, and nobody may take it for ended
    sm_clear "$SM_DIR/said"
    sm_answer_end
  fi
}

# ---- resume ----

sm_release() { # [down]: the hand's own blocking or service hold first, then those below
  sm_unwind=''
  if [ "$sm_blocks" = nothing ]; then
    [ -z "${1-}" ] || sm_down release
    return
  fi
  sm_stop=1
  if [ "$sm_state" = taken ]; then
    sm_leave good "${1:+release}"
    sm_answer released
  else
    [ -z "${1-}" ] || sm_down release
  fi
}

sm_leave_order() { # good|bad SECONDS
  sm_stop=1
  sm_leave=${1#* }
  if [ "$sm_state" = taken ]; then
    sm_leave "${1%% *}" ''
  else
    sm_kept=WAS_NOT_HELD
  fi
  sm_answer left
}

sm_leave() { # VERDICT ORDER: leaves, passes ORDER down, then writes the record; sm_kept says what was found
  SM_VERDICT=$1 SM_OWN=yes SM_SECONDS=$sm_leave
  if [ -e "$sm_hold_folder/ended" ]; then # the watcher was here; what stands now is not ours
    sm_kept=WAS_NOT_HELD
    sm_clear "$SM_DIR/said"
  else
    sm_busy "leave $sm_leave"
    if [ -n "$sm_has_leave" ]; then
      sm_verb "${sm_family}_leave $sm_arguments"
    else
      sm_verb sm_rescue_verb
    fi
    sm_kept_word "$?"
  fi
  sm_state=ended
  [ -z "$2" ] || sm_down "$2"
  if [ "$sm_kept" = UNKNOWN ]; then
    sm_say
    sm_rescue
    sm_kept=UNKNOWN
    sm_clear "$SM_DIR/said"
  else
    sm_write_end hand
  fi
  sm_clear "$sm_hold_folder/busy"
}

sm_answer_end() { if [ "$sm_blocks" = nothing ]; then sm_answer left; else sm_answer released; fi; }

sm_answer() { # released|left
  sm_say
  sm_clear "$SM_DIR/said"
  sm_tell "$1 $SM_HOLD $sm_kept"
}

sm_write_end() { # BY
  [ -e "$sm_hold_folder/ended" ] || printf '%s %s\n' "$sm_kept" "$1" >"$sm_hold_folder/ended"
}

sm_rescue() { # once now; what is not ended by it is tried again when the hands below have been told
  SM_VERDICT=bad SM_SECONDS=$sm_leave sm_interrupted=''
  sm_busy "rescue $sm_leave"
  sm_verb sm_rescue_verb
  sm_kept_word "$?"
  sm_say
  sm_clear "$sm_hold_folder/busy"
  sm_state=ended
  if [ "$sm_kept" = UNKNOWN ]; then sm_state=unended; else sm_write_end rescue; fi
}

# ---- the end ----

sm_hand_ends() {
  sm_stop=1
  case $sm_state in
  taken)
    sm_lapsed eof
    SM_OWN=yes
    if [ -e "$sm_hold_folder/ended" ]; then sm_kept=WAS_NOT_HELD; else sm_rescue; fi
    ;;
  *) sm_kept='' ;;
  esac
  session_end
  exec >/dev/null # the hand below sees end of file
  [ -z "$sm_kept" ] || sm_answer_end
  sm_i=10
  while [ "$sm_state" = unended ] && [ "$sm_i" -gt 0 ]; do
    sleep 1
    sm_i=$((sm_i - 1))
    sm_rescue # SM_OWN as it was: an enter that failed by itself owns nothing
  done
  sm_end_client
  sm_clear "$sm_hold_folder/gone"
}

sm_end_client() { # end of file is its sign to go; after a second it is made to
  sm_i=$sm_naps
  while session_is_alive && [ "$sm_i" -gt 0 ]; do
    sleep "$sm_nap"
    sm_i=$((sm_i - 1))
  done
  session_kill 2>/dev/null
}

sm_lapsed() { # REASON: said once
  [ -e "$sm_run_folder/lapsed" ] && return
  echo "$1" >"$sm_run_folder/lapsed"
  sm_tell "lapsed $1"
}
