#!/bin/sh
# test_8b.sh DRIVERS BUILD: files of Llama-3.1-8B's shape, in Q4_0 and Q4_K_M, are loaded under two budgets and continue a prompt with the
# same text. Prints seconds and peak resident memory, the mapped file's pages included. Exit 77 unless HORNITO_TEST_8B=1, and where
# disk, memory or the driver is not there. HORNITO_TEST_8B_TYPES: the types (q4_0 q4_k_m).
set -eu
[ $# -eq 2 ] || { echo "usage: test_8b.sh DRIVERS BUILD" >&2; exit 2; }
[ "${HORNITO_TEST_8B:-}" = 1 ] || { echo "skipped: it takes minutes and 12 GB of disk and memory; HORNITO_TEST_8B=1 runs it" >&2; exit 77; }
here=$(cd "$(dirname "$0")" && pwd)
drivers=$1
hornito=$2/hornito
write_model=$2/tests/write_model
obedience=$2/tests/test_obedience
bench_load=$2/tests/bench_load
driver=lavapipe-new-256 # Debian 12's has 2 GiB
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

# speak WHAT OUT OPTION...: continues 16 tokens, with the one that begins a text, by 4.
speak() {
  what=$1
  out=$2
  shift 2
  measured "$what" sh "$here/drivers/on" "$drivers" $driver "$hornito" run -m "$dir/model.gguf" --device 0 --raw \
    -p 'The quick brown fox jumps' -n 4 --temp 0 "$@" >"$out" 2>"$dir/err"
}

# What one file must do: under 6 GiB with all of its 131,072 tokens of context (what does not fit lies in the host's memory), and under 3 GiB,
# where half of the layers do too, it says the same; what is allocated is what was planned; it loads at least 0.6 times as fast as a copy.
check_type() {
  measured "$1, writing" "$write_model" --shape llama-8b --type "$1" "$dir/model.gguf" || fail "$1: the file is not written"
  for budget in 6GiB 3GiB; do
    code=0
    speak "$1, $budget" "$dir/$budget" --vram-budget $budget --ctx max || code=$?
    [ $code -ne 77 ] || { cat "$dir/err" >&2; exit 77; }
    [ $code -eq 0 ] || fail "$1, $budget: exit code $code"
    grep '^memory: ' "$dir/err"
    # The first of the 4 comes from the prompt.
    grep '^prompt 16 tokens, .*; decode 3 tokens, .*; stopped: length' "$dir/err" || fail "$1, $budget: what it said of itself"
    [ -s "$dir/$budget" ] || fail "$1, $budget: no text"
  done
  cmp "$dir/6GiB" "$dir/3GiB" || fail "$1: the text depends on the budget"
  sh "$here/drivers/on" "$drivers" $driver "$obedience" "$dir/model.gguf" 6144 >"$dir/err" 2>&1 || fail "$1: not what was planned"
  cat "$dir/err"
  sh "$here/drivers/on" "$drivers" $driver "$bench_load" "$dir/model.gguf" 3 >"$dir/err" 2>&1 || fail "$1: loading is slow"
  tail -n 1 "$dir/err"
  rm "$dir/model.gguf"
}

for type in ${HORNITO_TEST_8B_TYPES:-q4_0 q4_k_m}; do
  check_type "$type"
done
