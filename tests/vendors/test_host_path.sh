#!/bin/sh
# test_host_path.sh DIR PROGRAM [CHIP...]: vendor_host_path runs on the drivers of AMD, Intel and NVIDIA, where no such GPU is present,
# without a message of the validation layer. DIR: see drivers/fetch.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
program=$2
shift 2
[ $# -gt 0 ] || set -- vega10 navi10 navi21 navi31 strix1 gfx1201 skl tgl dg2 mtl lnl bmg volta turing ampere
export VK_LAYER_PATH="$dir/mesa/usr/share/vulkan/explicit_layer.d"
failed=0
for chip in "$@"; do
  code=0
  timeout 60 "$here/chip" "$dir" "$chip" "$program" || code=$?
  [ "$code" -ne 77 ] || exit 77
  [ "$code" -eq 0 ] || { echo "$chip: exit status $code"; failed=1; }
done
exit "$failed"
