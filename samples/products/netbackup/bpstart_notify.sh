#!/bin/sh
# /usr/openv/netbackup/bin/bpstart_notify.POLICY, mode 0755, owner root.
# NetBackup calls it with client, policy, schedule and schedule type, and wants nothing on its streams.
# Add --policy NAME when the splitmirror policy has another name; --limit must not exceed BPSTART_TIMEOUT.
SPLITMIRROR=${SPLITMIRROR_HOME:-/opt/splitmirror}
exec "$SPLITMIRROR/splitmirror-pre" --product netbackup --limit 4h "$@" </dev/null >/dev/null 2>&1
