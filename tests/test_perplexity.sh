#!/bin/sh
# test_perplexity.sh HORNITO MODEL: the perplexity of reference/text.txt in windows of 512 tokens is within 1 % of what
# llama.cpp's CPU backend measures (reference/smollm2_peer.txt). Exit 77 without the model.
set -eu
[ $# -eq 2 ] || { echo "usage: test_perplexity.sh HORNITO MODEL" >&2; exit 2; }
reference=$(cd "$(dirname "$0")/reference" && pwd)
[ -f "$2" ] || { echo "skipped: no model $2" >&2; exit 77; }
ours=$("$1" perplexity -m "$2" -f "$reference/text.txt" --ctx 512 --device cpu | sed -n 's/^perplexity \([0-9.]*\) .*/\1/p')
peer=$(sed -n 's/^perplexity //p' "$reference/smollm2_peer.txt")
echo "perplexity $ours, llama.cpp $peer"
awk -v ours="$ours" -v peer="$peer" 'BEGIN { exit !(ours > 0.99 * peer && ours < 1.01 * peer) }'
