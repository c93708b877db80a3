# MariaDB and MySQL: the locks belong to one client that the guard's hand speaks to; when it ends, the server lets go.
#
# Every verb begins with the same four words: ADDRESS PORT USER CLIENT ("" = the client's own socket; mariadb or mysql).
# Client: exit code 1 is any failure, its error stands on standard error as "ERROR NUMBER (STATE)"; in batch mode the
# first error ends it, and with it the session and every lock (MariaDB 10.11, tried).

# The password is the client's first line, so that it is in no argument list and passes through any change of account.
# shellcheck disable=SC2016 # the inner shell expands it
mysql_login='IFS= read -r p; unset MYSQL_PWD; [ -z "$p" ] || { MYSQL_PWD=$p; export MYSQL_PWD; }; unset p
unset MYSQL_HOST MYSQL_TCP_PORT MYSQL_UNIX_PORT; MYSQL_TEST_LOGIN_FILE=/nonexistent/login; export MYSQL_TEST_LOGIN_FILE
a=$1 c=$2; shift 2
case $a in "") ;; /*) set -- "$@" --socket="$a" ;; *) set -- "$@" --protocol=tcp --host="$a" ;; esac
[ -n "$c" ] || for c in mariadb mysql; do ! command -v "$c" >/dev/null || break; done
exec "$c" "$@"'

mysql_client() { # HOW ADDRESS PORT USER CLIENT [OPTION]: HOW is as_user or session_start
  "$1" /bin/sh -c "$mysql_login" sh "$2" "$5" --no-defaults --batch --unbuffered --skip-reconnect --no-auto-rehash \
    --connect-timeout=10 --default-character-set=utf8mb4 --user="$4" --port="$3" ${6:+"$6"}
}

mysql_ask() { # ADDRESS PORT USER CLIENT SQL [OPTION]: one client of its own; its exit code
  printf '%s\nset session lock_wait_timeout = 5; %s\n' "$SM_SECRET" "$5" |
    mysql_client as_user "$1" "$2" "$3" "$4" "${6---skip-column-names}"
}

mysql_tab=$(printf '\t')

mysql_facts() { # each "KEY=VALUE" line is a fact; "NAME<TAB>VALUE" is a server variable
  while IFS= read -r mysql_row; do
    case $mysql_row in
    *"$mysql_tab"*) fact "variable.${mysql_row%%"$mysql_tab"*}" "${mysql_row#*"$mysql_tab"}" ;;
    *=*) fact "${mysql_row%%=*}" "${mysql_row#*=}" ;;
    esac
  done
}

mysql_questions="
select concat('version=', version());
select concat('comment=', @@version_comment);
select concat('account=', current_user());
select concat('privilege=', privilege_type) from information_schema.user_privileges
  where grantee = concat('''', left(current_user(), length(current_user()) - locate('@', reverse(current_user()))),
    '''@''', substring_index(current_user(), '@', -1), '''');
show global variables where variable_name in ('datadir', 'innodb_data_home_dir', 'innodb_log_group_home_dir',
  'innodb_undo_directory', 'innodb_doublewrite_dir', 'aria_log_dir_path', 'log_bin', 'log_bin_basename',
  'relay_log_basename', 'innodb_flush_log_at_trx_commit', 'sync_binlog', 'read_only', 'innodb_doublewrite',
  'innodb_force_recovery', 'server_uuid');
select concat('place-table=', table_name, '.', column_name) from information_schema.columns
  where table_schema = 'information_schema' and concat(table_name, '.', column_name) in
    ('INNODB_SYS_TABLESPACES.FILENAME', 'INNODB_SYS_DATAFILES.PATH', 'INNODB_DATAFILES.PATH');
select concat('engine=', engine, ' ', count(*), ' ', min(concat(table_schema, '.', table_name)))
  from information_schema.tables where table_type = 'BASE TABLE' and engine is not null
  and table_schema not in ('mysql', 'sys', 'information_schema', 'performance_schema') group by engine order by engine;
"

# What needs PROCESS. Waiting for a lock that stops writes means that somebody holds it, or waits for it himself.
mysql_questions_process="
select concat('waits=', id, ' ', time, ' ', state) from information_schema.processlist where time >= 2
  and state in ('Waiting for backup lock', 'Waiting for global read lock', 'Waiting for commit lock') order by time desc;
"

# Locks held now, where the server keeps book of them and the account may read it.
mysql_questions_locks="
select concat('lock=', t.processlist_id, ' ', l.lock_type) from performance_schema.metadata_locks l
  join performance_schema.threads t on t.thread_id = l.owner_thread_id
  where l.lock_status = 'GRANTED' and l.lock_duration = 'EXPLICIT' and t.processlist_id <> connection_id()
  and (l.object_type in ('GLOBAL', 'COMMIT') or l.object_type = 'BACKUP' and l.lock_type <> 'BACKUP_START');
"

mysql_check() { # ADDRESS PORT USER CLIENT
  mysql_answer=$(mysql_ask "$1" "$2" "$3" "$4" "$mysql_questions") || return
  mysql_facts <<END
$mysql_answer
END
  mysql_find_links "$mysql_answer"
  mysql_value version= "$mysql_answer"
  mysql_kind "$mysql_found"
  case $mysql_answer in *privilege=PROCESS*) mysql_more=$mysql_questions_process ;; *) mysql_more='' ;; esac
  mysql_value place-table= "$mysql_answer"
  case $mysql_answer in *privilege=PROCESS*place-table=*)
    mysql_more="$mysql_more select concat('place=', ${mysql_found#*.}) from information_schema.${mysql_found%.*}
      where ${mysql_found#*.} not like './%';
      select concat('encrypted=', count(*)) from information_schema.$mysql_encrypted;"
    ;;
  esac
  mysql_rows=$(mysql_ask "$1" "$2" "$3" "$4" "$mysql_more") || return
  mysql_facts <<END
$mysql_rows
END
  mysql_rows=$(mysql_ask "$1" "$2" "$3" "$4" "$mysql_questions_locks" 2>/dev/null) && mysql_facts <<END
$mysql_rows
END
  if mysql_rows=$(mysql_ask "$1" "$2" "$3" "$4" "$mysql_replica;" '' 2>/dev/null); then
    fact replica known
    [ -z "$mysql_rows" ] || fact replica-columns "${mysql_rows%%"
"*}"
  fi
  [ "$mysql_is" != mysql ] ||
    ! mysql_ask "$1" "$2" "$3" "$4" 'select 1 from performance_schema.log_status;' >/dev/null 2>&1 || fact log-status yes
}

mysql_value() { # PREFIX ANSWER: mysql_found is the rest of the first line that begins so, '' without one
  case "
$2" in
  *"
$1"*)
    mysql_found="
$2"
    mysql_found=${mysql_found#*"
$1"}
    mysql_found=${mysql_found%%"
"*}
    ;;
  *) mysql_found='' ;;
  esac
}

mysql_kind() { # VERSION: the words that differ
  case $1 in
  *[Mm]aria[Dd][Bb]*)
    mysql_is=mariadb mysql_replica='show all slaves status'
    mysql_encrypted="innodb_tablespaces_encryption where encryption_scheme <> 0"
    ;;
  *)
    mysql_is=mysql mysql_replica='show replica status' mysql_encrypted="innodb_tablespaces where encryption = 'Y'"
    case $1 in 8.0.[0-9] | 8.0.[0-9][!0-9]* | 8.0.1[0-9]* | 8.0.2[01]*) mysql_replica='show slave status' ;; esac
    ;;
  esac
}

mysql_find_links() { # ANSWER: databases and tables may be links to elsewhere, which only the folder itself tells
  mysql_value "datadir$mysql_tab" "$1"
  [ -n "$mysql_found" ] || return 0
  # shellcheck disable=SC2016 # the inner shell expands it
  if mysql_links=$(as_user /bin/sh -c 'cd "$1" 2>/dev/null && find . -type l -print' sh "$mysql_found"); then
    fact links known
    while IFS= read -r mysql_row; do
      [ -z "$mysql_row" ] || fact link "${mysql_found%/}/${mysql_row#./}"
    done <<END
$mysql_links
END
  fi
}

# ---- the hold ----
# ADDRESS PORT USER CLIENT HOW WAIT LONG LEASE FOLDER WORDS; HOW: stage | instance | instance-read | read. WAIT: seconds that
# lock requests may wait, all together. LONG: statements running longer are not waited for. LEASE: seconds after
# which the server itself ends a silent session. FOLDER: the data folder. WORDS: what to note, each between commas:
# mariadb mysql (kind), master-status binary-log-status log-status (statement), slaves replica slave, sync.

mysql_open() {
  mysql_client session_start "$1" "$2" "$3" "$4" --skip-column-names || return 1
  session_send "$SM_SECRET"
  session_send "set session lock_wait_timeout = $6; set session wait_timeout = 28800; select concat('connection=', connection_id());"
  session_send "select 'sm-done';"
  mysql_answers
}

mysql_answers() { # facts until sm-done; 1 when the client is gone
  mysql_set=''
  while session_line mysql_row; do
    case $mysql_row in
    sm-done) return 0 ;;
    sm-*) mysql_set=${mysql_row#sm-} ;;
    *) mysql_answer_row ;;
    esac
  done
  mysql_why
  return 1
}

mysql_answer_row() {
  case $mysql_set in
  binlog)
    fact binlog-file "${mysql_row%%"$mysql_tab"*}"
    mysql_row=${mysql_row#*"$mysql_tab"}
    fact binlog-position "${mysql_row%%"$mysql_tab"*}"
    ;;
  replica) fact replica-row "$mysql_row" ;;
  running)
    complain "running since before the lock: $mysql_row"
    mysql_running=yes
    ;;
  *)
    case $mysql_row in connection=*) printf '%s\n' "$mysql_row" >"$SM_DIR/connection" ;; esac
    case $mysql_row in *=*) fact "${mysql_row%%=*}" "${mysql_row#*=}" ;; esac
    ;;
  esac
}

mysql_why() {
  while IFS= read -r mysql_row || [ -n "$mysql_row" ]; do
    case $mysql_row in '' | --------------) ;; *) complain "$mysql_row" ;; esac
    mysql_row=''
  done <"$SM_DIR/client.err"
}

mysql_warm() { # what is written now need not be written while commits wait. No FLUSH TABLES: it waits for long statements
  session_send "flush local engine logs;"
  session_send "select 'sm-done';"
  mysql_answers
  mysql_sync "$9"
}

mysql_sync() { # FOLDER: its filesystem, or where that cannot be, all of them
  sync -f "$1" 2>/dev/null || sync
}

# Text in quotes is left out: it may be a password or somebody's data.
mysql_running_sql() { # SECONDS
  mysql_sql="select concat('thread ', id, ' of ', user, ' for ', time, ' s: ', coalesce(replace(left(substring_index(
    substring_index(info, '''', 1), '\"', 1), 80), char(10), ' '), state, '')) from information_schema.processlist
    where id <> connection_id() and command not in ('Sleep', 'Daemon', 'Binlog Dump', 'Binlog Dump GTID', 'Slave_IO',
    'Slave_SQL', 'Slave_worker', 'Connect') and user not in ('system user', 'event_scheduler') and time >= $1 order by time desc limit 5;"
}

mysql_enter() {
  mysql_running=''
  case $5 in *read)
    mysql_running_sql "$7"
    session_send "select 'sm-running'; $mysql_sql select 'sm-done';"
    mysql_answers || return 1
    [ -z "$mysql_running" ] || {
      complain "no lock was asked for: behind a statement that runs longer than $7 s it would stop the whole site"
      return 4
    }
    ;;
  esac
  session_send "set session wait_timeout = $8; set @sm_began = unix_timestamp(sysdate());"
  mysql_lock "$5" "$6"
  case $5 in instance) ;; *) session_send "flush local engine logs;" ;; esac
  mysql_note "${10}"
  session_send "select 'sm-facts'; select concat('connection=', connection_id()); select 'sm-done';"
  if mysql_answers; then
    case ${10} in *,sync,*) mysql_sync "$9" ;; esac
    return 0
  fi
  mysql_running_sql 1
  mysql_rows=$(mysql_ask "$1" "$2" "$3" "$4" "$mysql_sql" 2>/dev/null) && [ -n "$mysql_rows" ] &&
    complain "running meanwhile: $mysql_rows"
  return 1
}

mysql_lock() { # HOW WAIT: each request may wait for what is left of WAIT, at least a second
  case $1 in
  stage) set -- "$2" 'backup stage start' 'backup stage flush' 'backup stage block_ddl' 'backup stage block_commit' ;;
  instance) set -- "$2" 'lock instance for backup' ;;
  instance-read) set -- "$2" 'lock instance for backup' 'flush tables with read lock' ;;
  read) set -- "$2" 'flush tables with read lock' ;;
  esac
  mysql_wait=$1
  shift
  for mysql_sql in "$@"; do
    session_send "set session lock_wait_timeout = greatest(1, cast($mysql_wait - (unix_timestamp(sysdate()) - @sm_began) as signed));"
    session_send "$mysql_sql;"
  done
}

mysql_note() { # WORDS: positions of this very moment, read by the session that holds the lock
  case $1 in
  *,master-status,*) session_send "select 'sm-binlog'; show master status; select 'sm-facts';" ;;
  *,binary-log-status,*) session_send "select 'sm-binlog'; show binary log status; select 'sm-facts';" ;;
  *,log-status,*) session_send "select concat('log-status=', local) from performance_schema.log_status;" ;;
  esac
  case $1 in
  *,mariadb,*) session_send "select concat('gtid-binlog-pos=', @@gtid_binlog_pos); select concat('gtid-slave-pos=', @@gtid_slave_pos);" ;;
  *,mysql,*) session_send "select concat('gtid-executed=', @@global.gtid_executed);" ;;
  esac
  case $1 in
  *,slaves,*) session_send "select 'sm-replica'; show all slaves status;" ;;
  *,replica,*) session_send "select 'sm-replica'; show replica status;" ;;
  *,slave,*) session_send "select 'sm-replica'; show slave status;" ;;
  esac
}

mysql_leave() { # only the session that took the lock can end it: the same client, the same connection
  case $5 in
  stage) mysql_sql='backup stage end;' ;;
  instance) mysql_sql='unlock instance;' ;;
  instance-read) mysql_sql='unlock tables; unlock instance;' ;;
  read) mysql_sql='unlock tables;' ;;
  esac
  mysql_found=none mysql_row=''
  { IFS= read -r mysql_found <"$SM_DIR/connection"; } 2>/dev/null
  if session_is_alive && session_send "$mysql_sql select concat('connection=', connection_id());" &&
    session_line mysql_row && [ "$mysql_row" = "$mysql_found" ]; then
    return 0
  fi
  mysql_why
  session_kill
  case $? in 0 | 3) return 3 ;; *) return 1 ;; esac
}
