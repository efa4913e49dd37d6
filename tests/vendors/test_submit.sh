#!/bin/sh
# test_submit.sh DIR VENDOR_SUBMIT: the host's path to the GPU (allocations, command buffers, submissions, waits) works with the
# drivers of AMD, Intel and NVIDIA, where no such GPU is present. DIR: see drivers/fetch.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
failed=0
for chip in vega10 navi10 navi21 navi31 strix1 gfx1201 skl tgl dg2 mtl lnl bmg volta turing ampere; do
  code=0
  timeout 30 "$here/chip" "$1" "$chip" "$2" || code=$?
  [ "$code" -ne 77 ] || exit 77
  [ "$code" -eq 0 ] || { echo "$chip: exit status $code"; failed=1; }
done
exit "$failed"
