#!/bin/sh
# test_bits.sh BUILD MODEL DRIVERS [quick]: the logits of 200 tokens of a text have the same SHA-256 on every driver, on the CPU
# and in chunks of 1, 7, 64 and 200 tokens; an altered shader and failing submissions are noticed. quick: the system's driver
# at one width, the CPU, two chunks. MODEL: SmolLM2-135M-Instruct Q4_1. Exit 77 where it or the system's driver is missing.
set -u
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 3 ] || { echo "usage: test_bits.sh BUILD MODEL DRIVERS [quick]" >&2; exit 2; }
build=$1
model=$2
drivers=$3
quick=${4:-}
[ -f "$model" ] || { echo "skipped: no model $model" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tokens=$(cut -d , -f 1-200 "$here/reference/smollm2_tokens.txt")
failed=0

# hash NAME DRIVER|cpu CHUNK [PROGRAM]: prints the hash of the logits; nothing where it fails.
hash() {
  program=${4:-$build/hornito}
  set -- "$1" "$2" "$program" eval -m "$model" --tokens "$tokens" --chunk "$3" --ctx 256 --logits "$work/logits"
  name=$1
  driver=$2
  shift 2
  rm -f "$work/logits"
  if [ "$driver" = cpu ]; then
    "$@" --device cpu >"$work/$name.log" 2>&1
  else
    "$here/drivers/run" "$drivers" "$driver" "$@" --device 0 >"$work/$name.log" 2>&1
  fi
  code=$?
  [ $code -eq 77 ] && echo skipped
  [ $code -eq 0 ] && sha256sum "$work/logits" | cut -d ' ' -f 1
  return 0
}

expect() { # NAME DRIVER CHUNK
  got=$(hash "$@")
  case $got in
  skipped) echo "skipped: $1" ;;
  "$reference") echo "ok: $1" ;;
  *)
    echo "FAILED: $1 gives ${got:-an error}, the CPU $reference"
    cat "$work/$1.log"
    failed=1
    ;;
  esac
}

expect_not() { # NAME CHUNK PROGRAM
  got=$(hash "$1" lavapipe-256 "$2" "$3")
  if [ "$got" = "$reference" ]; then
    echo "FAILED: $1 gives the bits of the CPU"
    failed=1
  else
    echo "ok: $1: ${got:-$(grep -v '^device:' "$work/$1.log" | tail -n 1)}"
  fi
}

reference=$(hash cpu cpu 200)
[ -n "$reference" ] || { cat "$work/cpu.log"; exit 1; }
echo "cpu: $reference"
if [ "$(hash lavapipe-256 lavapipe-256 200)" = skipped ]; then
  echo "skipped: no lavapipe on this system" >&2
  exit 77
fi
expect lavapipe-256 lavapipe-256 200
expect chunk-7 lavapipe-256 7
if [ -z "$quick" ]; then
  for driver in lavapipe-128 lavapipe-512 lavapipe-new-128 lavapipe-new-256 lavapipe-new-512 swiftshader; do
    expect "$driver" "$driver" 200
  done
  expect chunk-1 lavapipe-256 1
  expect chunk-64 lavapipe-256 64
  for chunk in 1 7 64; do
    expect "cpu-chunk-$chunk" cpu $chunk
  done
fi

# The comparison can fail: one byte of one shader, and submissions that fail (nothing falls back to the CPU).
for shader in norm_quant rope_store attention matvec_Q4_1 matmat_Q4_1; do
  "$build/tests/alter_spirv" "$build/hornito" "$build/shaders/$shader.spv" "$work/hornito" || exit 1
  chmod +x "$work/hornito"
  case $shader in matvec*) chunk=1 ;; *) chunk=200 ;; esac
  expect_not "altered-$shader" $chunk "$work/hornito"
  [ -n "$quick" ] && break
done
export VK_LAYER_PATH="$build/tests" VK_INSTANCE_LAYERS=VK_LAYER_HORNITO_fault
for fault in submit wait memory pipeline; do
  export HORNITO_FAULT=$fault
  expect_not "failing-$fault" 200 "$build/hornito"
  [ -n "$quick" ] && break
done
exit $failed
