# Oracle: backup mode, and I/O suspended. Both belong to the database and not to a session: the client only logs in early,
# so that nothing needs a login while filesystems stand still (a login as sysdba writes an audit file).
#
# Every verb begins with the same four words: HOME SID USER CLIENT. HOME "" = oratab; USER "" = operating system authentication
# (/ as sysdba); CLIENT "" = svrmgrl where it exists (up to 8i), else sqlplus.
# Errors are told by their numbers, of whatever language and client; exit codes are not looked at (sqlplus: modulo 256,
# svrmgrl: always 0). Rows that we ask for begin with "sm:". Everything is on one line, since svrmgrl prompts for a second.

# shellcheck disable=SC2016 # the inner shell expands it
oracle_start='ORACLE_HOME=$1 ORACLE_SID=$2 NLS_LANG=AMERICAN_AMERICA.US7ASCII
LD_LIBRARY_PATH=$1/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} LIBPATH=$1/lib${LIBPATH:+:$LIBPATH} SHLIB_PATH=$1/lib${SHLIB_PATH:+:$SHLIB_PATH}
export ORACLE_HOME ORACLE_SID NLS_LANG LD_LIBRARY_PATH LIBPATH SHLIB_PATH
unset TWO_TASK LOCAL SQLPATH ORACLE_PATH NLS_DATE_FORMAT NLS_LANGUAGE ORACLE_PDB_SID
cd / || exit; case $3 in svrmgrl) exec "$1/bin/svrmgrl" ;; *) exec "$1/bin/sqlplus" -S /nolog ;; esac'

oracle_find() { # HOME SID CLIENT: oracle_home and oracle_client
  oracle_home=$1 oracle_client=$3
  if [ -z "$oracle_home" ]; then
    for oracle_w in /etc/oratab /var/opt/oracle/oratab; do
      [ -r "$oracle_w" ] || continue
      while IFS=: read -r oracle_x oracle_y oracle_z; do
        [ "$oracle_x" != "$2" ] || [ -n "$oracle_home" ] || oracle_home=$oracle_y
      done <"$oracle_w"
    done
  fi
  [ -n "$oracle_home" ] || {
    complain "no oratab names an Oracle home for $2: set oracle-home"
    return 1
  }
  [ -n "$oracle_client" ] || if as_user /bin/sh -c '[ -x "$1" ]' sh "$oracle_home/bin/svrmgrl"; then oracle_client=svrmgrl; else oracle_client=sqlplus; fi
}

oracle_settings() { # again after connect, which runs the site's glogin.sql
  case $oracle_client in
  svrmgrl) session_send 'set charwidth 2000' ;;
  *)
    session_send 'set define off verify off echo off heading off pagesize 0 linesize 32767 trimout on tab off feedback off'
    session_send 'set wrap on time off timing off sqlnumber off autoprint off autotrace off serveroutput off termout on numwidth 40'
    session_send 'whenever sqlerror continue'
    session_send 'whenever oserror continue'
    ;;
  esac
}

oracle_login() { # HOME SID USER CLIENT: 0: logged in; oracle_codes says why not
  oracle_find "$1" "$2" "$4" || return 1
  case ,$3,$SM_SECRET in ,?*,*\"*)
    complain "the password has a quotation mark in it, which no statement can hold"
    return 1
    ;;
  esac
  session_start /bin/sh -c "$oracle_start" sh "$oracle_home" "$2" "$oracle_client" || return 1
  oracle_settings
  case $3,$oracle_client in
  ,svrmgrl) session_send 'connect internal' ;;
  ,*) session_send 'connect / as sysdba' ;;
  *) session_send "connect $3/\"$SM_SECRET\"" ;;
  esac
  oracle_settings
  oracle_run "select 'sm:login=' || user from dual;"
  case $oracle_rows in *login=*) return 0 ;; esac
  complain "cannot log in to $2:${oracle_codes:- the client ended}$oracle_said"
  return 1
}

# ---- asking: rows, numbers of errors, and whatever else was said ----

oracle_run() { # STATEMENT...: oracle_rows (KEY=VALUE lines), oracle_codes; 1 when client or instance are gone
  oracle_rows='' oracle_codes='' oracle_said='' oracle_lost=''
  for oracle_sql in "$@"; do session_send "$oracle_sql" || return 1; done
  case $oracle_client in
  svrmgrl) session_send "select 'sm-done' from dual;" ;;
  *) session_send 'prompt sm-done' ;;
  esac || return 1
  while session_line oracle_row; do
    while :; do
      case $oracle_row in "SVRMGR> "*) oracle_row=${oracle_row#SVRMGR> } ;; *) break ;; esac
    done
    oracle_row=${oracle_row%"${oracle_row##*[! ]}"}
    [ "$oracle_row" != sm-done ] || {
      [ -z "$oracle_lost" ]
      return
    }
    oracle_line
    # svrmgrl's mark is a query, which a lost session does not answer
    if [ -n "$oracle_lost" ] && [ "$oracle_client" = svrmgrl ]; then return 1; fi
  done
  while IFS= read -r oracle_row || [ -n "$oracle_row" ]; do
    complain "$oracle_row"
    oracle_row=''
  done <"$SM_DIR/client.err"
  return 1
}

oracle_line() { # oracle_row: one line of an answer
  case $oracle_row in
  '') ;;
  sm:*=*) oracle_rows="$oracle_rows${oracle_row#sm:}
" ;;
  ORA-28002* | ORA-28011* | ORA-32004*) ;; # a password or a parameter that will have to change; the login is good
  [A-Z][A-Z0-9][A-Z0-9]-[0-9]*)
    oracle_code=${oracle_row%%:*}
    oracle_codes="$oracle_codes ${oracle_code%% *}"
    oracle_said="$oracle_said; $oracle_row"
    case ${oracle_code%% *} in
    ORA-03113 | ORA-03114 | ORA-03135 | ORA-01012 | ORA-01034 | ORA-01033 | ORA-01041 | ORA-01089 | ORA-01092 | ORA-02396 | ORA-02399 | ORA-27101 | SP2-0640)
      oracle_lost=1
      ;;
    esac
    ;;
  *) [ "$oracle_client" = svrmgrl ] || oracle_said="$oracle_said; $oracle_row" ;; # svrmgrl has headings and counts everywhere
  esac
}

oracle_do() { # STATEMENT...: 0 only when each was carried out without a word
  oracle_run "$@" && [ -z "$oracle_codes$oracle_said" ]
}

oracle_is() { case $oracle_codes in *" ORA-$1"*) ;; *) return 1 ;; esac; } # NUMBER, five digits

oracle_value() { # KEY: oracle_v is the value of its first row
  case "
$oracle_rows" in
  *"
$1="*) ;;
  *)
    oracle_v=''
    return 1
    ;;
  esac
  oracle_v="
$oracle_rows"
  oracle_v=${oracle_v#*"
$1="}
  oracle_v=${oracle_v%%"
"*}
}

oracle_facts() { # every row is a fact
  while IFS= read -r oracle_row; do
    case $oracle_row in *=*) fact "${oracle_row%%=*}" "${oracle_row#*=}" ;; esac
  done <<END
$oracle_rows
END
}

oracle_tell() { # WHAT STATEMENT: its rows as facts; failed = WHAT CODES when it was refused
  oracle_run "$2"
  oracle_rc=$?
  oracle_facts
  [ -z "$oracle_codes" ] || fact failed "$1$oracle_codes"
  return "$oracle_rc"
}

oracle_logs="select 'sm:@=' || thread# || ' ' || sequence# from v\$log where status = 'CURRENT' order by thread#;"

oracle_log_facts() { # begin|end: the log that each thread writes now
  oracle_tell "$1-log" "${oracle_logs%%@*}$1-log${oracle_logs#*@}"
}

# ---- check ----

oracle_check() { # HOME SID USER CLIENT
  trap '' PIPE
  if ! oracle_login "$@"; then
    fact refused "$oracle_codes"
    return 1
  fi
  fact home "$oracle_home"
  fact client "$oracle_client"
  oracle_tell instance "select 'sm:status=' || status from v\$instance;" || return 1
  oracle_value status
  oracle_status=$oracle_v
  oracle_tell instance "select 'sm:version=' || version from v\$instance;"
  oracle_value version
  oracle_major=${oracle_v%%.*}
  oracle_tell instance "select 'sm:parallel=' || parallel from v\$instance;"
  oracle_tell instance "select 'sm:io=' || database_status from v\$instance;"
  oracle_value io
  [ "$oracle_status" = OPEN ] && [ "$oracle_v" = ACTIVE ] || return 0 # other views would not answer, or wait
  for oracle_w in name dbid log_mode open_mode; do
    oracle_tell database "select 'sm:database.$oracle_w=' || $oracle_w from v\$database;"
  done
  [ "$oracle_major" -lt 9 ] || oracle_tell database "select 'sm:database.role=' || database_role from v\$database;"
  oracle_tell files "select 'sm:file=' || status || '|' || enabled || '|' || name from v\$datafile order by file#;"
  oracle_tell backup "select 'sm:active=' || d.name from v\$backup b, v\$datafile d where b.file# = d.file# and b.status = 'ACTIVE' order by d.file#;"
  oracle_tell recover "select 'sm:recover=' || r.file# || ' ' || d.name from v\$recover_file r, v\$datafile d where r.file# = d.file# and (r.error is null or r.error <> 'OFFLINE NORMAL') order by r.file#;"
  oracle_tell redo "select 'sm:redo=' || member from v\$logfile;"
  oracle_tell control "select 'sm:control=' || name from v\$controlfile;"
  oracle_tell archive "select 'sm:archive=' || destination from v\$archive_dest where status = 'VALID' and target = 'PRIMARY' and destination is not null;"
  oracle_tell parameters "select 'sm:parameter.' || name || '=' || value from v\$parameter where value is not null and name in ('audit_file_dest', 'diagnostic_dest', 'background_dump_dest', 'db_recovery_file_dest', 'spfile', 'log_archive_start');"
  if [ -n "$3" ]; then oracle_may_rescue "$1" "$2" "$4"; fi
  session_end
}

oracle_may_rescue() ( # HOME SID CLIENT: what ends a hold when all else is dead has no password
  SM_DIR=$SM_DIR/rescue
  mkdir "$SM_DIR" && oracle_login "$1" "$2" '' "$3" 2>/dev/null && fact may-rescue yes
  session_end
)

# ---- the holds: HOME SID USER CLIENT KIND WAY; KIND backup: WAY database | tablespace; KIND suspend: WAY - ----

oracle_open() {
  oracle_login "$1" "$2" "$3" "$4" || return 1
  cp "$SM_DIR/client.pid" "$SM_DIR/server-of" # the pid as the server knows it, kept over later clients
}

oracle_warm() { # what the checkpoint writes now, begin backup need not. A client of its own: only time is lost when it hangs
  [ "$5" = backup ] || return 0
  SM_DIR=$SM_DIR/warm
  mkdir "$SM_DIR" && oracle_login "$1" "$2" "$3" "$4" && oracle_run 'alter system checkpoint;'
  session_end
}

oracle_enter() { # 125 whenever it may have been taken: the guard rescues as for an enter that it cut itself
  case $5 in suspend) oracle_enter_suspend ;; *) oracle_enter_backup "$6" ;; esac
}

oracle_leave() {
  case $5 in suspend) oracle_leave_suspend ;; *) oracle_leave_backup "$@" ;; esac
}

oracle_rescue() { # as sysdba by a client of its own; what our record does not say is ours stays
  [ "$SM_OWN" = yes ] || return 3
  [ -e "$SM_DIR/low" ] || return 3 # never got as far as to take it
  session_kill
  oracle_login "$1" "$2" '' "$4" || return 1
  oracle_kind=$5 oracle_was=3
  oracle_end || return 1
  # what was asked for may be carried out though its client is dead: not ended before the server has nobody who could
  if [ ! -e "$SM_DIR/held" ]; then oracle_is_quiet && oracle_end || return 1; fi
  session_end
  return "$oracle_was"
}

oracle_end() { # ends what is ours, by whatever session there is; oracle_was 0: something was
  case $oracle_kind in suspend) oracle_end_suspend ;; *) oracle_end_backup ;; esac
}

oracle_is_quiet() { # the server no longer has the session of the client that entered; where it does not tell: five looks
  sm_slurp "$SM_DIR/server-of" || return 0
  oracle_w=${sm_line%% *}
  oracle_run "select 'sm:served=' || count(*) from v\$session where process = '$oracle_w' or process like '$oracle_w:%';"
  if oracle_value served; then
    [ "$oracle_v" = 0 ] && return 0
  else
    sm_slurp "$SM_DIR/looks" || sm_line=0
    echo "$((sm_line + 1))" >"$SM_DIR/looks"
    [ "$sm_line" -lt 4 ] || return 0
  fi
  complain "nothing of it stands now; whether the server still carries out what the lost client asked for is looked at again"
  return 1
}

# ---- backup mode ----

oracle_enter_backup() { # WAY
  oracle_run "select 'sm:active=' || count(*) from v\$backup where status = 'ACTIVE';" \
    "select 'sm:low=' || nvl(max(change#), 0) from v\$backup;" \
    "select 'sm:now=' || to_char(sysdate, 'YYYY MM DD HH24') from dual;" || return 1
  oracle_value active || {
    complain "cannot see whether it is in backup mode:$oracle_said"
    return 1
  }
  [ "$oracle_v" = 0 ] || {
    complain "$oracle_v files are in backup mode already, and not by us; they are left as they are"
    return 2
  }
  oracle_value now || return 1
  oracle_w=$oracle_v
  oracle_value low || return 1
  # shellcheck disable=SC2086 # split on purpose
  oracle_note_low $oracle_w || return 1
  oracle_log_facts begin || return 1
  oracle_kind=backup
  case $1 in
  database) oracle_begin 'alter database begin backup;' || return ;;
  *) oracle_begin_tablespaces || return ;;
  esac
  oracle_held
}

oracle_note_low() { # YEAR MONTH DAY HOUR: "LOW UNTIL", some two hours on, or at a month's end a day or three
  [ "$#" = 4 ] || return 1
  oracle_x=${3#0} oracle_y=${2#0} oracle_z=$((${4#0} + 2)) oracle_w=$1
  if [ "$oracle_z" -gt 23 ]; then oracle_z=$((oracle_z - 24)) oracle_x=$((oracle_x + 1)); fi
  if [ "$oracle_x" -gt 28 ] && [ "$oracle_z" -lt 2 ]; then oracle_x=1 oracle_y=$((oracle_y + 1)); fi
  if [ "$oracle_y" -gt 12 ]; then oracle_y=1 oracle_w=$((oracle_w + 1)); fi
  printf '%s %04d%02d%02d%02d5959\n' "$oracle_v" "$oracle_w" "$oracle_y" "$oracle_x" "$oracle_z" >"$SM_DIR/low"
}

oracle_begin() { # STATEMENT: 0, or what enter returns. Refused as a whole by a number that says so; else it may be done
  oracle_do "$1" && return 0
  complain "$1 was answered:$oracle_said"
  oracle_is 01146 && return 2
  for oracle_w in 01109 01123 01128 01031 01034 01253 01642 01666 16000 00900 02231; do
    oracle_is "$oracle_w" && return 1
  done
  return 125
}

oracle_begin_tablespaces() { # what was begun before a refusal is ended here and now, since a refusal owns nothing
  oracle_run "select 'sm:do=alter tablespace \"' || tablespace_name || '\" begin backup;' from dba_tablespaces where contents <> 'TEMPORARY' and status = 'ONLINE';" || return 1
  oracle_list=$oracle_rows oracle_begun=''
  [ -n "$oracle_list" ] || {
    complain "it has no tablespaces that could be put into backup mode:$oracle_said"
    return 1
  }
  while IFS= read -r oracle_w; do
    [ -n "$oracle_w" ] || continue
    oracle_sql=${oracle_w#do=}
    oracle_begin "$oracle_sql" || {
      oracle_rc=$?
      [ "$oracle_rc" != 125 ] || return 125
      oracle_unbegin && return "$oracle_rc"
      return 125
    }
    oracle_begun="${oracle_w#do=}
$oracle_begun"
  done <<END
$oracle_list
END
}

oracle_unbegin() { # the tablespaces in oracle_begun
  while IFS= read -r oracle_w; do
    [ -z "$oracle_w" ] || oracle_do "${oracle_w%begin backup;}end backup;" || return 1
  done <<END
$oracle_begun
END
}

oracle_held() { # every file that may be written is in backup mode: what is not would be torn
  oracle_run "select 'sm:high=' || max(change#) from v\$backup where status = 'ACTIVE';" \
    "select 'sm:count=' || count(*) from v\$backup where status = 'ACTIVE';" \
    "select 'sm:outside=' || d.name from v\$datafile d, v\$backup b where d.file# = b.file# and b.status <> 'ACTIVE' and d.enabled = 'READ WRITE' and d.status in ('ONLINE', 'SYSTEM');" || return 125
  if oracle_value outside; then
    complain "not in backup mode, though it may be written: $oracle_v"
    return 125
  fi
  oracle_value count && oracle_w=$oracle_v && oracle_value high && [ "$oracle_w" != 0 ] || return 125
  printf '%s %s\n' "$oracle_v" "$oracle_w" >"$SM_DIR/held" || return 125
  fact begin-scn "$oracle_v"
  fact files "$oracle_w"
}

# Ours are files whose change number is higher than any before, and not higher than that of our begin: whoever begins later
# has a higher one. Where our begin is not known to have come to its end, what was begun within two hours is taken for ours.
oracle_range() { # oracle_where, oracle_count
  sm_slurp "$SM_DIR/low" || return 1
  oracle_where="b.status = 'ACTIVE' and b.change# > ${sm_line%% *}" oracle_count=''
  oracle_w="to_char(b.time, 'YYYYMMDDHH24MISS') <= '${sm_line#* }'"
  if sm_slurp "$SM_DIR/held"; then
    oracle_w="b.change# <= ${sm_line%% *}" oracle_count=${sm_line#* }
  fi
  oracle_where="$oracle_where and $oracle_w"
}

oracle_look() { # oracle_ours and oracle_active: how many files; oracle_status: OPEN | MOUNTED
  oracle_run "select 'sm:ours=' || count(*) from v\$backup b where $oracle_where;" \
    "select 'sm:active=' || count(*) from v\$backup where status = 'ACTIVE';" \
    "select 'sm:status=' || status from v\$instance;" || return 1
  oracle_value ours && oracle_ours=$oracle_v && oracle_value active && oracle_active=$oracle_v &&
    oracle_value status && oracle_status=$oracle_v
}

oracle_end_backup() {
  oracle_range && oracle_look || {
    complain "cannot see what is in backup mode:$oracle_said"
    return 1
  }
  [ "$oracle_ours" != 0 ] || return 0
  oracle_was=0
  # of a whole database only when none of it is somebody else's; 9i has that statement for a mounted one alone
  if [ "$oracle_ours" = "$oracle_active" ]; then
    oracle_run 'alter database end backup;' || return 1
    oracle_look || return 1
  fi
  if [ "$oracle_ours" != 0 ] && [ "$oracle_status" = OPEN ]; then
    oracle_each "select distinct 'sm:do=alter tablespace \"' || t.tablespace_name || '\" end backup;' from v\$backup b, dba_data_files t where b.file# = t.file_id and $oracle_where;"
  fi
  if [ "$oracle_ours" != 0 ]; then
    oracle_each "select 'sm:do=alter database datafile ''' || replace(d.name, '''', '''''') || ''' end backup;' from v\$backup b, v\$datafile d where b.file# = d.file# and $oracle_where;"
  fi
  [ "$oracle_ours" = 0 ] && return 0
  complain "$oracle_ours files are still in backup mode:$oracle_said; run: alter database end backup;"
  return 1
}

oracle_each() { # QUERY: runs every statement that it answers, then looks
  oracle_run "$1" || return 1
  oracle_list=$oracle_rows oracle_errors=''
  while IFS= read -r oracle_w; do
    [ -n "$oracle_w" ] || continue
    oracle_run "${oracle_w#do=}" || return 1
    oracle_errors=$oracle_errors$oracle_said
  done <<END
$oracle_list
END
  oracle_look
  oracle_said=$oracle_errors$oracle_said
}

oracle_leave_backup() { # backup mode outlives a session: where ours is lost, another one ends it, and proves it as well
  oracle_kind=backup oracle_was=3
  oracle_range || return 1
  oracle_look || {
    session_kill
    oracle_login "$1" "$2" "$3" "$4" && oracle_look || return 1
  }
  oracle_found=$oracle_ours
  oracle_end_backup || return 1
  [ "$oracle_found" = "$oracle_count" ] || {
    complain "of $oracle_count files only $oracle_found were in backup mode still: somebody else has ended it"
    return 3
  }
  oracle_log_facts end
  [ "$6" != database ] || oracle_tell scn "select 'sm:end-scn=' || current_scn from v\$database;"
  return 0
}

# ---- I/O suspended ----

oracle_state="select 'sm:io=' || database_status from v\$instance;"
# an instance that starts meanwhile is not suspended; views other than v$instance may wait while it lasts
oracle_started="select 'sm:started=' || count(*) || ' ' || to_char(max(startup_time), 'YYYYMMDDHH24MISS') from gv\$instance;"

# a suspension does not outlive its instance, where that is the only one
oracle_since="select 'sm:since=' || parallel || ' ' || to_char(startup_time, 'YYYYMMDDHH24MISS') from v\$instance;"

oracle_enter_suspend() {
  oracle_run "$oracle_state" "$oracle_started" "$oracle_since" || return 1
  oracle_value since && printf '%s\n' "$oracle_v" >"$SM_DIR/since" || return 1
  oracle_value started && printf '%s\n' "$oracle_v" >"$SM_DIR/low" || return 1
  oracle_value io
  [ "$oracle_v" = ACTIVE ] || {
    rm -f "$SM_DIR/low"
    complain "its I/O is ${oracle_v:-unknown} already, and not by us; it is left as it is"
    return 2
  }
  oracle_run 'alter system suspend;' "$oracle_state" || return 125
  [ -z "$oracle_codes$oracle_said" ] && oracle_value io && [ "$oracle_v" = SUSPENDED ] || {
    complain "alter system suspend was answered:$oracle_said; its I/O is ${oracle_v:-unknown}"
    return 125
  }
  echo yes >"$SM_DIR/held"
}

oracle_leave_suspend() { # one message: what it was, resume, what it is
  oracle_run "$oracle_state" 'alter system resume;' "${oracle_state%%io*}after${oracle_state#*io}" || return 1
  oracle_value after && [ "$oracle_v" = ACTIVE ] || {
    complain "alter system resume was answered:$oracle_said"
    return 1
  }
  oracle_value io
  [ "$oracle_v" = SUSPENDED ] || return 3
  oracle_run "$oracle_started" && oracle_value started && sm_slurp "$SM_DIR/low" && [ "$oracle_v" = "$sm_line" ] || {
    complain "an instance was started or ended meanwhile; one that starts is not suspended"
    return 3
  }
}

oracle_end_suspend() {
  oracle_run "$oracle_state" "$oracle_since" || return 1
  oracle_value since && sm_slurp "$SM_DIR/since" || return 1
  case $oracle_v in "NO "*) [ "$oracle_v" = "$sm_line" ] || return 0 ;; esac # what is suspended now is not ours
  oracle_value io && [ "$oracle_v" = ACTIVE ] && return 0
  [ "$oracle_v" = SUSPENDED ] || return 1
  oracle_was=0
  oracle_run 'alter system resume;' "$oracle_state" || return 1
  oracle_value io && [ "$oracle_v" = ACTIVE ] && return 0
  complain "alter system resume was answered:$oracle_said"
  return 1
}

# ---- after the resume ----

oracle_switch() { # HOME SID USER CLIENT: every thread's current log is closed and archived; waits for the archiver
  trap '' PIPE
  oracle_login "$@" || return 1
  oracle_tell switch 'alter system archive log current;' || return 1
  session_end
}

oracle_archived() { # HOME SID USER CLIENT THREAD:FIRST:LAST...: waits until they are; archived = yes, log = NAME
  trap '' PIPE
  oracle_login "$1" "$2" "$3" "$4" || return 1
  shift 4
  oracle_left=$((SM_SECONDS - 3))
  until oracle_all_archived "$@"; do
    [ "$oracle_left" -gt 0 ] || break
    sleep 1
    oracle_left=$((oracle_left - 1))
  done
  for oracle_w in "$@"; do
    oracle_tell logs "select 'sm:log=' || name from v\$archived_log where name is not null and $(oracle_span "$oracle_w") order by sequence#;"
  done
  ! oracle_all_archived "$@" || fact archived yes
  oracle_tell time "select 'sm:time=' || to_char(sysdate, 'YYYY-MM-DD HH24:MI:SS') from dual;"
  session_end
}

oracle_span() { # THREAD:FIRST:LAST as a condition, of this incarnation of the database
  oracle_x=${1#*:}
  printf '%s' "thread# = ${1%%:*} and sequence# between ${oracle_x%:*} and ${oracle_x#*:} and archived = 'YES' and resetlogs_change# = (select resetlogs_change# from v\$database)"
}

oracle_all_archived() {
  for oracle_w in "$@"; do
    oracle_x=${oracle_w#*:}
    oracle_run "select 'sm:have=' || count(distinct sequence#) from v\$archived_log where $(oracle_span "$oracle_w");" || return 1
    oracle_value have && [ "$oracle_v" -ge $((${oracle_w##*:} - ${oracle_x%:*} + 1)) ] || return 1
  done
}

oracle_copy() { # HOME SID USER CLIENT CONTROL PARAMETERS: writes copies there, for fetch; PARAMETERS "": no spfile
  trap '' PIPE
  as_user /bin/sh -c 'rm -f "$@"' sh "$5" ${6:+"$6"} # what an earlier run left must not pass for this one's
  oracle_login "$1" "$2" "$3" "$4" || return 1
  oracle_tell time "select 'sm:time=' || to_char(sysdate, 'YYYY-MM-DD HH24:MI:SS') from dual;"
  oracle_make control "alter database backup controlfile to '$5' reuse;"
  [ -z "$6" ] || oracle_make parameters "create pfile='$6' from spfile;"
  session_end
}

oracle_make() { # WHAT STATEMENT
  oracle_tell "$1" "$2" && [ -z "$oracle_codes" ] && fact copied "$1"
}
