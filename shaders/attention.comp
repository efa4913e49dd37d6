#version 460
// attention: out[token][head] = softmax(q . k * scale) . v over the cache positions up to the token's own, for few tokens (many:
// attention_prompt.comp). A workgroup is one key head of a token, with all heads of q that share it, and one block of the cache: it writes the
// block's part of each. The last of a head's workgroups to be done merges the parts from left to right. There may be more blocks
// than a token sees; these workgroups do nothing. out: f32 or, where o is no address, q8.
// Groups: (n_tokens * n_kv_heads, blocks of the longest context). counters: zero before, and zero again.
#define ROWS 4 // heads of q at a time
#include "attention.glsl"
#include "arrival.glsl"

layout(buffer_reference, std430, buffer_reference_align = 16) coherent buffer PartValues { vec4 at[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) coherent buffer PartSums { vec2 at[]; };

// A block's sums, of a word of the values by several lanes; then factors: see attention_merge.glsl.
shared vec4 pool[ROWS][KV_BLOCK];
shared Sums totals[ROWS]; // of the block, or of all that are merged
shared vec4 results[ROWS * TILE_DIMS / 4u];

uint group_size() {
  return p.n_heads / p.n_kv_heads;
}

// The part of head `row` of this key head in a block.
uint part_of(uint block, uint row) {
  return (gl_WorkGroupID.x * gl_NumWorkGroups.y + block) * group_size() + row;
}

// Sums of weights . values for words first_word .. first_word + n_words - 1, of each word by lanes that share the positions. They stay below
// 2^24, so that floats hold them.
void sum_values(KvBlock kv, uint lane, uint first_word, uint n_words, uint n) {
  uint n_slices = KV_BLOCK / n_words, word = lane % n_words, which = Q4 != 0 ? word / (HEAD_BLOCK / 4u) : 0u;
  integer4 sums[ROWS];
  for (uint t = 0u; t < ROWS; t++)
    sums[t] = integer4(0);
  if (lane < n_slices * n_words)
    for (uint i = lane / n_words; i < n; i += n_slices) {
      uint value = value_word(kv, i, first_word + word);
      for (uint t = 0u; t < ROWS; t++)
        sums[t] = add_bytes(sums[t], value, weights[which][i * ROWS + t]);
    }
  for (uint t = 0u; t < ROWS; t++)
    pool[t][lane] = vec4(sums[t]);
}

vec4 part_values(uint row, uint word, uint n_words) {
  vec4 sum = pool[row][word];
  for (uint s = 1u; s < KV_BLOCK / n_words; s++)
    sum += pool[row][s * n_words + word];
  return sum * units[Q4 != 0 ? word / (HEAD_BLOCK / 4u) : 0u][row];
}

// Makes elements of four dimensions results: `width` of them for each row, from first_dim on.
void finish_results(uint first, uint n_rows, uint first_dim, uint width) {
  for (uint at = gl_LocalInvocationIndex; at < n_rows * width; at += INVOCATIONS) {
    vec4 x = results[at] * x_rcp(totals[at / width].l);
    for (uint i = 0u; i < 4u; i++) {
      results[at][i] = x_zero_tiny(x[i]);
      if (present(p.o))
        FloatsOut(p.o).at[(gl_WorkGroupID.x * group_size() + first + at / width) * p.head_dim + first_dim + at % width * 4u + i] = x_zero_tiny(x[i]);
    }
  }
}

// Rounds them.
void store_results(uint first, uint n_rows, uint first_dim, uint width) {
  uint blocks = 4u * width / ACT_BLOCK, query = gl_WorkGroupID.x * group_size() + first;
  barrier();
  if (!present(p.o))
    for (uint i = gl_LocalInvocationIndex; i < n_rows * blocks; i += INVOCATIONS) {
      float x[ACT_BLOCK];
      for (uint j = 0u; j < ACT_BLOCK; j++)
        x[j] = results[i * (ACT_BLOCK / 4u) + j / 4u][j % 4u];
      store_block(Q8Row(p.a_q, p.a_d, p.a_sums), ((query + i / blocks) * p.head_dim + first_dim) / ACT_BLOCK + i % blocks, x);
    }
  barrier();
}

// The block's part of some heads; where it is the only one, their results.
void attend(KvBlock kv, uint first, uint n, bool alone) {
  uint n_rows = min(group_size() - first, uint(ROWS)), queries[ROWS], lane = gl_LocalInvocationIndex;
  for (uint t = 0u; t < ROWS; t++)
    queries[t] = gl_WorkGroupID.x * group_size() + first + t;
  if (lane < ROWS)
    row_n[lane] = n;
  score_rows(kv, queries, n_rows, n);
  softmax_rows();
  for (uint first_dim = 0u; first_dim < p.head_dim; first_dim += TILE_DIMS) {
    uint n_words = min(HEAD_WORDS(p.head_dim) - first_dim / 4u, TILE_DIMS / 4u), width = min(p.head_dim - first_dim, TILE_DIMS) / 4u;
    weigh_rows(kv, n, first_dim);
    if (lane < ROWS)
      totals[lane] = sums_of_row(lane);
    barrier();
    if (!alone && lane < n_rows)
      PartSums(p.part_sums).at[part_of(gl_WorkGroupID.y, first + lane)] = vec2(totals[lane].m, totals[lane].l);
    EACH_LANE(sum_values(kv, lane, first_dim / 4u, n_words, n))
    barrier();
    for (uint i = lane; i < n_rows * width; i += INVOCATIONS) {
      vec4 o = part_values(i / width, i % width, n_words);
      if (alone)
        results[i] = o;
      else
        PartValues(p.part_o).at[part_of(gl_WorkGroupID.y, first + i / width) * (p.head_dim / 4u) + first_dim / 4u + i % width] = o;
    }
    if (alone) {
      finish_results(first, n_rows, first_dim, width);
      store_results(first, n_rows, first_dim, width);
    }
  }
}

#include "attention_merge.glsl"

void main() {
  uint n_visible = Words(p.positions).at[gl_WorkGroupID.x / p.n_kv_heads] + 1u, block = gl_WorkGroupID.y;
  uint n_blocks = (n_visible + KV_BLOCK - 1u) / KV_BLOCK;
  if (block >= n_blocks)
    return;
  KvBlock kv = kv_block(gl_WorkGroupID.x % p.n_kv_heads, block);
  for (uint first = 0u; first < group_size(); first += ROWS)
    attend(kv, first, min(n_visible - block * KV_BLOCK, KV_BLOCK), n_blocks == 1u);
  if (n_blocks == 1u || !arrive(p.counters, gl_WorkGroupID.x, 1u, n_blocks))
    return;
  merge_all(n_blocks);
}
