#version 460
// attention_prompt: attention.comp for many tokens: out[token][head] = softmax(q . k * scale) . v over the cache positions up to the token's
// own. A workgroup is ROWS neighbouring queries of one key head (of a token all that share it, then those of the next token) and
// 128 of head_dim. It walks the cache from left to right, block after block; keys and values are unpacked once for all rows.
// A block of which a row sees nothing adds nothing to it: its maximum is the lowest number, so that exactly 1 and 0 are multiplied with.
// Groups: (ceil(n_tokens * n_heads / n_kv_heads / ROWS), n_kv_heads * ceil(head_dim / 128)).
#define ROWS PROMPT_ROWS
#include "attention.glsl"

shared float keeps[ROWS], adds[ROWS];
shared float tile[ROWS][TILE_DIMS];

uint row_of(uint i) { // of the key head; those beyond the last repeat it
  return min(gl_WorkGroupID.x * ROWS + i, p.n_tokens * (p.n_heads / p.n_kv_heads) - 1u);
}

// Its index among all of q.
uint query_of(uint i) {
  uint row = row_of(i), shared_by = p.n_heads / p.n_kv_heads;
  return row / shared_by * p.n_heads + gl_WorkGroupID.y % p.n_kv_heads * shared_by + row % shared_by;
}

uint visible(uint row) {
  return Words(p.positions).at[row / (p.n_heads / p.n_kv_heads)] + 1u;
}

// o = o * keep + the block's part, for the lane's two dimensions of each row
void add_values(KvBlock kv, uint pair, uint n, inout vec2 o[ROWS]) {
  uint which = Q4 != 0 ? gl_LocalInvocationIndex / (HEAD_BLOCK / 2u) : 0u, shift = 16u * (pair & 1u);
  integer2 sums[ROWS];
  for (uint t = 0u; t < ROWS; t++)
    sums[t] = integer2(0);
  if (2u * pair < p.head_dim)
    for (uint i = 0u; i < n; i++) {
      uint word = value_word(kv, i, pair / 2u) >> shift;
      for (uint t = 0u; t < ROWS; t++)
        sums[t] = add_two_bytes(sums[t], word, weights[which][i * ROWS + t]);
    }
  for (uint t = 0u; t < ROWS; t++)
    for (uint i = 0u; i < 2u; i++) {
      float kept = o[t][i] * keeps[t], added = (float(sums[t][i]) * units[which][t]) * adds[t];
      o[t][i] = kept + added;
    }
}

void store(uint first_dim, float inverse, vec2 o[ROWS]) {
  uint lane = gl_LocalInvocationIndex, n_rows = p.n_tokens * (p.n_heads / p.n_kv_heads) - gl_WorkGroupID.x * ROWS;
  barrier();
  if (MY_FIRST == 0u)
    keeps[MY_ROW] = inverse;
  barrier();
  for (uint t = 0u; t < ROWS; t++)
    for (uint i = 0u; i < 2u; i++)
      tile[t][2u * lane + i] = x_zero_tiny(o[t][i] * keeps[t]);
  barrier();
  if (present(p.o)) {
    for (uint i = lane; i < ROWS * TILE_DIMS; i += 64u) {
      uint row = i / TILE_DIMS, dim = first_dim + i % TILE_DIMS;
      if (row < n_rows && dim < p.head_dim)
        FloatsOut(p.o).at[query_of(row) * p.head_dim + dim] = tile[row][i % TILE_DIMS];
    }
    return;
  }
  uint row = lane / (TILE_DIMS / ACT_BLOCK), block = lane % (TILE_DIMS / ACT_BLOCK), dim = first_dim + block * ACT_BLOCK;
  if (row >= min(n_rows, ROWS) || dim >= p.head_dim)
    return;
  float x[ACT_BLOCK];
  for (uint i = 0u; i < ACT_BLOCK; i++)
    x[i] = tile[row][block * ACT_BLOCK + i];
  store_block(Q8Row(p.a_q, p.a_d, p.a_sums), (query_of(row) * p.head_dim + dim) / ACT_BLOCK, x);
}

void main() {
  uint head = gl_WorkGroupID.y % p.n_kv_heads, first_dim = gl_WorkGroupID.y / p.n_kv_heads * TILE_DIMS;
  uint n_rows = p.n_tokens * (p.n_heads / p.n_kv_heads) - gl_WorkGroupID.x * ROWS; // ROWS or, in the last group, fewer
  uint queries[ROWS], n_visible = 0u, mine = visible(row_of(MY_ROW));
  vec2 o[ROWS];
  for (uint t = 0u; t < ROWS; t++) {
    queries[t] = query_of(t);
    n_visible = max(n_visible, visible(row_of(t)));
    o[t] = vec2(0.0);
  }
  Sums total;
  total.m = LOWEST;
  total.l = 0.0;
  for (uint first = 0u; first < n_visible; first += KV_BLOCK) {
    KvBlock kv = kv_block(head, first / KV_BLOCK);
    uint n = min(n_visible - first, KV_BLOCK);
    score_rows(kv, queries, n_rows, n);
    Sums part = weigh_rows(kv, n, mine > first ? min(mine - first, KV_BLOCK) : 0u, first_dim);
    float keep, add;
    total = merge(total, part, keep, add);
    if (MY_FIRST == 0u) {
      keeps[MY_ROW] = keep;
      adds[MY_ROW] = add;
    }
    barrier();
    add_values(kv, first_dim / 2u + gl_LocalInvocationIndex, n, o);
  }
  store(first_dim, x_rcp(total.l), o);
}
