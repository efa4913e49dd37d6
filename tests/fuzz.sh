#!/bin/sh
# fuzz.sh BUILD NAME SECONDS: runs the fuzzer NAME of a sanitized build on the files of fuzz_seed and what it finds itself. What
# makes it fail is left in BUILD/fuzz.
set -eu
[ $# -eq 3 ] || { echo "usage: fuzz.sh BUILD NAME SECONDS" >&2; exit 2; }
mkdir -p "$1/fuzz/$2" "$1/fuzz/$2.seeds"
"$1/tests/fuzz_seed" "$1/fuzz/$2.seeds"
exec "$1/tests/$2" -max_total_time="$3" -max_len=65536 -rss_limit_mb=2048 -malloc_limit_mb=1024 -timeout=5 \
  -artifact_prefix="$1/fuzz/$2-" "$1/fuzz/$2" "$1/fuzz/$2.seeds"
