# Informix: `onmode -c block` stops every write of the server until `onmode -c unblock`; it belongs to no client.
#
# Every verb begins with the same four words: INFORMIXDIR SERVER ONCONFIG SQLHOSTS ("" = in its usual place).
# onstat's exit code is the server's mode, 5 is on-line (HCL Informix 14.10, "Return codes on exiting the onstat
# utility"). What a second block or unblock does is not documented, so neither is sent without a look before it.

# shellcheck disable=SC2016 # the inner shell expands it
informix_environment='INFORMIXDIR=$1 INFORMIXSERVER=$2 ONCONFIG=$3 PATH=$1/bin:$PATH
export INFORMIXDIR INFORMIXSERVER ONCONFIG PATH
unset INFORMIXSQLHOSTS INFORMIXSHMBASE CLIENT_LOCALE DB_LOCALE DBLANG
[ -z "$4" ] || { INFORMIXSQLHOSTS=$4; export INFORMIXSQLHOSTS; }
case $5 in /*) t=$5 ;; *) t=$1/bin/$5 ;; esac
shift 5; exec "$t" "$@"'

informix_run() { # INFORMIXDIR SERVER ONCONFIG SQLHOSTS TOOL WORD…
  as_user /bin/sh -c "$informix_environment" sh "$@" </dev/null
}

informix_nl='
'

# What hangs is ended in a quarter of the verb's time, so that there is time left to do something else. No files: the
# record's filesystem may be full. The signals that the hand ignores are ignored below it too: KILL.
informix_bounded() { # INFORMIXDIR SERVER ONCONFIG SQLHOSTS TOOL WORD…: in a shell of its own, `$(…)` or `(…)`
  informix_limits
  informix_run "$@" 2>&1 4>&- 5<&- &
  informix_pid=$!
  {
    sm_started "$informix_pid"
    # shellcheck disable=SC2154 # set by sm_started
    informix_w=$sm_start
    sleep "$informix_limit"
    # what is below it, so that it is not gone, and this ended for it, before all of them are
    if sm_started "$informix_pid" && [ "$sm_start" = "$informix_w" ]; then sm_end_tree "$informix_pid" below; fi
  } </dev/null >/dev/null 2>&1 3>&- 4>&- 5<&- &
  informix_killer=$!
  wait "$informix_pid"
  informix_rc=$?
  if [ "$informix_rc" = 137 ]; then wait "$informix_killer"; else kill -KILL "$informix_killer" 2>/dev/null; fi
  return "$informix_rc"
}

informix_limits() {
  informix_limit=$((${SM_SECONDS:-20} / 4))
  [ "$informix_limit" -ge 2 ] || informix_limit=2
}

# informix_is: blocked | checkpoint (free, one is due or runs) | free | starting | down | unknown. informix_code: the mode.
# informix_reason: what stands after `Blocked:`. No here-document: a shell may keep one in a file.
informix_look() { # INFORMIXDIR SERVER ONCONFIG SQLHOSTS
  informix_text=$(informix_bounded "$1" "$2" "$3" "$4" onstat -)
  informix_code=$?
  informix_reason='' informix_is=unknown
  case $informix_text in
  *"Version "*" -- Up "*)
    case $informix_nl$informix_text in *"${informix_nl}Blocked:"*)
      informix_reason=${informix_text#*Blocked:}
      informix_reason=${informix_reason%%"$informix_nl"*}
      ;;
    esac
    ;;
  *)
    [ "$informix_code" != 255 ] || informix_is=down
    return
    ;;
  esac
  case $informix_code in
  0 | 2) informix_is=starting ;;
  1 | 3 | 4 | 5 | 6 | 7) informix_is=free ;;
  *) return ;;
  esac
  case $informix_reason in *[!\ ]*)
    informix_is=blocked
    return
    ;;
  esac
  case $informix_is$informix_text in free*"(CKPT "*) informix_is=checkpoint ;; esac
}

informix_checkpoint_only() { # whether it may be blocked by nothing but a checkpoint of its own, which passes
  case $informix_is in checkpoint) return 0 ;; blocked) ;; *) return 1 ;; esac
  case $informix_text in *"(CKPT "*) ;; *) return 1 ;; esac
  case " $informix_reason " in *[!CKPT\ ]*) return 1 ;; esac
}

informix_settle() { # INFORMIXDIR SERVER ONCONFIG SQLHOSTS: looks until no checkpoint of its own is in the way, five seconds at most
  informix_tries=5
  informix_look "$@"
  while informix_checkpoint_only && [ "$informix_tries" -gt 0 ]; do
    sleep 1
    informix_tries=$((informix_tries - 1))
    informix_look "$@"
  done
}

# ---- one-shot verbs ----

informix_check() {
  for informix_tool in onstat onmode; do
    # shellcheck disable=SC2016 # the inner shell expands it
    as_user /bin/sh -c '[ -x "$1/bin/$2" ]' sh "$1" "$informix_tool" || fact lacking "$1/bin/$informix_tool"
  done
  # shellcheck disable=SC2016 # the inner shell expands it
  if informix_lines=$(as_user /bin/sh -c 'cat "$1/etc/$2"' sh "$1" "$3"); then informix_config; else fact lacking "$1/etc/$3"; fi
  # shellcheck disable=SC2016 # the inner shell expands it
  fact account "$(as_user /bin/sh -c 'id -un; ls -ld "$1/bin"' sh "$1")"
  informix_settle "$1" "$2" "$3" "$4"
  informix_state "$1" "$2" "$3" "$4"
}

informix_config() { # the settings that are asked for; the last of a name counts
  while read -r informix_key informix_value; do
    case $informix_key in
    DBSERVERNAME | DBSERVERALIASES | SERVERNUM | LTAPEDEV | BAR_BSALIB_PATH | MIRROR | ROOTPATH)
      fact config "$informix_key $informix_value"
      ;;
    esac
  done <<END
$informix_lines
END
}

informix_state() { # the last look, the chunks and the logs
  [ -n "${informix_is-}" ] || informix_look "$1" "$2" "$3" "$4"
  fact code "$informix_code"
  fact status "$informix_text"
  [ "$informix_is" != down ] || return 0
  fact spaces "$(informix_run "$1" "$2" "$3" "$4" onstat -d)"
  fact logs "$(informix_run "$1" "$2" "$3" "$4" onstat -l)"
}

informix_backup() { # INFORMIXDIR SERVER ONCONFIG SQLHOSTS SWITCH PROGRAM WORD…: the logical logs, once nothing is blocked
  informix_look "$1" "$2" "$3" "$4"
  case $informix_is in free | checkpoint) ;; *)
    complain "the logs are not backed up: $informix_text"
    return 4
    ;;
  esac
  if [ "$5" = yes ] && ! informix_run "$1" "$2" "$3" "$4" onmode -l 2>&1; then
    complain "the next logical log was not begun"
    return 5
  fi
  informix_a=$1 informix_b=$2 informix_c=$3 informix_d=$4
  shift 5
  informix_run "$informix_a" "$informix_b" "$informix_c" "$informix_d" "$@" 2>&1
}

# ---- the hold: INFORMIXDIR SERVER ONCONFIG SQLHOSTS SURVIVES; SURVIVES=yes: the block may outlive a restart ----

informix_warm() { # what is written now need not be written while everybody waits
  informix_run "$1" "$2" "$3" "$4" onmode -c
}

informix_enter() {
  informix_settle "$1" "$2" "$3" "$4"
  case $informix_is in
  free | checkpoint) ;;
  blocked)
    complain "it is blocked already, and not by us: Blocked:$informix_reason"
    return 4
    ;;
  esac
  if [ "$informix_code" != 5 ] || [ "$informix_is" = unknown ]; then
    complain "it is not on-line (exit code $informix_code of onstat): $informix_text"
    return 1
  fi
  printf 'x\n' >"$SM_DIR/asked" || return 1 # from here on, what is blocked is ours
  [ "$5" != yes ] || sync "$SM_DIR/asked" 2>/dev/null
  informix_run "$1" "$2" "$3" "$4" onmode -c block
  informix_rc=$?
  informix_look "$1" "$2" "$3" "$4"
  if [ "$informix_rc" = 0 ] && [ "$informix_is" = blocked ]; then
    printf '%s\n' "$informix_reason" >"$SM_DIR/reason"
    fact blocked "$informix_reason"
    informix_position "$1" "$2" "$3" "$4"
    return 0
  fi
  complain "onmode -c block ended with $informix_rc, and the server says: $informix_text"
  SM_OWN=yes
  informix_end "$@"
  case $? in 0 | 3) ;; *) return 124 ;; esac # it may still come: to be rescued like an enter that was cut
  [ "$informix_rc" != 0 ] || informix_rc=1
  return "$informix_rc"
}

informix_position() { # facts of this moment: number and used pages of the current logical log
  informix_lines=$(informix_run "$1" "$2" "$3" "$4" onstat -l 2>/dev/null)
  # shellcheck disable=SC2034 # columns that are passed over
  while read -r informix_w informix_a informix_b informix_c informix_d informix_e informix_used informix_rest; do
    case $informix_a$informix_b in [0-9]*U---C-*)
      fact log "$informix_c"
      fact log-used "$informix_used"
      ;;
    esac
  done <<END
$informix_lines
END
}

# Seen blocked directly before the unblock, for the reason it had when it was taken: that is the proof.
informix_leave() {
  informix_look "$1" "$2" "$3" "$4"
  case $informix_is in
  blocked) ;;
  free | checkpoint) return 3 ;;
  down) if [ "$5" = yes ]; then return 1; else return 3; fi ;;
  *)
    complain "nobody can tell whether it is blocked (exit code $informix_code of onstat): $informix_text"
    return 1
    ;;
  esac
  informix_same=no
  informix_is_ours && informix_same=yes
  (informix_bounded "$1" "$2" "$3" "$4" onmode -c unblock)
  informix_tries=3
  informix_look "$1" "$2" "$3" "$4"
  while informix_checkpoint_only && [ "$informix_is" = blocked ] && [ "$informix_tries" -gt 0 ]; do
    sleep 1
    informix_tries=$((informix_tries - 1))
    informix_look "$1" "$2" "$3" "$4"
  done
  case $informix_is in
  free | checkpoint) [ "$informix_same" = yes ] ;;
  *)
    complain "it was told to unblock, and says: $informix_text"
    return 1
    ;;
  esac
}

informix_is_ours() { # every word of the reason that was noted still stands; a checkpoint may have come or gone
  informix_noted=''
  { IFS= read -r informix_noted <"$SM_DIR/reason"; } 2>/dev/null || return 1
  for informix_w in $informix_noted; do
    case " $informix_reason " in *" $informix_w "*) continue ;; esac
    if [ "$informix_w" != CKPT ] || [ "$informix_noted" = CKPT ]; then
      complain "it was blocked for $informix_noted, and now for $informix_reason"
      return 1
    fi
  done
}

informix_rescue() { # only what our record says we asked for: a block has no owner
  [ "$SM_OWN" = yes ] && [ -e "$SM_DIR/asked" ] || return 3
  informix_end "$@"
}

# The server may still be on its way into the block when onmode is gone: it is free only when it was seen so twice,
# or once after an unblock. One unblock for each look that says blocked; one, and no more, when no look answers.
informix_end() { # INFORMIXDIR SERVER ONCONFIG SQLHOSTS SURVIVES
  informix_limits
  informix_left=$((${SM_SECONDS:-20} - informix_limit)) informix_found=3 informix_clear=0
  informix_patience=$((informix_left / 2))
  while :; do
    informix_look "$1" "$2" "$3" "$4"
    informix_next "$@" && return "$informix_found"
    case $informix_is in unknown) informix_left=$((informix_left - informix_limit)) ;; esac
    informix_left=$((informix_left - 1))
    [ "$informix_left" -gt 0 ] || {
      complain "it could not be unblocked (exit code $informix_code of onstat): $informix_text"
      return 1
    }
    sleep 1
  done
}

informix_next() { # 0: it is over
  case $informix_is in
  free)
    informix_clear=$((informix_clear + 1))
    [ "$informix_found" = 0 ] || [ "$informix_clear" -ge 2 ]
    return
    ;;
  blocked)
    if informix_checkpoint_only && [ "$informix_patience" -gt 0 ]; then
      informix_patience=$((informix_patience - 1))
    else
      rm -f "$SM_DIR/unblocked" 2>/dev/null
      (informix_bounded "$1" "$2" "$3" "$4" onmode -c unblock)
      informix_look "$1" "$2" "$3" "$4"
      [ "$informix_is" != free ] || {
        informix_found=0
        return 0
      }
    fi
    ;;
  down) [ "$5" = yes ] || return 0 ;;
  unknown)
    if [ ! -e "$SM_DIR/unblocked" ]; then
      { printf 'x\n' >"$SM_DIR/unblocked"; } 2>/dev/null
      (informix_bounded "$1" "$2" "$3" "$4" onmode -c unblock)
    fi
    ;;
  esac
  informix_clear=0
  return 1
}
