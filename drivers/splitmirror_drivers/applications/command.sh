# command: any application, held by argument lists of a policy. Nothing here is parsed by a shell again.
#
# The arguments of every verb are lists, one after another: KEY COUNT WORD… . Programs: check warm enter verify leave
# rescue capture client. Lines and words of a client: ready enter-lines held leave-lines left failed. Exit codes:
# held-codes was-held-codes not-held-codes foreign-codes. Single words: variable (the secret's), ends (session, server).

# The secret is the program's first line, so that it is in no argument list and passes through any change of account.
# shellcheck disable=SC2016 # the inner shell expands it
command_login='IFS= read -r sm_s; sm_v=$1; shift; [ -z "$sm_s" ] || { eval "$sm_v=\$sm_s"; export "${sm_v?}"; }; unset sm_s sm_v; exec "$@"'

command_with() { # FUNCTION KEY LIST…: FUNCTION with the words of that list; 1 when it is empty or missing
  command_function=$1 command_key=$2
  shift 2
  while [ "$#" -ge 2 ]; do
    command_count=$2
    if [ "$1" = "$command_key" ]; then
      shift 2
      command_beyond=$(($# - command_count))
      while [ "$command_count" -gt 0 ]; do
        set -- "$@" "$1"
        shift
        command_count=$((command_count - 1))
      done
      shift "$command_beyond"
      [ "$#" -gt 0 ] || return 1
      "$command_function" "$@"
      return
    fi
    shift $((command_count + 2))
  done
  return 1
}

command_has() { # KEY LIST…
  command_with true "$@"
}

command_word() { # KEY LIST…: command_one is the list's first word, or ''
  command_one=''
  command_with command_keep "$@"
}

command_keep() { command_one=$1; }

command_is_one() { # WORD…: whether command_line is one of them
  for command_w in "$@"; do
    [ "$command_w" != "$command_line" ] || return 0
  done
  return 1
}

command_code_is() { # CODE KEY LIST…
  command_line=$1
  shift
  command_with command_is_one "$@"
}

command_fill() { # TEXT: command_text has {run}, {verdict} and {seconds} replaced
  command_text=$1
  case $command_text in *'{run}'*) command_text=${command_text%%'{run}'*}$SM_RUN${command_text#*'{run}'} ;; esac
  case $command_text in *'{verdict}'*) command_text=${command_text%%'{verdict}'*}$SM_VERDICT${command_text#*'{verdict}'} ;; esac
  case $command_text in *'{seconds}'*) command_text=${command_text%%'{seconds}'*}$SM_SECONDS${command_text#*'{seconds}'} ;; esac
}

# ---- programs ----

command_run() { # WORD…: the program, with the secret in the variable command_variable
  command_left=$#
  while [ "$command_left" -gt 0 ]; do
    command_fill "$1"
    set -- "$@" "$command_text"
    shift
    command_left=$((command_left - 1))
  done
  if [ -n "$command_variable" ]; then
    printf '%s\n' "$SM_SECRET" | as_user /bin/sh -c "$command_login" sh "$command_variable" "$@"
  else
    as_user "$@" </dev/null
  fi
}

command_do() { # KEY LIST…: runs that program; its exit code
  command_todo=$1
  shift
  command_word variable "$@"
  command_variable=$command_one
  command_with command_run "$command_todo" "$@"
}

command_facts() { # FILE: KEY=VALUE lines are facts, others are told to people
  while IFS= read -r command_line || [ -n "$command_line" ]; do
    command_fact_line
    command_line=''
  done <"$1"
}

command_fact_line() {
  case ${command_line%%=*} in
  "$command_line" | '' | *[!a-z0-9_.-]*) complain "$command_line" ;;
  *) fact "${command_line%%=*}" "${command_line#*=}" ;;
  esac
}

# ---- one-shot verbs ----

command_check() {
  for command_k in check warm enter verify leave rescue capture client; do
    command_with command_look "$command_k" "$@"
  done
  command_has check "$@" || return 0
  command_do check "$@" >"$SM_DIR/out"
  command_rc=$?
  command_facts "$SM_DIR/out"
  return "$command_rc"
}

command_look() { # PROGRAM …: the fact `lacking` when the account cannot find it
  # shellcheck disable=SC2016 # the inner shell expands it
  as_user /bin/sh -c 'command -v "$1" >/dev/null 2>&1' sh "$1" || fact lacking "$1"
}

command_capture() { # every line is a fact
  command_do capture "$@" >"$SM_DIR/out"
  command_rc=$?
  while IFS= read -r command_line || [ -n "$command_line" ]; do
    fact capture "$command_line"
    command_line=''
  done <"$SM_DIR/out"
  return "$command_rc"
}

# ---- the hold ----

command_open() {
  command_has client "$@" || return 0
  command_word variable "$@"
  command_variable=$command_one
  command_with command_start client "$@" || return 1
  [ -z "$command_variable" ] || session_send "$SM_SECRET"
  command_has ready "$@" || return 0
  command_await ready "$@"
}

command_start() {
  if [ -n "$command_variable" ]; then
    session_start /bin/sh -c "$command_login" sh "$command_variable" "$@"
  else
    session_start "$@"
  fi
}

command_send_lines() {
  for command_w in "$@"; do
    command_fill "$command_w"
    session_send "$command_text" || return 1
  done
}

command_await() { # KEY LIST…: 0 at a line of that list, 1 at one of `failed`, or when the client is gone
  command_awaited=$1
  shift
  while session_line command_line; do
    if command_with command_is_one "$command_awaited" "$@"; then return 0; fi
    if command_with command_is_one failed "$@"; then
      complain "the client said $command_line"
      return 1
    fi
    command_fact_line
  done
  while IFS= read -r command_line || [ -n "$command_line" ]; do
    complain "$command_line"
    command_line=''
  done <"$SM_DIR/client.err"
  return 1
}

command_warm() {
  command_has warm "$@" || return 0
  command_do warm "$@"
}

command_enter() {
  if command_has client "$@"; then
    command_with command_send_lines enter-lines "$@" && command_await held "$@"
    return
  fi
  command_was_free=''
  if command_has foreign-codes "$@"; then # a state without an owner: asked directly before it is taken
    command_do check "$@" || return
    command_was_free=yes
  fi
  command_do enter "$@" >"$SM_DIR/out"
  command_rc=$?
  command_facts "$SM_DIR/out"
  if command_code_is "$command_rc" held-codes "$@"; then return 0; fi
  if [ -n "$command_was_free" ]; then # nobody held it a moment ago: what half of it stands now is ours
    SM_OWN=yes SM_VERDICT=bad
    command_rescue "$@"
  fi
  [ "$command_rc" != 0 ] || command_rc=1
  return "$command_rc"
}

command_leave() { # on the way out nothing is written to a file: a record that is full is no reason to stay held
  if command_has client "$@"; then
    command_leave_client "$@"
    return
  fi
  command_seen=held
  if command_has verify "$@"; then
    command_do verify "$@"
    command_rc=$?
    if command_code_is "$command_rc" not-held-codes "$@"; then return 3; fi
    [ "$command_rc" = 0 ] || command_seen=unknown
  fi
  command_do leave "$@"
  command_kept "$?" "$@" || return
  [ "$command_seen" = held ]
}

command_kept() { # CODE LIST…: 0 was held, 3 was not, 1 nobody knows
  command_code=$1
  shift
  if command_code_is "$command_code" was-held-codes "$@"; then return 0; fi
  if command_code_is "$command_code" not-held-codes "$@"; then return 3; fi
  return 1
}

command_leave_client() {
  command_word ends "$@"
  command_ends=$command_one
  if session_is_alive && command_with command_send_lines leave-lines "$@" && command_await left "$@"; then
    return 0
  fi
  [ "$command_ends" = session ] || return 1 # rescue ends what outlives the client
  session_kill
  case $? in 0 | 3) return 3 ;; *) return 1 ;; esac
}

command_rescue() { # needs neither the secret nor anything of enter's; a client that holds by its session is ended by the guard
  command_word ends "$@"
  [ "$command_one" != session ] || return 3
  [ "$SM_OWN" = yes ] || return 3
  if command_has client "$@"; then session_kill; fi
  if [ -n "$SM_USER" ] && [ "${sm_as:-self}" = self ]; then sm_find_account || return 1; fi
  command_todo=leave
  if command_has rescue "$@"; then command_todo=rescue; fi
  command_do "$command_todo" "$@"
  command_kept "$?" "$@"
}
