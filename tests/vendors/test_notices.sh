#!/bin/sh
# test_notices.sh DIR BUILD: vendors/run notices what is bad in a module: shaders made to be bad, on one chip of each vendor, and a
# table with better numbers. DIR: see drivers/fetch.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$1
build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# shader NAME ROWS GLOBALS BODY: a module with workgroups of 64 x ROWS, buffers x, y, z and a result, the invocation's index i.
shader() {
  cat >"$work/$1.comp" <<GLSL
#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
layout(local_size_x = 64, local_size_y = $2) in;
layout(buffer_reference, std430) buffer Floats { float at[]; };
layout(push_constant) uniform Push { uvec2 x, y, z, result; uint n; } p;
$3
void main() {
  uint i = gl_GlobalInvocationID.x;
  float x = Floats(p.x).at[i], y = Floats(p.y).at[i], z = Floats(p.z).at[i], r = 0.0;
  $4
  Floats(p.result).at[i] = r;
}
GLSL
  glslc -O0 --target-env=vulkan1.3 -o "$work/$1.spv" "$work/$1.comp"
}
shader good 1 '' 'r = uintBitsToFloat(floatBitsToUint(x) ^ p.n);'
shader contracted 1 '' 'r = x * y + z;'
shader floats_intf32 1 '' 'r = fma(x, y, z);'
shader half 1 '' 'r = float(packHalf2x16(vec2(x, y)));'
shader shared 1 'shared float s[32768];' 's[i] = x; barrier(); r = s[i ^ 1u];'
shader wide 32 '' 'r = y;'
# More values alive than a lane has registers, in an array that a changing index keeps in memory.
shader spilled 1 '' 'float a[600]; for (uint k = 0u; k < 600u; k++) a[k] = Floats(p.y).at[i * 600u + k];
  for (uint k = 0u; k < p.n; k++) r += a[(k * 7u + uint(x)) % 600u];'
head -c 400 "$work/good.spv" >"$work/damaged.spv"
printf '%s\n' 'ampere contracted fused accepted here' 'dg2 good spill does not occur' >"$work/known.txt"

run() {
  python3 "$here/run" "$dir" "$build" --modules "$work" --chips navi21,dg2,ampere --table "$work/table.csv" \
    --known "$work/known.txt" "$@" >"$work/log" 2>&1
}
expect() {
  if ! grep -q "$1" "$work/log"; then
    echo "not noticed: $1"
    failed=1
  fi
}

code=0
run --update || code=$?
[ "$code" -ne 77 ] || { cat "$work/log"; exit 77; }
cat "$work/log"
[ "$code" -eq 1 ] || { echo "exit status $code, not 1"; failed=1; }
expect 'any contracted exact: .*contracted'
expect 'any floats_intf32 exact: .*no integer'
expect 'any half exact: .*differs between drivers'
for chip in navi21 dg2 ampere; do
  expect "$chip spilled spill: "
  expect "$chip shared limits: 131072 shared_bytes"
  expect "$chip wide limits: 2048 invocations"
  expect "$chip damaged compile"
done
expect 'navi21 contracted fused: 1 float multiply-adds'
expect 'dg2 contracted fused: 1 float multiply-adds'
expect 'dg2 good spill: known.txt accepts it, but it does not occur'
expect ' 1 known$'
if grep -v known.txt "$work/log" | grep -e "^[a-z0-9]* good" -e "ampere contracted"; then
  echo "what is good or known is not accepted"
  failed=1
fi

# Arithmetic of whole cooperative matrices, where there is a compiler for it.
whole=skipped
for glslc in "$build/third_party/bin/glslc" glslc; do
  sh "$here/../../third_party/knows-coopmat" "$glslc" || continue
  whole=done
  cat >"$work/whole.comp" <<GLSL
#version 460
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
layout(local_size_x = 32) in;
layout(push_constant) uniform Push { uint n; } p;
shared float s[512];
void main() {
  coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator> m;
  coopMatLoad(m, s, p.n, 16, gl_CooperativeMatrixLayoutRowMajor);
  m = m * m;
  coopMatStore(m, s, 0, 16, gl_CooperativeMatrixLayoutRowMajor);
}
GLSL
  "$glslc" -O0 --target-env=vulkan1.3 -o "$work/whole.spv" "$work/whole.comp"
  "$build/shaders/spirv_exact" decorate "$work/whole.spv" "$work/decorated.spv"
  if "$build/shaders/spirv_exact" embed "$work/decorated.spv" /dev/null whole 2>"$work/log"; then
    echo "accepted: arithmetic of whole matrices"
    failed=1
  fi
  expect 'whole matrices of floats'
  break
done
echo "cooperative matrices: $whole"

# A table with fewer instructions, a row missing, and rows too many.
rm "$work"/[!gt]*.spv
sed -i -e '/^dg2,good/d' -e 's/^\(navi21,good,[^,]*,[^,]*\),[0-9]*/\1,3/' -e '$a\
ampere,gone,1,1,1,' "$work/table.csv"
code=0
run || code=$?
cat "$work/log"
[ "$code" -eq 1 ] || { echo "exit status $code, not 1"; failed=1; }
expect 'navi21 good table: instructions 3 -> '
expect 'dg2 good table: a row that table.csv lacks'
expect 'ampere gone table: only in table.csv'
exit "$failed"
