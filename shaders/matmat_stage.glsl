// matmat_stage.glsl: what a step of a matmat workgroup has in shared memory: the codes of its rows, unpacked once for all tokens, the codes of
// its tokens, and what their scales and sums are needed for.

// What the forms of a product do in their own ways: where codes lie (w: not minus OFFSET; h: which half of 16), and a row's and a token's
// factors, and what a sum of activations is needed for.
void put_row_codes(uint g, uint row, Granule w);
void put_token_codes(uint g, uint token, uint h, uvec4 codes);
uint row_slot(uint row);
uint token_slot(uint token);
float of_sum(int sum);

// Factors of a row: (scale *) d, then the two scales, then minimum * m, or m and the two minimums. Of a token: d, then what its sums are
// needed for: the minimums, or OFFSET.
#ifdef TWO_SCALES
#define SUMS 2u
#define SCALES 1u
#define MINIMUMS 3u
#else
#define SUMS 1u
#define MINIMUMS 1u
#endif
#if defined(TWO_SCALES) && defined(HAS_MINIMUM)
#define ROW_FACTORS 6u
#elif defined(TWO_SCALES)
#define ROW_FACTORS 3u
#elif defined(HAS_MINIMUM)
#define ROW_FACTORS 2u
#else
#define ROW_FACTORS 1u
#endif
#ifdef HAS_MINIMUM
#define USES_SUMS true
#elif defined(COOPERATIVE) // OFFSET is subtracted from the codes
#define USES_SUMS false
#else
#define USES_SUMS (OFFSET != 0)
#endif
#define TOKEN_FACTORS (USES_SUMS ? 1u + SUMS : 1u)

// (granule, factor, slot)
shared float w_factors[STEP * ROW_FACTORS * ROWS], x_factors[STEP * TOKEN_FACTORS * TOKENS];

void put_row_factor(uint g, uint which, uint row, float value) {
  w_factors[(g * ROW_FACTORS + which) * ROWS + row_slot(row)] = value;
}

void put_token_factor(uint g, uint which, uint token, float value) {
  x_factors[(g * TOKEN_FACTORS + which) * TOKENS + token_slot(token)] = value;
}

// scale * d and minimum * m are exact, 7 bits times 11, so that products with them round once, as in add_granule.
void put_weights(uint g, uint row, Granule w) {
  put_row_codes(g, row, w);
#ifdef TWO_SCALES
  put_row_factor(g, 0u, row, w.d);
  [[unroll]] for (uint h = 0u; h < 2u; h++)
    put_row_factor(g, SCALES + h, row, float(w.scale[h]));
#ifdef HAS_MINIMUM
  put_row_factor(g, MINIMUMS, row, w.m);
  [[unroll]] for (uint h = 0u; h < 2u; h++)
    put_row_factor(g, MINIMUMS + 1u + h, row, float(w.minimum[h]));
#endif
#else
  put_row_factor(g, 0u, row, float(w.scale[0]) * w.d);
#ifdef HAS_MINIMUM
  put_row_factor(g, MINIMUMS, row, float(w.minimum[0]) * w.m);
#endif
#endif
}

void put_token_factors(uint g, uint token, uint block) {
  put_token_factor(g, 0u, token, Floats(p.x_d).at[block]);
  if (!USES_SUMS)
    return;
  int sums = int(Words(p.x_sums).at[block]), low = bitfieldExtract(sums, 0, 16), high = sums >> 16;
#ifdef TWO_SCALES
  put_token_factor(g, 1u, token, of_sum(low));
  put_token_factor(g, 2u, token, of_sum(high));
#else
  put_token_factor(g, 1u, token, of_sum(low + high));
#endif
}

// In place of rows, tokens and granules that do not exist, the last ones are loaded.
uint granule_at(uint k, uint g) {
  return min(k + g, p.n_granules - 1u);
}

uint block_at(uint token, uint granule) {
  return min(gl_WorkGroupID.y * TOKENS + token, p.n_tokens - 1u) * p.n_granules + granule;
}

// Of `of` elements, the invocations load element(0), each the next, then element(1), ...: loops of a known length, else they are not unrolled.
#define LOADS(of) (((of) + INVOCATIONS - 1u) / INVOCATIONS)
#define LOADED(of, n) ((of) % INVOCATIONS == 0u || element(n) < (of))

uint element(uint n) {
  return gl_LocalInvocationIndex + n * INVOCATIONS;
}

void load_weights(uint k) {
  Planes w = Planes(p.w_q, p.w_high, p.w_scale, p.w_d);
  uint n_tiles = (p.n_rows + TILE_ROWS - 1u) / TILE_ROWS;
  [[unroll]] for (uint n = 0u; n < LOADS(STEP * ROWS); n++) {
    uint lane = element(n) % TILE_ROWS, g = element(n) / TILE_ROWS % STEP, tile = element(n) / (TILE_ROWS * STEP);
    uint from = min(gl_WorkGroupID.x * (ROWS / TILE_ROWS) + tile, n_tiles - 1u);
    if (LOADED(STEP * ROWS, n))
      put_weights(g, tile * TILE_ROWS + lane, load_tile_codes(w, p.n_granules, from, lane, granule_at(k, g)));
  }
}

void load_tokens(uint k) {
  [[unroll]] for (uint n = 0u; n < LOADS(STEP * 2u * TOKENS); n++) {
    uint h = element(n) % 2u, g = element(n) / 2u % STEP, token = element(n) / (2u * STEP);
    if (LOADED(STEP * 2u * TOKENS, n))
      put_token_codes(g, token, h, Blocks(p.x_q).at[block_at(token, granule_at(k, g))][h]);
  }
  [[unroll]] for (uint n = 0u; n < LOADS(STEP * TOKENS); n++) {
    uint g = element(n) % STEP, token = element(n) / STEP;
    if (LOADED(STEP * TOKENS, n))
      put_token_factors(g, token, block_at(token, granule_at(k, g)));
  }
}

// Granules k .. k + STEP - 1.
void load_step(uint k) {
  barrier();
  load_weights(k);
  load_tokens(k);
  barrier();
}
