#version 460
// matvec_rope: matvec of the rows of q, k and v, or of some of them, and what rope_store does, head by head: by the workgroup that is done
// last with a head of q, or with one of k and v together. Groups as matvec.
#define PUSH_MORE uvec2 then; uint first_row; // struct then_rope; of q, k and v together
#define Y FloatsShared
#define FROM FloatsShared
#include "buffers.glsl"
#include "matvec.glsl"
#include "arrival.glsl"

layout(constant_id = 3) const int Q4_CACHE = 0; // its type

layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Then {
  uvec2 positions, rotation, qkv, q, q_d, kv_device, kv_host;
  uint n_heads, n_kv_heads, head_dim, n_device_blocks;
  uvec2 counters;
};

struct Heads {
  uvec2 positions, rotation, qkv, q, q_d, kv_device, kv_host;
  uint n_heads, n_kv_heads, head_dim, n_device_blocks;
} heads;

#define KV heads
#define Q4 Q4_CACHE
#include "rope_store.glsl"

void main() {
  uint token = gl_WorkGroupID.y;
  store_rows(token);
  Then t = Then(p.then);
  heads = Heads(t.positions, t.rotation, t.qkv, t.q, t.q_d, t.kv_device, t.kv_host, t.n_heads, t.n_kv_heads, t.head_dim, t.n_device_blocks);
  uint n_slots = heads.n_heads + heads.n_kv_heads;
  uint begin = p.first_row + gl_WorkGroupID.x * LANES * ROWS, end = p.first_row + min((gl_WorkGroupID.x + 1u) * LANES * ROWS, p.n_rows);
  for (uint row = begin; row < end;) { // the heads that the workgroup has rows of
    uint head = row / heads.head_dim, next = min((head + 1u) * heads.head_dim, end);
    bool query = head < heads.n_heads;
    uint kv_head = (head - heads.n_heads) % heads.n_kv_heads, slot = query ? head : heads.n_heads + kv_head;
    if (arrive(t.counters, token * n_slots + slot, next - row, query ? heads.head_dim : 2u * heads.head_dim))
      store_head(token, slot);
    row = next;
  }
}
