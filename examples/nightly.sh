#!/bin/sh
# A nightly pipeline: write manifests of what is new or has changed in an archive, compare some of them with the files, and
# list what no longer matches the ledger. For cron, systemd timers, or any job scheduler.
#
#     sh nightly.sh ARCHIVE MANIFESTS [REPORTS]
#
# Exit status: 0 everything is fine; 3 something was refused, or differs (see the reports); 1 a file or a step failed.
set -u
archive=$1 manifests=$2 reports=${3:-$2-reports}
mkdir -p "$reports" || exit 1
worst=0

step() {
    "$@"
    status=$?
    echo "$(date '+%Y-%m-%d %H:%M:%S') $1 $2 ended with status $status"
    case $status in
        0) ;;
        3) [ "$worst" -ne 0 ] || worst=3 ;;
        130) exit 130 ;;
        *) worst=1 ;;
    esac
}

# A file may take ten minutes, and damaged ones do not stop the others. --prune removes manifests of files that are gone.
step refmaker batch "$archive" --out "$manifests" --timeout 600 --prune \
    --report "$reports/batch.json" --junit "$reports/batch.xml"
# A different sample of the manifests every night.
step refmaker verify "$manifests" --manifests 20 --seed "$(date +%Y%j)" --report "$reports/verify.json"
# Files that arrived or changed meanwhile.
step refmaker check "$manifests" --report "$reports/check.json"
exit "$worst"
