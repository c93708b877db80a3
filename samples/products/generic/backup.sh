#!/bin/sh
# A whole backup by cron, with tar in the place of a backup product:
#   30 1 * * *  root  /usr/local/sbin/backup.sh erp
# Pre and post say the same --job, so that post closes this run and no other.
set -u
POLICY=${1:?usage: backup.sh POLICY}
MOUNT=${BACKUP_SOURCE:-/backup/$POLICY}
TARGET=${BACKUP_TARGET:-/srv/backups}
SPLITMIRROR=${SPLITMIRROR_HOME:-/opt/splitmirror}
JOB=$(date -u +%Y%m%d-%H%M%S)-$$

"$SPLITMIRROR/splitmirror-pre" --policy "$POLICY" --job "$JOB" || {
    code=$?
    echo "backup.sh: no copy of $POLICY today (splitmirror-pre ended with $code); nothing was saved" >&2
    exit "$code"
}

# one name for data and card: both exist only while the copy is presented
tar -C / -cf "$TARGET/$POLICY-$JOB.tar.part" "${MOUNT#/}" "${MOUNT#/}.card"
status=$?
[ "$status" -eq 0 ] && { mv "$TARGET/$POLICY-$JOB.tar.part" "$TARGET/$POLICY-$JOB.tar" || status=$?; }

"$SPLITMIRROR/splitmirror-post" --policy "$POLICY" --job "$JOB" --status "$status"
code=$?
[ "$status" -ne 0 ] && exit "$status"
exit "$code"
