#!/bin/sh
# test_perplexity.sh HORNITO MODEL DRIVERS: the perplexity of reference/text.txt in windows of 512 tokens is within 1 % of what
# llama.cpp's CPU backend measures (reference/smollm2_peer.txt). On the newer lavapipe, where it is there, else in plain C, which takes twice as
# long for the same bits. Exit 77 without the model.
set -eu
[ $# -eq 3 ] || { echo "usage: test_perplexity.sh HORNITO MODEL DRIVERS" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
reference=$here/reference
hornito=$1
drivers=$3
[ -f "$2" ] || { echo "skipped: no model $2" >&2; exit 77; }
set -- "$hornito" perplexity -m "$2" -f "$reference/text.txt" --ctx 512
if [ -e "$drivers/mesa/done" ]; then
  set -- sh "$here/drivers/on" "$drivers" lavapipe-new-256 "$@" --device 0
else
  set -- "$@" --device cpu
fi
ours=$("$@" | sed -n 's/^perplexity \([0-9.]*\) .*/\1/p')
peer=$(sed -n 's/^perplexity //p' "$reference/smollm2_peer.txt")
echo "perplexity $ours, llama.cpp $peer"
awk -v ours="$ours" -v peer="$peer" 'BEGIN { exit !(ours > 0.99 * peer && ours < 1.01 * peer) }'
