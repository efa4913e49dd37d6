#!/bin/sh
# test_8b.sh DRIVERS HORNITO WRITE_MODEL: files of Llama-3.1-8B's shape, in Q4_0 and Q4_K_M, are loaded and continue a prompt, twice with
# the same text. Prints seconds and peak resident memory, the mapped file's pages included. Exit 77 unless HORNITO_TEST_8B=1, and where
# disk, memory or the driver is not there. HORNITO_TEST_8B_TYPES: the types (q4_0 q4_k_m).
set -eu
[ $# -eq 3 ] || { echo "usage: test_8b.sh DRIVERS HORNITO WRITE_MODEL" >&2; exit 2; }
[ "${HORNITO_TEST_8B:-}" = 1 ] || { echo "skipped: it takes minutes and 12 GB of disk and memory; HORNITO_TEST_8B=1 runs it" >&2; exit 77; }
here=$(cd "$(dirname "$0")" && pwd)
drivers=$1
hornito=$2
write_model=$3
needed=12000000 # KB of disk and of memory: the file, the weights on a device that is this machine too, and room

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
disk=$(df -Pk "$dir" | awk 'NR == 2 { print $4 }')
memory=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
if [ "$disk" -lt $needed ] || [ "$memory" -lt $needed ]; then
  echo "skipped: $disk KB of disk in $dir and $memory KB of memory are free, not $needed" >&2
  exit 77
fi

fail() {
  echo "FAILED: $*"
  [ ! -e "$dir/err" ] || sed 's/^/  stderr: /' "$dir/err"
  exit 1
}

# measured WHAT COMMAND...: runs it and says on our standard output what it took.
exec 3>&1
measured() {
  python3 - "$@" <<'END'
import resource, subprocess, sys, time
start = time.monotonic()
code = subprocess.call(sys.argv[2:])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(f"{sys.argv[1]}: {time.monotonic() - start:.1f} s, peak {peak:.0f} MiB", file=open(3, "w"))
sys.exit(code)
END
}

# speak WHAT OUT: continues 16 tokens, with the one that begins a text, by 4.
speak() {
  measured "$1" sh "$here/drivers/on" "$drivers" lavapipe-256 "$hornito" run -m "$dir/model.gguf" --device 0 --ctx 64 --raw \
    -p 'The quick brown fox jumps' -n 4 --temp 0 >"$2" 2>"$dir/err"
}

# What one file must do. The place for more: a budget, whose text is the same, and what is allocated against the plan.
check_type() {
  measured "$1, writing" "$write_model" --shape llama-8b --type "$1" "$dir/model.gguf" || fail "$1: the file is not written"
  for run in first second; do
    code=0
    speak "$1, $run run" "$dir/$run" || code=$?
    [ $code -ne 77 ] || { cat "$dir/err" >&2; exit 77; }
    [ $code -eq 0 ] || fail "$1, $run run: exit code $code"
    # The first of the 4 comes from the prompt.
    grep '^prompt 16 tokens, .*; decode 3 tokens, .*; stopped: length' "$dir/err" || fail "$1, $run run: what it said of itself"
    [ -s "$dir/$run" ] || fail "$1, $run run: no text"
  done
  cmp "$dir/first" "$dir/second" || fail "$1: two runs differ"
  rm "$dir/model.gguf"
}

for type in ${HORNITO_TEST_8B_TYPES:-q4_0 q4_k_m}; do
  check_type "$type"
done
