#version 460
// rope_store: rotates q and k of a token by its position, rounds them and v, and stores k and v in the cache: see rope_store.glsl. A workgroup
// is a head of q of one token, or of k and v together (they share the words of scales). Groups: (n_heads + n_kv_heads, n_tokens).
#include "buffers.glsl"

layout(local_size_x_id = 0) in; // by runtime/tuning.c
layout(local_size_x = 64) in;

layout(push_constant, std430) uniform Push {
  uvec2 positions, rotation, qkv, q, q_d, kv_device, kv_host;
  uint n_heads, n_kv_heads, head_dim, n_device_blocks;
} p;

#define KV p
#include "rope_store.glsl"

void main() {
  store_head(gl_WorkGroupID.y, gl_WorkGroupID.x);
}
