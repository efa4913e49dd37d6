#!/bin/sh
# test_permissions.sh HORNITO MODEL: a GPU's node that the user may not open is named, by `devices` and in the error of a run. Plays in a
# mount namespace with a /dev of its own. Exit 77 where that cannot be made (no root, no unshare).
set -eu
[ $# -eq 2 ] || { echo "usage: test_permissions.sh HORNITO MODEL" >&2; exit 2; }
unshare -m true 2>/dev/null && command -v setpriv >/dev/null || { echo "skipped: needs root, unshare and setpriv" >&2; exit 77; }
[ -f "$2" ] || { echo "skipped: no model $2" >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cp "$1" "$work/hornito"
cp "$2" "$work/model.gguf"
chmod 644 "$work/model.gguf"
export VK_DRIVER_FILES=/none VK_ICD_FILENAMES=/none HOME=/none
unshare -m sh -c '
  mount -t tmpfs none /dev || exit 77
  mkdir /dev/dri
  mknod -m 666 /dev/null c 1 3
  mknod -m 600 /dev/dri/renderD128 c 226 128
  run="setpriv --reuid=65534 --regid=65534 --clear-groups"
  $run "$1/hornito" devices >"$1/devices" 2>&1
  $run "$1/hornito" run -m "$1/model.gguf" -p x >"$1/run" 2>&1
  $run "$1/hornito" run -m "$1/model.gguf" -p x -n 1 --device cpu >"$1/cpu" 2>&1
  echo "$?" >>"$1/cpu"
' sh "$work" || { [ $? -ne 77 ] || { echo "skipped: no mount namespaces" >&2; exit 77; }; }
for log in devices run; do
  grep -q 'renderD128 may not be opened' "$work/$log" || { echo "FAILED: $log does not name the node"; cat "$work/$log"; exit 1; }
done
grep -q '^hornito: no usable Vulkan device: /dev/dri/renderD128' "$work/run" || { echo "FAILED: the error"; cat "$work/run"; exit 1; }
[ "$(tail -n 1 "$work/cpu")" = 0 ] || { echo "FAILED: the CPU does not serve"; cat "$work/cpu"; exit 1; }
