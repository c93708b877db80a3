# Kit: what verbs and the other parts use. Functions and constants only; POSIX sh, descriptors 0-9.
# Descriptor 3 is the channel to the backup server wherever a verb runs for it; 4 and 5 are a session's two ends.

sm_nl='
'
sm_tab=$(printf '\t')
sm_umask=$(umask) # for commands; all that is ours is ours alone
umask 077
# shellcheck disable=SC3040 # bash alone: otherwise its traps do not interrupt read
[ -z "${BASH_VERSION-}" ] || set -o posix
LC_ALL=C
export LC_ALL
PATH=$PATH:/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/bin:/usr/local/sbin
export PATH
# fractions of a second where sleep has them: what waits for something looks ten times a second, else once
if sleep 0.001 2>/dev/null; then
  sm_nap=0.1 sm_naps=10 sm_tick=0.5 sm_ticks=2
else
  sm_nap=1 sm_naps=1 sm_tick=1 sm_ticks=1
fi
# where a look at a process costs no fork, a killed one is looked at often before anything sleeps
if [ -e /proc/self/stat ]; then sm_looks=200; else sm_looks=0; fi

fact() { # KEY VALUE: one line a line of VALUE
  sm_rest=$2
  while :; do
    case $sm_rest in
    *"$sm_nl"*)
      printf 'fact %s%s %s\n' "${SM_HOLD:+$SM_HOLD }" "$1" "${sm_rest%%"$sm_nl"*}" >&3
      sm_rest=${sm_rest#*"$sm_nl"}
      ;;
    *)
      printf 'fact %s%s %s\n' "${SM_HOLD:+$SM_HOLD }" "$1" "$sm_rest" >&3
      return
      ;;
    esac
  done
}

sm_clear() { printf '' >"$1"; } # `:` would end the shell where it cannot write

complain() { printf '%s\n' "$*" >&2; }

# ---- words ----

sm_is_word() { case $1 in '' | -* | .* | *[!A-Za-z0-9._%-]*) return 1 ;; esac; }
sm_is_number() { case $1 in '' | *[!0-9]*) return 1 ;; esac; }
sm_has() { command -v "$1" >/dev/null 2>&1; }

sm_quote() { # TEXT: sm_q is TEXT as one word for eval
  sm_q='' sm_r=$1
  while :; do
    case $sm_r in
    *\'*) sm_q="$sm_q${sm_r%%\'*}'\\''" sm_r=${sm_r#*\'} ;;
    *) break ;;
    esac
  done
  sm_q="'$sm_q$sm_r'"
}

sm_slurp() { # FILE: its first line in sm_line, without a fork; 1 when there is none
  sm_line=''
  [ -e "$1" ] || return 1
  { IFS= read -r sm_line <"$1"; } 2>/dev/null || [ -n "$sm_line" ]
}

# ---- processes: a pid alone proves nothing, so its start time goes with it ----

sm_started() { # PID: sm_start is when it was started, '' when it is gone or only waits to be reaped
  sm_start=''
  if [ -e /proc/self/stat ]; then
    { IFS= read -r sm_stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    sm_split "${sm_stat##*) }"
  else
    sm_start=$(ps -o lstart= -p "$1" 2>/dev/null || ps -o stime= -p "$1" 2>/dev/null)
    sm_start=$(printf '%s' "$sm_start" | tr -s ' ' '-')
  fi
  [ -n "$sm_start" ]
}

sm_split() { # the fields of /proc/PID/stat from the third on
  set -f
  # shellcheck disable=SC2086 # split on purpose
  set -- $1
  set +f
  case $1 in Z | X) sm_start='' ;; *) sm_start=${20} ;; esac
}

sm_note_process() { # PID FILE: keeps "PID START"
  sm_started "$1" || sm_start=gone
  printf '%s %s\n' "$1" "$sm_start" >"$2"
}

sm_noted_alive() { # FILE: whether the process noted there still runs; sm_pid is its pid
  sm_pid=''
  sm_slurp "$1" || return 1
  sm_pid=${sm_line%% *}
  sm_is_number "$sm_pid" && sm_started "$sm_pid" && [ "$sm_start" = "${sm_line#* }" ]
}

sm_self() { # sm_me is the pid of this very shell, subshell or not
  if [ -e /proc/self/stat ]; then
    read -r sm_me sm_rest </proc/self/stat
  else
    sh -c 'echo "$PPID"' >"$1" # $$ is the outermost shell's in a subshell
    sm_slurp "$1"
    sm_me=$sm_line
  fi
}

sm_descendants() { # PID: sm_tree is PID with all its descendants, the youngest last
  sm_table=$(ps -A -o pid= -o ppid= 2>/dev/null || ps -o pid,ppid 2>/dev/null)
  sm_tree=" $1 " sm_more=1
  while [ -n "$sm_more" ]; do
    sm_more=''
    while read -r sm_p sm_pp sm_rest; do
      case $sm_tree in *" $sm_p "*) continue ;; esac
      case $sm_tree in *" $sm_pp "*) sm_tree="$sm_tree$sm_p " sm_more=1 ;; esac
    done <<EOF
$sm_table
EOF
  done
}

sm_any_alive() { # PID...
  for sm_p in "$@"; do sm_started "$sm_p" && return 0; done
  return 1
}

sm_end_tree() { # PID [below]: TERM, a second's grace, KILL to PID and its descendants, or only to those below it
  sm_descendants "$1"
  [ "${2-}" != below ] || sm_tree=${sm_tree#" $1 "}
  for sm_s in TERM KILL; do
    for sm_p in $sm_tree; do kill "-$sm_s" "$sm_p" 2>/dev/null; done
    sm_i=$sm_naps
    # shellcheck disable=SC2086 # a list of pids
    while sm_any_alive $sm_tree; do
      [ "$sm_i" -gt 0 ] || break
      sleep "$sm_nap"
      sm_i=$((sm_i - 1))
    done
  done
}

sm_within() { # SECONDS FOLDER COMMAND...: COMMAND in a child of its own; sm_rc is its code, 124 when it was not done by then
  sm_patience=$(($1 * sm_naps)) sm_rc_file=$2/rc
  shift 2
  rm -f "$sm_rc_file"
  (
    "$@"
    echo "$?" >"$sm_rc_file"
  ) </dev/null >/dev/null 4>&- 5<&- &
  sm_bounded=$!
  until [ -s "$sm_rc_file" ]; do
    if ! sm_started "$sm_bounded"; then
      [ -s "$sm_rc_file" ] || echo 137 >"$sm_rc_file"
    elif [ "$sm_patience" -le 0 ]; then
      sm_rc=124
      (sm_end_tree "$sm_bounded") </dev/null >/dev/null 2>&1 3>&- 4>&- 5<&- &
      return
    else
      sleep "$sm_nap"
      sm_patience=$((sm_patience - 1))
    fi
  done
  sm_slurp "$sm_rc_file"
  sm_rc=$sm_line
}

# ---- another account, without PAM: PAM writes logs, and logs may lie on what is frozen ----

sm_find_account() { # before open: how as_user becomes $SM_USER
  sm_as=self
  [ -n "${SM_USER-}" ] || return 0
  case $SM_USER in -* | *[!A-Za-z0-9._-]*)
    complain "$SM_USER is not the name of an account"
    return 1
    ;;
  esac
  sm_uid=$(id -u "$SM_USER" 2>/dev/null) || {
    complain "there is no account $SM_USER"
    return 1
  }
  [ "$sm_uid" != "$(id -u)" ] || return 0
  sm_gid=$(id -g "$SM_USER")
  eval "sm_home=~$SM_USER"
  [ "$(id -u)" = 0 ] || {
    sm_as=sudo
    return 0
  }
  for sm_as in setpriv perl python3 chroot su; do
    sm_has "$sm_as" && as_user true 2>/dev/null && return 0
  done
  complain "found no way to run as $SM_USER"
  return 1
}

as_user() { # COMMAND...
  case ${sm_as:-self} in
  self) "$@" ;;
  sudo) sudo -n -H -u "$SM_USER" -- "$@" ;;
  su) su "$SM_USER" -c '"$0" "$@"' "$@" ;;
  *)
    HOME=$sm_home USER=$SM_USER LOGNAME=$SM_USER sm_become "$@"
    ;;
  esac
}

sm_become() {
  export HOME USER LOGNAME
  case $sm_as in
  setpriv) setpriv --reuid "$sm_uid" --regid "$sm_gid" --init-groups -- "$@" ;;
  perl)
    perl -e '$u = shift; $g = shift; $n = shift; $( = $g;
      $) = join " ", $g, $g, split " ", `id -G $n`; $< = $u; $> = $u; $> == $u && $< == $u or die; exec { $ARGV[0] } @ARGV or exit 127' \
      "$sm_uid" "$sm_gid" "$SM_USER" "$@"
    ;;
  python3)
    python3 -c 'import os, sys
n, u, g = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.initgroups(n, g); os.setgid(g); os.setuid(u); os.execvp(sys.argv[4], sys.argv[4:])' "$SM_USER" "$sm_uid" "$sm_gid" "$@"
    ;;
  chroot) chroot "--userspec=$SM_USER:" / "$@" ;;
  esac
}

# ---- sessions: the client is a child of the hand; nobody else holds its ends ----

session_start() { # COMMAND...
  rm -f "$SM_DIR/in" "$SM_DIR/out"
  mkfifo "$SM_DIR/in" "$SM_DIR/out" || return 1
  (
    trap - PIPE
    exec <"$SM_DIR/in" >"$SM_DIR/out" 2>"$SM_DIR/client.err" 3>&- 4>&- 5<&-
    as_user /bin/sh -c 'echo "$$"; exec "$@"' sh "$@"
  ) &
  exec 4>"$SM_DIR/in" 5<"$SM_DIR/out"
  rm -f "$SM_DIR/in" "$SM_DIR/out"
  session_line sm_pid || return 1
  sm_is_number "$sm_pid" || return 1
  sm_note_process "$sm_pid" "$SM_DIR/client.pid"
}

session_send() { printf '%s\n' "$1" >&4; }

session_line() { # VAR; a trap may interrupt read, and that is not the end of the client
  while :; do
    sm_interrupted=''
    IFS= read -r "$1" <&5 && return 0
    [ -n "$sm_interrupted" ] || return 1
  done
}

session_is_alive() { sm_noted_alive "$SM_DIR/client.pid"; }

session_end() { exec 4>&- 5<&-; }

session_kill() { # 0: it was alive, 3: it was gone, 1: it will not go
  session_is_alive || return 3
  kill -KILL "$sm_pid" || return 1
  sm_i=$((5 * sm_naps + sm_looks))
  while session_is_alive; do
    [ "$sm_i" -gt 0 ] || return 1
    [ "$sm_i" -gt $((5 * sm_naps)) ] || sleep "$sm_nap"
    sm_i=$((sm_i - 1))
  done
}
