// matmat_stage.glsl: what a step of a matmat workgroup has in shared memory: the codes of its rows, unpacked once for all tokens, the codes of
// its tokens, and what their scales and sums are needed for.

// What the forms of a product do in their own ways: where codes lie (w: not minus OFFSET), and a row's and a token's factors, and what a sum of
// activations is needed for.
void put_row_codes(uint g, uint row, Granule w);
void put_token_codes(uint g, uint token, uvec4 codes[2]);
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

void put_token(uint g, uint token, Input x) {
  put_token_codes(g, token, x.q);
  put_token_factor(g, 0u, token, x.d);
  if (!USES_SUMS)
    return;
#ifdef TWO_SCALES
  put_token_factor(g, 1u, token, of_sum(x.sums[0]));
  put_token_factor(g, 2u, token, of_sum(x.sums[1]));
#else
  put_token_factor(g, 1u, token, of_sum(x.sums[0] + x.sums[1]));
#endif
}

// Of `of` elements, the invocations load element(0), each the next, then element(1), ...: loops of a known length, else they are not unrolled.
#define LOADS(of) (((of) + INVOCATIONS - 1u) / INVOCATIONS)
#define LOADED(of, n) ((of) % INVOCATIONS == 0u || element(n) < (of))

uint element(uint n) {
  return gl_LocalInvocationIndex + n * INVOCATIONS;
}

// Which row or token of the tile, and granule of the step, an element is of.
uvec2 row_element(uint n) {
  return uvec2(element(n) / (TILE_ROWS * STEP) * TILE_ROWS + element(n) % TILE_ROWS, element(n) / TILE_ROWS % STEP);
}

uvec2 token_element(uint n) {
  return uvec2(element(n) / STEP, element(n) % STEP);
}

// Where the rows and tokens of the invocation's elements begin; see find_elements.
RowStart row_starts[LOADS(STEP * ROWS)];
uint token_blocks[LOADS(STEP * TOKENS)];

// In place of rows and tokens that do not exist, the last ones are loaded.
void find_elements() {
  uint last = (p.n_rows + TILE_ROWS - 1u) / TILE_ROWS - 1u;
  [[unroll]] for (uint n = 0u; n < LOADS(STEP * ROWS); n++) {
    uint row = row_element(n).x;
    row_starts[n] = start_of_row(p.n_granules, min((gl_WorkGroupID.x * ROWS + row) / TILE_ROWS, last), row % TILE_ROWS);
  }
  [[unroll]] for (uint n = 0u; n < LOADS(STEP * TOKENS); n++)
    token_blocks[n] = min(gl_WorkGroupID.y * TOKENS + token_element(n).x, p.n_tokens - 1u) * p.n_granules;
}

// Nor are there granules behind the last one.
uint granule_at(uint k, uint g) {
  return min(k + g, p.n_granules - 1u);
}

void load_weights(uint k) {
  Planes w = Planes(p.w_q, p.w_high, p.w_scale, p.w_d);
  [[unroll]] for (uint n = 0u; n < LOADS(STEP * ROWS); n++) {
    uvec2 e = row_element(n);
    if (LOADED(STEP * ROWS, n))
      put_weights(e.y, e.x, load_row_codes(w, row_starts[n], granule_at(k, e.y)));
  }
}

void load_tokens(uint k) {
  [[unroll]] for (uint n = 0u; n < LOADS(STEP * TOKENS); n++) {
    uvec2 e = token_element(n);
    if (LOADED(STEP * TOKENS, n))
      put_token(e.y, e.x, load_input(p.x_q, p.x_d, p.x_sums, token_blocks[n] + granule_at(k, e.y)));
  }
}

// Granules k .. k + STEP - 1; find_elements was called.
void load_step(uint k) {
  barrier();
  load_weights(k);
  load_tokens(k);
  barrier();
}
