#!/bin/sh
# test_install.sh BUILD MODEL: installs a build into a folder and builds a program of somebody else against it, with pkg-config
# (shared and static) and as a CMake package. The shared library shows the functions of hornito.h and nothing else, and is below 4 MB.
set -eu
[ $# -eq 2 ] || { echo "usage: test_install.sh BUILD MODEL" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
[ -f "$2" ] || { echo "skipped: no model $2" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
cmake --install "$1" --prefix "$prefix" >/dev/null
lib=$(dirname "$(find "$prefix" -name 'libhornito.so')")
# The file for pkg-config names the prefix that the build was configured for: where it was installed to comes first here.
export PKG_CONFIG_PATH="$lib/pkgconfig" LD_LIBRARY_PATH="$lib"

runs() { # NAME PROGRAM
  [ "$("$2" "$model")" = "hornito $version: 2 tokens" ] || { echo "FAILED: $1"; exit 1; }
  echo "ok: $1"
}

model=$2
# With every shader for every type of weights, as packages install it.
strip -o "$work/stripped" "$lib/libhornito.so"
size=$(wc -c <"$work/stripped")
[ "$size" -lt 4000000 ] || { echo "FAILED: the stripped library has $size bytes"; exit 1; }
echo "ok: the stripped library has $size bytes"
version=$("$prefix/bin/hornito" --version | cut -d ' ' -f 2)
exported=$(nm -D --defined-only "$lib/libhornito.so" | awk '{ print $3 }' | sort)
declared=$(grep -o '\bhn_[a-z0-9_]*(' "$prefix/include/hornito.h" | tr -d '(' | sort -u)
if [ "$exported" != "$declared" ]; then
  echo "FAILED: exported and declared functions differ:"
  printf '%s\n%s\n' "$exported" "$declared" | sort | uniq -u
  exit 1
fi
set -- $(pkg-config --define-variable=prefix="$prefix" --cflags --libs hornito)
cc "$here/consumer/consumer.c" "$@" -o "$work/shared"
runs "pkg-config, shared" "$work/shared"
cmake -S "$here/consumer" -B "$work/consumer" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build "$work/consumer" >/dev/null
runs "CMake, shared" "$work/consumer/consumer_hornito"
runs "CMake, static" "$work/consumer/consumer_static"
set -- $(pkg-config --define-variable=prefix="$prefix" --static --cflags --libs hornito)
rm "$lib"/libhornito.so*
cc "$here/consumer/consumer.c" "$@" -o "$work/static"
runs "pkg-config, static" "$work/static"
cc -DUSES_VULKAN "$here/consumer/consumer.c" "$@" -lvulkan -o "$work/vulkan"
runs "static, in a program that links Vulkan" "$work/vulkan"
