#!/bin/sh
# An archive as one dataset, every night: manifests of what is new (batch), all of them as one (combine), compared with
# the files (verify), and served. For cron or a systemd timer; a server that runs already notices the new manifest.
#
#     sh archive.sh ARCHIVE WORK            the nightly part
#     sh archive.sh ARCHIVE WORK serve      the same, then serves until it is stopped
#
# WORK/archive.parq is replaced in one step, and only by a manifest that was verified. Exit status: 0 everything is fine;
# 3 something was refused, or differs; 1 a step failed. In both cases the manifest of the day before is kept.
set -u
archive=$1 work=$2 then=${3:-}
mkdir -p "$work/manifests" || exit 1

step() {
    "$@"
    status=$?
    echo "$(date '+%Y-%m-%d %H:%M:%S') $1 $2 ended with status $status"
    return $status
}

step refmaker batch "$archive" --out "$work/manifests" --timeout 600 --prune --report "$work/batch.json" || exit
step refmaker combine "$work"/manifests/*.json -o "$work/new.parq" --report "$work/combine.json" || exit
step refmaker verify "$work/new.parq" --report "$work/verify.json" || exit
step refmaker convert "$work/new.parq" -o "$work/archive.parq" || exit
rm -r "$work/new.parq"
if [ "$then" = serve ]; then
    exec refmaker serve "archive=$work/archive.parq" --port "${PORT:-8000}" --allow "$archive" --allow "$work"
fi
