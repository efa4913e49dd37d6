#version 460
// argmax: the index of the largest of n logits, the lowest among equals (and where none is larger than -inf: 0). One workgroup.
#include "buffers.glsl"

layout(local_size_x = 256) in;

layout(push_constant, std430) uniform Push {
  uvec2 logits, result;
  uint n;
} p;

shared float best_values[256];
shared uint best_ids[256];

bool better(float value, uint id, float than, uint than_id) {
  return value > than || (value == than && id < than_id);
}

void main() {
  uint lane = gl_LocalInvocationIndex;
  float best = x_from_bits(0xFF800000u); // -inf
  uint id = 0xFFFFFFFFu;
  for (uint i = lane; i < p.n; i += 256u) {
    float value = Floats(p.logits).at[i];
    if (value > best) {
      best = value;
      id = i;
    }
  }
  best_values[lane] = best;
  best_ids[lane] = id;
  barrier();
  for (uint width = 128u; width > 0u; width /= 2u) {
    if (lane < width && better(best_values[lane + width], best_ids[lane + width], best_values[lane], best_ids[lane])) {
      best_values[lane] = best_values[lane + width];
      best_ids[lane] = best_ids[lane + width];
    }
    barrier();
  }
  if (lane == 0u)
    WordsOut(p.result).at[0] = best_ids[0] == 0xFFFFFFFFu ? 0u : best_ids[0];
}
