# SQLite: one client holds BEGIN IMMEDIATE over every database file it was given: writers wait, readers go on.
#
# Every verb begins with CODE COUNT CLIENT…: the Python client's program as one line, how many words the client's command
# has (0: python3 if there is one, else the sqlite3 shell), and those words. Databases come as URIs (file:/a/b?mode=rw),
# so that nothing in a name needs quoting. The client is ended by its first error (-bail), and with it all its locks.

sqlite_client() { # HOW CODE COUNT CLIENT... URI...: the client of the first URI; HOW is as_user or session_start
  sqlite_how=$1 sqlite_count=$3
  # shellcheck disable=SC2034 # the eval below uses it
  sqlite_code=$2
  shift 3
  if [ "$sqlite_count" = 0 ]; then
    sqlite_count=1
    if as_user python3 -I -S -c 'import sqlite3' >/dev/null 2>&1 </dev/null; then
      set -- python3 "$@"
    elif as_user sqlite3 -version >/dev/null 2>&1 </dev/null; then
      set -- sqlite3 "$@"
    else
      complain "neither python3 nor the sqlite3 shell is here: install one, or name another as client"
      return 127
    fi
  fi
  sqlite_program=${1##*/} sqlite_words=''
  while [ "$sqlite_count" -gt 0 ]; do
    sqlite_quote "$1"
    sqlite_count=$((sqlite_count - 1))
    shift
  done
  case $sqlite_program in
  sqlite3*) eval "$sqlite_how $sqlite_words -batch -bail -init /dev/null -noheader -list \"\$1\"" ;;
  *) eval "$sqlite_how $sqlite_words -I -S -c \"\$sqlite_code\" \"\$1\"" ;;
  esac
}

sqlite_quote() { # WORD: one more of sqlite_words, quoted for eval
  sqlite_rest=$1
  sqlite_words="$sqlite_words '"
  while :; do
    case $sqlite_rest in
    *\'*) sqlite_words="$sqlite_words${sqlite_rest%%\'*}'\\''" sqlite_rest=${sqlite_rest#*\'} ;;
    *) break ;;
    esac
  done
  sqlite_words="$sqlite_words$sqlite_rest'"
}

sqlite_answers() { # rows until sm-done, in sqlite_rows; 1 when the client is gone
  sqlite_rows=''
  while session_line sqlite_row; do
    [ "$sqlite_row" != sm-done ] || return 0
    sqlite_rows="$sqlite_rows $sqlite_row"
  done
  while IFS= read -r sqlite_row || [ -n "$sqlite_row" ]; do
    complain "$sqlite_row"
    sqlite_row=''
  done <"$SM_DIR/client.err"
  return 1
}

# ---- check ----

# taking the lock once shows that the account may write there; it changes nothing
sqlite_questions="pragma busy_timeout = 5000;
select sqlite_version();
pragma journal_mode;
pragma page_count;
begin immediate;
rollback;
select 'sm-done';"

sqlite_check() { # PATH CODE COUNT CLIENT... URI: one database. missing, not-sqlite, refused, or version, mode and pages
  sqlite_path=$1
  shift
  if ! as_user test -f "$sqlite_path"; then
    fact missing "$sqlite_path"
    return 0
  fi
  if [ "$(as_user dd "if=$sqlite_path" bs=15 count=1 2>/dev/null)" != 'SQLite format 3' ]; then
    fact not-sqlite "$sqlite_path"
    return 0
  fi
  sqlite_answer=$(printf '%s\n' "$sqlite_questions" | sqlite_client as_user "$@" 2>"$SM_DIR/asked")
  sqlite_rc=$?
  case $sqlite_answer in
  *sm-done)
    # shellcheck disable=SC2086 # each row is one word
    set -- $sqlite_answer
    fact version "$2"
    fact mode "$3"
    fact pages "$4"
    ;;
  *)
    sqlite_why=$(cat "$SM_DIR/asked")
    [ "$sqlite_rc" != 127 ] || complain "$sqlite_why"
    [ "$sqlite_rc" != 127 ] || return 127
    fact refused "${sqlite_why:-exit code $sqlite_rc}"
    ;;
  esac
}

# ---- the hold ----

sqlite_open() { # CODE COUNT CLIENT... URI...
  sqlite_client session_start "$@" || return
  sqlite_attach "$@" >&4
  session_send "select 'sm-done';"
  sqlite_answers
}

sqlite_attach() { # CODE COUNT CLIENT... URI...: statements for every database, the first being main
  shift "$(($2 + 2))"
  echo 'pragma busy_timeout = 5000;'
  sqlite_n=0
  for sqlite_uri in "$@"; do
    [ "$sqlite_n" = 0 ] || echo "attach '$sqlite_uri' as d$sqlite_n;"
    sqlite_n=$((sqlite_n + 1))
  done
  sqlite_pragma schema_version
}

sqlite_pragma() { # NAME: asked of each of the sqlite_n databases
  echo "pragma main.$1;"
  sqlite_i=1
  while [ "$sqlite_i" -lt "$sqlite_n" ]; do
    echo "pragma d$sqlite_i.$1;"
    sqlite_i=$((sqlite_i + 1))
  done
}

# What the log holds goes into the database now and not under the freeze: first what can go without making anybody
# wait, then the rest, for which writers wait a fifth of a second at most.
sqlite_warm() { # CODE COUNT CLIENT... URI...: by a client of its own, whose errors cost nothing
  {
    sqlite_attach "$@"
    echo 'pragma wal_checkpoint(passive);'
    echo 'pragma busy_timeout = 200;'
    echo 'pragma wal_checkpoint(truncate);'
  } | sqlite_client as_user "$@" >/dev/null
  return 0
}

sqlite_enter() { # CODE COUNT CLIENT... URI...
  sqlite_n=$(($# - $2 - 2))
  {
    echo "pragma busy_timeout = $((SM_SECONDS * 900 / sqlite_n));"
    echo 'begin immediate;'
    sqlite_pragma page_count
    echo "select 'sm-done';"
  } >&4
  sqlite_answers || return
  sqlite_rows=${sqlite_rows# }
  fact pages "${sqlite_rows#* }"
}

# A transaction that is gone makes rollback fail, and that ends the client; a client that is gone has held nothing.
sqlite_leave() {
  if session_is_alive && session_send 'rollback;' && session_send "select 'sm-done';" && sqlite_answers; then
    return 0
  fi
  session_kill
  case $? in 0 | 3) return 3 ;; *) return 1 ;; esac
}
