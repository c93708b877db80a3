#!/bin/sh
# /usr/openv/netbackup/bin/bpend_notify.POLICY, mode 0755, owner root.
# NetBackup calls it with client, policy, schedule, schedule type and status. It always ends with 0: anything else would
# make NetBackup discard the backup. What went wrong here is told by `splitmirror status` and by syslog.
SPLITMIRROR=${SPLITMIRROR_HOME:-/opt/splitmirror}
exec "$SPLITMIRROR/splitmirror-post" --product netbackup "$@" </dev/null >/dev/null 2>&1
