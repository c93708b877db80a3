#!/bin/sh
# RAID Manager's own name for it; see README.md
exec "$(dirname "$0")/horcm" horcmshutdown.sh "$@"
