#!/bin/sh
# build_sanitized.sh SOURCE BUILD [CMAKE OPTION...]: builds everything once more with clang, AddressSanitizer and UBSan, and the
# fuzzers, into BUILD/sanitized. Exit 77 where there is no clang.
set -eu
[ $# -ge 2 ] || { echo "usage: build_sanitized.sh SOURCE BUILD [CMAKE OPTION...]" >&2; exit 2; }
source=$1
build=$2
shift 2
command -v clang >/dev/null && command -v clang++ >/dev/null || { echo "skipped: no clang" >&2; exit 77; }
# The header that third_party/fetch-vma fetched serves here too.
mkdir -p "$build/sanitized/third_party"
[ ! -d "$build/third_party/include" ] || cp -r "$build/third_party/include" "$build/sanitized/third_party/"
cmake -S "$source" -B "$build/sanitized" -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ \
  -DHORNITO_SANITIZE=address,undefined -DHORNITO_FUZZERS=ON -DHORNITO_WERROR=ON "$@"
exec cmake --build "$build/sanitized" -j "$(nproc)"
