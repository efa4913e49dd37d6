#!/bin/sh
# test_overruns.sh DRIVERS CHECK_KERNELS: no kernel reads or writes beyond its buffers, as GPU-assisted validation sees it; and that
# layer does see it where buffers are too short; every fifth module, as the time draws. Exit 77 where the drivers or the layer are not there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
layers=$1/mesa/usr/share/vulkan/explicit_layer.d
[ -e "$layers/VkLayer_khronos_validation.json" ] || { echo "skipped: no validation layer in $layers" >&2; exit 77; }
# Debian 12's own layer waits in vain for timeline semaphores when it looks into shaders.
export VK_LAYER_PATH="$layers" VK_LAYER_GPUAV_ENABLE=true VK_LAYER_VALIDATE_CORE=false VK_LAYER_ENABLE_MESSAGE_LIMIT=false
sh "$here/drivers/on" "$1" lavapipe-new-256 "$2" --validate --rounds 3 --every 5
exec sh "$here/drivers/on" "$1" lavapipe-new-256 "$2" --overrun --every 5
