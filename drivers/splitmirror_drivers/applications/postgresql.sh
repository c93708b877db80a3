# PostgreSQL: backup mode is held by one psql that the guard's hand speaks to; when it ends, the server ends the backup.
#
# Every verb begins with the same five words: ADDRESS PORT ROLE DATABASE PSQL ("" = psql's own default, found on PATH).
# psql: exit code 2 is a lost or refused connection, 3 an SQL error with ON_ERROR_STOP (PostgreSQL 15 manual, psql).

# The password is the client's first line, so that it is in no argument list and passes through any change of account.
# shellcheck disable=SC2016 # the inner shell expands it
postgresql_login='IFS= read -r p; [ -z "$p" ] || { PGPASSWORD=$p; export PGPASSWORD; }; unset p
PGCONNECT_TIMEOUT=10 PGAPPNAME=splitmirror; export PGCONNECT_TIMEOUT PGAPPNAME; unset PGOPTIONS PGSERVICE
a=$1; shift; [ -z "$a" ] || set -- "$@" -h "$a"; exec "$@"'

postgresql_client() { # HOW ADDRESS PORT ROLE DATABASE PSQL: HOW is as_user or session_start
  "$1" /bin/sh -c "$postgresql_login" sh "$2" \
    "${6:-psql}" -X -q -A -t -w -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -p "$3" -U "$4" -d "$5"
}

postgresql_ask() { # ADDRESS PORT ROLE DATABASE PSQL SQL: one psql of its own; its exit code
  printf '%s\n%s\n' "$SM_SECRET" "$6" | postgresql_client as_user "$1" "$2" "$3" "$4" "$5"
}

postgresql_facts() { # each "KEY=VALUE" line on standard input is a fact
  while IFS= read -r postgresql_row; do
    case $postgresql_row in *=*) fact "${postgresql_row%%=*}" "${postgresql_row#*=}" ;; esac
  done
}

# Rows are hidden, not refused, where the role may not see a setting; a function that this version lacks gives 'missing'.
postgresql_questions="
set statement_timeout = '30s';
select 'version=' || current_setting('server_version_num');
select 'recovery=' || pg_is_in_recovery();
select 'setting.' || name || '=' || setting from pg_settings where name in ('data_directory', 'config_file', 'hba_file',
  'ident_file', 'wal_level', 'archive_mode', 'fsync', 'full_page_writes', 'data_checksums', 'wal_segment_size', 'port');
select 'setting.wal_segment_size=' || pg_size_bytes(current_setting('wal_segment_size'));
select 'archiver=' || case when exists (select from pg_settings where name in ('archive_command', 'archive_library')
  and setting not in ('', '(disabled)')) then 'set' else 'unset' end;
select 'archiver.failed=' || coalesce(last_failed_wal, '') || ' ' || (last_failed_time > coalesce(last_archived_time, '-infinity'))::text
  from pg_stat_archiver where last_failed_time is not null;
select 'tablespace=' || oid || ' ' || pg_tablespace_location(oid) from pg_tablespace where pg_tablespace_location(oid) <> '' order by oid;
select 'may.' || n || '=' || coalesce(has_function_privilege(to_regprocedure(f), 'execute')::text, 'missing') from (values
  ('start', 'pg_backup_start(text,boolean)'), ('stop', 'pg_backup_stop(boolean)'), ('status', 'pg_ls_archive_statusdir()'),
  ('reserve', 'pg_create_physical_replication_slot(name,boolean,boolean)')) v(n, f);
select 'role.replication=' || (rolreplication or rolsuper)::text from pg_roles where rolname = current_user;
"

postgresql_check() { # ADDRESS PORT ROLE DATABASE PSQL
  postgresql_answer=$(postgresql_ask "$1" "$2" "$3" "$4" "$5" "$postgresql_questions") || return
  postgresql_facts <<END
$postgresql_answer
END
  case $postgresql_answer in *setting.data_directory=*) ;; *) return 0 ;; esac
  postgresql_data=${postgresql_answer#*setting.data_directory=}
  postgresql_data=${postgresql_data%%"
"*}
  # shellcheck disable=SC2016 # the inner shell expands it
  if postgresql_row=$(as_user /bin/sh -c 'cd -P "$1" && pwd -P' sh "$postgresql_data/pg_wal"); then
    fact wal "$postgresql_row"
  fi
}

# ---- the hold ----

postgresql_open() { # ADDRESS PORT ROLE DATABASE PSQL LEASE RESERVE: RESERVE=yes keeps log files until the client ends
  postgresql_client session_start "$1" "$2" "$3" "$4" "$5" || return 1
  session_send "$SM_SECRET"
  session_send "set idle_session_timeout = '${6}s'; set statement_timeout = '30s'; set client_min_messages = error;"
  if [ "${7-}" = yes ]; then
    session_send '\set ON_ERROR_STOP 0'
    session_send "select 'reserved=' || slot_name from pg_create_physical_replication_slot('splitmirror_' || pg_backend_pid(), true, true);"
    session_send '\set ON_ERROR_STOP 1'
  fi
  session_send "select 'backend=' || pg_backend_pid(); \\echo sm-done"
  postgresql_answers
}

postgresql_answers() { # facts until sm-done; 1 when the client is gone
  while session_line postgresql_row; do
    case $postgresql_row in
    sm-done) return 0 ;;
    *=*) fact "${postgresql_row%%=*}" "${postgresql_row#*=}" ;;
    esac
  done
  postgresql_why
  return 1
}

postgresql_why() {
  while IFS= read -r postgresql_row || [ -n "$postgresql_row" ]; do
    complain "$postgresql_row"
    postgresql_row=''
  done <"$SM_DIR/client.err"
}

postgresql_warm() { # a role that may not CHECKPOINT only makes the start of the backup slower
  session_send '\set ON_ERROR_STOP 0'
  session_send "set statement_timeout = 0; checkpoint;"
  session_send '\set ON_ERROR_STOP 1'
  session_send '\echo sm-done'
  postgresql_answers
}

postgresql_enter() {
  session_send "set statement_timeout = '${SM_SECONDS}s';"
  session_send "select 'start-lsn=' || pg_backup_start('splitmirror $SM_RUN', fast => true);"
  session_send "select 'start-timeline=' || timeline_id from pg_control_checkpoint();"
  session_send "select 'system-identifier=' || system_identifier from pg_control_system();"
  session_send '\echo sm-done'
  postgresql_answers
}

# The label has several lines, each a fact of its own; what reads them puts the line breaks back.
postgresql_stop="with s as materialized (select * from pg_backup_stop(false))
select k || '=' || l from (
  select 1 as i, 0::bigint as n, 'stop-lsn' as k, lsn::text as l from s
  union all select 2, n, 'label', l from s, regexp_split_to_table(labelfile, E'\\n') with ordinality t(l, n)
  union all select 3, n, 'map', l from s, regexp_split_to_table(spcmapfile, E'\\n') with ordinality t(l, n)
  union all select 4, 0, 'stop-timeline', timeline_id::text from pg_control_checkpoint()
) x order by i, n;"

postgresql_leave() { # the session that started the backup must be the one that ends it; a lost one has ended it already
  if session_is_alive && session_send "set statement_timeout = '${SM_SECONDS}s'; $postgresql_stop" &&
    session_send '\echo sm-done' && postgresql_answers; then
    return 0
  fi
  session_kill
  case $? in 0 | 3) return 3 ;; *) return 1 ;; esac
}

# ---- after the resume ----

postgresql_archived() { # ADDRESS PORT ROLE DATABASE PSQL SEGMENT STATUS: waits until it is archived; fact archived
  postgresql_until=$((SM_SECONDS - 2))
  postgresql_sql="select 'archived=' || (left(last_archived_wal, 24) >= '$6')::text from pg_stat_archiver;"
  [ "$7" != yes ] || postgresql_sql="select 'archived=' || (exists (select from pg_ls_archive_statusdir() where name = '$6.done')
    or left(a.last_archived_wal, 24) >= '$6' and not exists (select from pg_ls_archive_statusdir() where name = '$6.ready'))::text
    from pg_stat_archiver a;"
  while :; do
    postgresql_answer=$(postgresql_ask "$1" "$2" "$3" "$4" "$5" "$postgresql_sql") || return
    case $postgresql_answer in *archived=true*) break ;; esac
    [ "$postgresql_until" -gt 0 ] || break
    sleep 1
    postgresql_until=$((postgresql_until - 1))
  done
  postgresql_facts <<END
$postgresql_answer
END
}
