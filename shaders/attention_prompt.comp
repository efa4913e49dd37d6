#version 460
// attention_prompt: attention.comp for many tokens: out[token][head] = softmax(q . k * scale) . v over the cache positions up to the token's
// own. A workgroup is ROWS neighbouring queries of one key head (of a token all that share it, then those of the next token) and
// 128 of head_dim. It walks the cache from left to right, block after block; keys and values are unpacked once for all rows.
// A block of which a row sees nothing adds nothing to it: its maximum is the lowest number, so that exactly 1 and 0 are multiplied with.
// Groups: (ceil(n_tokens * n_heads / n_kv_heads / ROWS), n_kv_heads * ceil(head_dim / 128)).
#define ROWS PROMPT_ROWS
#include "attention.glsl"

shared float keeps[ROWS], adds[ROWS];
shared Sums totals[ROWS];
shared float tile[ROWS][TILE_DIMS]; // o

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

void merge_row(uint row) {
  float keep, add;
  totals[row] = merge(totals[row], sums_of_row(row), keep, add);
  keeps[row] = keep;
  adds[row] = add;
}

// o = o * keep + the block's part, for two dimensions of each row.
void add_values(KvBlock kv, uint lane, uint first_dim, uint n) {
  uint pair = first_dim / 2u + lane, which = Q4 != 0 ? lane / (HEAD_BLOCK / 2u) : 0u, shift = 16u * (pair & 1u);
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
      float kept = tile[t][2u * lane + i] * keeps[t], added = (float(sums[t][i]) * units[which][t]) * adds[t];
      tile[t][2u * lane + i] = kept + added;
    }
}

void clear_values(uint lane) {
  for (uint t = 0u; t < ROWS; t++)
    tile[t][2u * lane] = tile[t][2u * lane + 1u] = 0.0;
}

void store(uint first_dim) {
  uint n_rows = p.n_tokens * (p.n_heads / p.n_kv_heads) - gl_WorkGroupID.x * ROWS;
  if (gl_LocalInvocationIndex < ROWS)
    keeps[gl_LocalInvocationIndex] = x_rcp(totals[gl_LocalInvocationIndex].l);
  barrier();
  if (present(p.o)) {
    for (uint i = gl_LocalInvocationIndex; i < ROWS * TILE_DIMS; i += INVOCATIONS) {
      uint row = i / TILE_DIMS, dim = first_dim + i % TILE_DIMS;
      if (row < n_rows && dim < p.head_dim)
        FloatsOut(p.o).at[query_of(row) * p.head_dim + dim] = x_zero_tiny(tile[row][i % TILE_DIMS] * keeps[row]);
    }
    return;
  }
  for (uint at = gl_LocalInvocationIndex; at < ROWS * (TILE_DIMS / ACT_BLOCK); at += INVOCATIONS) {
    uint row = at / (TILE_DIMS / ACT_BLOCK), block = at % (TILE_DIMS / ACT_BLOCK), dim = first_dim + block * ACT_BLOCK;
    if (row >= n_rows || dim >= p.head_dim)
      continue;
    float x[ACT_BLOCK];
    for (uint i = 0u; i < ACT_BLOCK; i++)
      x[i] = x_zero_tiny(tile[row][block * ACT_BLOCK + i] * keeps[row]);
    store_block(Q8Row(p.a_q, p.a_d, p.a_sums), (query_of(row) * p.head_dim + dim) / ACT_BLOCK, x);
  }
}

void main() {
  uint head = gl_WorkGroupID.y % p.n_kv_heads, first_dim = gl_WorkGroupID.y / p.n_kv_heads * TILE_DIMS, lane = gl_LocalInvocationIndex;
  uint n_rows = p.n_tokens * (p.n_heads / p.n_kv_heads) - gl_WorkGroupID.x * ROWS; // ROWS or, in the last group, fewer
  uint queries[ROWS], n_visible = 0u;
  for (uint t = 0u; t < ROWS; t++) {
    queries[t] = query_of(t);
    n_visible = max(n_visible, visible(row_of(t)));
  }
  if (lane < ROWS)
    totals[lane] = Sums(LOWEST, 0.0);
  EACH_LANE(clear_values(lane))
  for (uint first = 0u; first < n_visible; first += KV_BLOCK) {
    KvBlock kv = kv_block(head, first / KV_BLOCK);
    uint n = min(n_visible - first, KV_BLOCK);
    if (lane < ROWS) {
      uint mine = visible(row_of(lane));
      row_n[lane] = mine > first ? min(mine - first, KV_BLOCK) : 0u;
    }
    score_rows(kv, queries, n_rows, n);
    softmax_rows();
    weigh_rows(kv, n, first_dim);
    if (lane < ROWS)
      merge_row(lane);
    barrier();
    EACH_LANE(add_values(kv, lane, first_dim, n))
  }
  barrier();
  store(first_dim);
}
