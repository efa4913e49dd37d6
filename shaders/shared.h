/*
 * shared.h: what the kernels and the C code agree on: block sizes, buffer layouts and push constants. C and GLSL.
 *
 * Layouts of activations, per token (a row):
 *   f32 rows                (n) floats
 *   q8 rows of n values     n / 4 words of four int8, first in the low byte; n / 32 floats d, one per ACT_BLOCK;
 *                           n / 32 words of sums: int16 of the first 16 values, and of the second in the high half
 *   q, per head             HEAD_WORDS words of int8 and HEAD_SCALES floats, one per HEAD_BLOCK values
 * where for head_dim values HEAD_WORDS = 8 * ceil(head_dim / 32): heads are padded with zeros to a multiple of 32.
 *
 * KV cache of a layer: blocks of KV_BLOCK positions, the first n_device_blocks in one place, the others in another (of the host's memory).
 * A block holds one key/value head after the other; of a head, its positions' rows of keys, then those of values, then those of scales:
 *   Q8_0  keys, values      HEAD_WORDS words of int8
 *         scales            f16: HEAD_SCALES of the key, one per HEAD_BLOCK values, then one of the whole value
 *   Q4_0  keys (mixed, see below), values   4 words per HEAD_BLOCK values: byte i holds value i plus 8 and, in its high half, value i + 16 plus 8
 *         scales            f16 pairs, one per HEAD_BLOCK values: of the key and of the value
 */
#ifndef HN_SHARED_H
#define HN_SHARED_H

#ifdef GL_core_profile
#define ADDRESS uvec2 /* of a buffer; zero: none */
#else
#include <stdint.h>
#define ADDRESS uint64_t
typedef unsigned int uint;
#endif

#define ACT_BLOCK 32   /* activations that share a scale; measured: tests/reference/README.md */
#define TILE_ROWS 16   /* rows of a weight tile */
#define N_CHUNKS 8     /* parts of a row that are summed apart */
#define KV_BLOCK 64    /* cache positions whose softmax is one unit */
#define HEAD_BLOCK 32  /* values of a head of q or k that share a scale */
#define NORM_LANES 256 /* lanes of the square sum */
#define PROMPT_ROWS 8    /* queries of a workgroup of attention_prompt, */
#define ATTENTION_DIMS 128 /* values of a head that attention sums at a time; of those a workgroup of attention_prompt has */
#define P_MAX 2047.0f                     /* the largest attention weight, an integer of 11 bits */
#define P_STEP 4.88519785051291646e-4f    /* 1 / 2047 */

#define HEAD_SCALES(head_dim) (((head_dim) + HEAD_BLOCK - 1) / HEAD_BLOCK)
#define HEAD_WORDS(head_dim) (HEAD_SCALES(head_dim) * (HEAD_BLOCK / 4))

/* Words of the KV cache; q4: 1 for Q4_0, 0 for Q8_0. Of a position's key or value, of its scales, of a head's block of positions. */
#define KV_ROW_WORDS(q4, head_dim) (HEAD_WORDS(head_dim) >> (q4))
#define KV_SCALE_WORDS(q4, head_dim) ((q4) != 0 ? HEAD_SCALES(head_dim) : HEAD_SCALES(head_dim) / 2 + 1)
#define KV_HEAD_WORDS(q4, head_dim) (KV_BLOCK * (2 * KV_ROW_WORDS(q4, head_dim) + KV_SCALE_WORDS(q4, head_dim)))
#define KV_VALUE_SCALES(q4, head_dim) ((q4) != 0 ? HEAD_SCALES(head_dim) : 1) /* of a position's value */

/* In a Q4_0 cache queries and keys are mixed: KV_MIX neighbouring values, the most that divide a padded head, go through a Hadamard transform
 * (Sylvester's) and are multiplied by KV_MIX_SCALE; products of mixed heads times KV_UNMIX are those of the heads. A large value no longer takes the
 * precision of its neighbours: that costs a third as much perplexity. */
#define KV_MIX(head_dim) ((HEAD_SCALES(head_dim) & (~HEAD_SCALES(head_dim) + 1)) * HEAD_BLOCK)
#define KV_MIX_SCALE(head_dim) (KV_MIX(head_dim) < 64 ? 0.25f : KV_MIX(head_dim) < 256 ? 0.125f : 0.0625f)
#define KV_UNMIX(head_dim) (KV_MIX(head_dim) == 32 || KV_MIX(head_dim) == 128 ? 0.5f : 1.0f)

/* x[token] = row ids[token] of the table */
struct push_embed {
  ADDRESS w_q, w_high, w_scale, w_d; /* planes: see weights.glsl */
  ADDRESS ids;                       /* (n_tokens) */
  ADDRESS x;                         /* (n_tokens, 32 * n_granules) f32 */
  uint n_granules;
};

/* planes = the rows of a file */
struct push_rearrange {
  ADDRESS raw;                       /* (n_tiles * TILE_ROWS) rows of blocks, packed */
  ADDRESS w_q, w_high, w_scale, w_d; /* of the first of these tiles */
  uint n_granules;                   /* of a row */
};

/* q8 = quantize(rmsnorm(x) * weight) */
struct push_norm {
  ADDRESS x;      /* (n_tokens, n) f32 */
  ADDRESS weight; /* (n) f32 */
  ADDRESS q, d, sums;
  uint n;
  float inverse_n, eps;
};

/* y[token][row] = (residual +) (weights . q8 (+ bias)) */
struct push_matmul {
  ADDRESS w_q, w_high, w_scale, w_d;
  ADDRESS x_q, x_d, x_sums; /* (n_tokens) q8 rows */
  ADDRESS bias;             /* (n_rows) f32 or none */
  ADDRESS residual;         /* as y, or none */
  ADDRESS y;                /* row of a token: y_stride floats */
  uint n_granules, n_rows, n_tokens, y_stride;
};

/* q, k, v of a token -> rotated, quantized, stored */
struct push_rope_store {
  ADDRESS positions; /* (n_tokens) in the cache */
  ADDRESS rotation;  /* (n_tokens, head_dim / 2) pairs of cos and sin */
  ADDRESS qkv;       /* (n_tokens, n_heads + 2 * n_kv_heads, head_dim) f32 */
  ADDRESS q, q_d;    /* (n_tokens, n_heads) heads */
  ADDRESS kv_device, kv_host; /* the layer's cache: blocks 0 .. n_device_blocks - 1, and the others */
  uint n_heads, n_kv_heads, head_dim, n_device_blocks;
};

/* out[token][head] = softmax(q . k * scale) . v over the positions up to the token's own. attention, attention_prompt */
struct push_attention {
  ADDRESS positions; /* (n_tokens) */
  ADDRESS q, q_d;
  ADDRESS kv_device, kv_host; /* as in push_rope_store */
  ADDRESS o;                  /* (n_tokens, n_heads, head_dim) f32, or none: then q8 rows are written, and head_dim is a multiple of ACT_BLOCK */
  ADDRESS a_q, a_d, a_sums;
  ADDRESS part_o, part_sums, counters; /* attention alone: see activations in runtime/sizes.h */
  uint n_heads, n_kv_heads, head_dim, n_device_blocks, n_tokens;
  float scale; /* see kv_score_scale */
};

/* What a workgroup does with the whole of what all have computed: in memory, for push constants have no room. The counters tell how much is
 * there; they are zero before and after. */
#ifndef GL_core_profile
struct then_norm {
  struct push_norm norm; /* x: y of the product */
  ADDRESS counters;      /* (n_tokens) */
};

struct then_rope {
  struct push_rope_store heads; /* qkv: y of the product, where it has all rows */
  ADDRESS counters;             /* (n_tokens, n_heads + n_kv_heads) */
};

struct push_matvec_then {
  struct push_matmul product;
  ADDRESS then;
  uint first_row; /* of q, k and v together: what row 0 is */
};

struct push_matvec_swiglu {
  struct push_matmul product; /* n_rows: of gate, and of up; without bias, residual, y */
  ADDRESS q, d, sums;         /* (n_tokens) q8 rows of n_rows */
};
#endif

/* q8 = quantize(x) */
struct push_quantize {
  ADDRESS x;
  ADDRESS q, d, sums;
  uint n_blocks; /* of all tokens together: rows follow each other */
};

/* q8 = quantize(silu(gate) * up) */
struct push_swiglu {
  ADDRESS gate, up; /* f32, as x of push_quantize */
  ADDRESS q, d, sums;
  uint n_blocks;
};

/* result[0] = the index of the largest of n logits, the lowest among equals */
struct push_argmax {
  ADDRESS logits;
  ADDRESS result;
  uint n;
};

#endif
