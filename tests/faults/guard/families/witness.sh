# A server-type hold that can be seen: the folder $1/held. $2 says how it behaves.

witness_note() { echo "$SM_HOLD $1" >>"$1/../log"; }

witness_open() {
  case $2 in open-fails) complain "no such instance"; return 7 ;; esac
  [ -d "$1" ]
}

witness_warm() { echo warm >"$1/warmed"; }

witness_enter() {
  echo "$SM_HOLD enter" >>"$1/../log"
  case $2 in
  slow) echo yes >"$1/entering"; sleep 1 ;;
  hang | lost) mkdir "$1/held"; echo yes >"$1/entering"; sleep 1000 ;;
  fails) complain "cannot, says the server"; return 9 ;;
  stubborn) mkdir "$1/held"; echo yes >"$1/entering"; trap '' TERM; sleep 1000; sleep 1000 ;;
  esac
  mkdir "$1/held" || return 1
  fact position "17 of log 3"
  fact files "a
b"
}

witness_leave() {
  echo "$SM_HOLD leave $SM_VERDICT" >>"$1/../log"
  case $2 in leave-hangs) sleep 1000; return 1 ;; esac
  rmdir "$1/held" 2>/dev/null || return 3
}

witness_rescue() {
  echo "$SM_HOLD rescue $SM_OWN" >>"$1/../log"
  case $SM_OWN/$2 in no/not-ours) return 1 ;; no/*) return 3 ;; esac
  case $2 in rescue-hangs) sleep 1000 ;; lost) return 1 ;; esac
  rmdir "$1/held" 2>/dev/null || return 3
}

witness_echo() {
  for witness_a in "$@"; do fact argument "$witness_a"; done
  fact secret-length "${#SM_SECRET}"
  complain "said aloud"
  return 5
}

witness_odd() { # what no text should hold, and much of it
  fact bytes "$(printf 'a\377b')"
  printf 'said \377\n' >&2
  fact long "$(head -c 300000 /dev/zero | tr '\0' x)"
}

witness_sleep() { # MARK SECONDS
  echo "$$" >"$1"
  sleep "${2:-1000}"
}
