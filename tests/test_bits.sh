#!/bin/sh
# test_bits.sh BUILD MODEL DRIVERS PART: the logits of 200 tokens of a text have the same SHA-256 on every driver, on the CPU and in
# chunks of 1, 7, 64 and 200 tokens; an altered shader is replaced by its variant or refused, failing submissions are noticed. PART: a driver of drivers/on; chunks;
# noticed; quick (some of each). MODEL: SmolLM2-135M-Instruct Q4_1. Exit 77 where it or the driver is missing.
set -u
here=$(cd "$(dirname "$0")" && pwd)
[ $# -eq 4 ] || { echo "usage: test_bits.sh BUILD MODEL DRIVERS PART" >&2; exit 2; }
build=$1
model=$2
drivers=$3
part=$4
[ -f "$model" ] || { echo "skipped: no model $model" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tokens=$(cut -d , -f 1-200 "$here/reference/smollm2_tokens.txt")
failed=0

# hash NAME DRIVER|cpu CHUNK: prints the hash of the logits; "exit N" where it fails.
hash() {
  set -- "$1" "$2" "$build/hornito" eval -m "$model" --tokens "$tokens" --chunk "$3" --ctx 256 --logits "$work/logits"
  name=$1
  driver=$2
  shift 2
  rm -f "$work/logits"
  if [ "$driver" = cpu ]; then
    "$@" --device cpu >"$work/$name.log" 2>&1
  else
    "$here/drivers/on" "$drivers" "$driver" "$@" --device 0 >"$work/$name.log" 2>&1
  fi
  code=$?
  if [ $code -eq 0 ]; then
    sha256sum "$work/logits" | cut -d ' ' -f 1
  else
    echo "exit $code"
  fi
}

fail() { # NAME WHAT
  echo "FAILED: $1 $2"
  cat "$work/$1.log"
  failed=1
}

expect() { # NAME DRIVER CHUNK
  got=$(hash "$@")
  case $got in
  "$reference") echo "ok: $1" ;;
  "exit 77") echo "skipped: $1" >&2; exit 77 ;;
  *) fail "$1" "gives $got, the CPU $reference" ;;
  esac
}

altered() { # DRIVER CHUNK MODULE...: the result with a fault in each of these shaders
  driver=$1
  chunk=$2
  shift 2
  HORNITO_FAULT_SHADERS=$(printf "$build/shaders/%s.spv:" "$@")
  export VK_LAYER_PATH="$build/tests" VK_INSTANCE_LAYERS=VK_LAYER_HORNITO_fault HORNITO_FAULT_SHADERS
  hash altered "$driver" "$chunk"
}

refuses_altered() { # MODULE...: all variants of a kernel
  got=$(altered lavapipe-256 200 "$@")
  if [ "$got" = "exit 1" ] && grep -q "^hornito: .*computes every variant of the shader ${1%%_q*}" "$work/altered.log"; then
    echo "ok: $(grep '^hornito: .*every' "$work/altered.log")"
  else
    fail altered "$* gives $got, expected exit 1"
  fi
}

replaces_altered() { # MODULE CHUNK [DRIVER MODULE...]: the one that this driver would take, and others
  module=$1
  chunk=$2
  driver=${3:-lavapipe-256}
  shift 2
  [ $# -eq 0 ] || shift
  got=$(altered "$driver" "$chunk" "$module" "$@")
  if [ "$got" = "$reference" ] && grep -q "^hornito: warning: .*computes the shader $module wrong" "$work/altered.log"; then
    echo "ok: $(grep '^hornito: warning: ' "$work/altered.log")"
  else
    fail altered "$module gives $got, expected $reference and a warning"
  fi
}

notices_failing() { # FAULT MESSAGE: nothing falls back to the CPU
  export VK_LAYER_PATH="$build/tests" VK_INSTANCE_LAYERS=VK_LAYER_HORNITO_fault HORNITO_FAULT="$1"
  got=$(hash "$1" lavapipe-256 200)
  if [ "$got" = "exit 1" ] && grep -q "^hornito: .*$2" "$work/$1.log"; then
    echo "ok: $(grep '^hornito: ' "$work/$1.log")"
  else
    fail "$1" "failing gives $got, expected exit 1 and '$2'"
  fi
  unset VK_LAYER_PATH VK_INSTANCE_LAYERS HORNITO_FAULT
}

reference=$(hash cpu cpu 200)
case $reference in exit*) fail cpu "$reference"; exit 1 ;; esac
echo "cpu: $reference"
case $part in
quick)
  expect lavapipe-256 lavapipe-256 200
  expect chunk-7 lavapipe-256 7
  refuses_altered norm_quant
  notices_failing submit "the work was not done"
  ;;
chunks)
  for chunk in 1 7 64; do
    expect "chunk-$chunk" lavapipe-new-256 $chunk # fast
    expect "cpu-chunk-$chunk" cpu $chunk
  done
  ;;
noticed)
  expect lavapipe-256 lavapipe-256 200
  refuses_altered norm_quant
  refuses_altered rope_store_q8_0
  refuses_altered matmat_q4_1 matmat_q4_1_intf32
  replaces_altered attention_q8_0 200
  replaces_altered matmat_q4_1 200
  replaces_altered matvec_norm_q4_1 1
  if [ -e "$build/shaders/matmat_q4_1_coop.spv" ]; then
    replaces_altered matmat_q4_1 200 lavapipe-new-256 matmat_q4_1_intf32 # by cooperative matrices
  else
    echo "skipped: this build has no cooperative matrices"
  fi
  notices_failing submit "the work was not done"
  notices_failing wait "did not finish within"
  notices_failing memory "has no memory for"
  notices_failing pipeline "does not compile the shader"
  ;;
*) expect "$part" "$part" 200 ;;
esac
exit $failed
