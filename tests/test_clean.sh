#!/bin/sh
# test_clean.sh HORNITO SANITIZED MODEL DRIVERS: a short answer on the system's lavapipe, without a message of the Vulkan validation
# layer, and, by a build with sanitizers, without one of theirs. Exit 77 where the model, the driver or the layer is missing.
set -u
[ $# -eq 4 ] || { echo "usage: test_clean.sh HORNITO SANITIZED MODEL DRIVERS" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
[ -f "$3" ] || { echo "skipped: no model $3" >&2; exit 77; }
work=$(mktemp -d)
log=$work/log
trap 'rm -rf "$work"' EXIT
failed=0

speak() { # NAME PROGRAM OPTION...
  name=$1
  shift
  XDG_CACHE_HOME=$work "$here/drivers/on" "$drivers" lavapipe-256 "$@" run -m "$model" -p "Hello" -n 3 --temp 0 $options >"$log" 2>&1
  code=$?
  [ $code -eq 77 ] && { cat "$log"; exit 77; }
  if grep -q 'validation layer is not installed' "$log"; then
    echo "skipped: no validation layer" >&2
    exit 77
  fi
  if [ $code -eq 0 ] && ! grep -qi 'validation: \|ERROR: \|runtime error' "$log"; then
    echo "ok: $name"
  else
    echo "FAILED: $name: exit code $code"
    cat "$log"
    failed=1
  fi
}

model=$3
drivers=$4
options=--validation
speak "validation layer" "$1"
options=
export HORNITO_KEEP_DRIVER=1 LSAN_OPTIONS="suppressions='$here/drivers/leaks.txt':print_suppressions=0" UBSAN_OPTIONS=halt_on_error=1
speak "sanitizers" "$2"
exit $failed
