// attention_merge.glsl: the parts of attention.comp, merged from left to right. What values are multiplied by depends on the maxima alone, so
// lanes compute it for a run of blocks at a time, and what is left for each block is a load, two multiplications and an addition.

#define RUN uint(KV_BLOCK)           // blocks
#define RUN_BLOCKS (RUN / ROW_LANES) // of a lane
#define N_ELEMENTS (ROWS * TILE_DIMS / 256u) // of a lane: four dimensions of a row each
#define LOADS 8u                     // a divisor of RUN

// The sums up to the end of a run. In pool: what is multiplied with values before a block, with its own, and its l times that. Blocks beyond
// the last change nothing.
Sums merge_run(Sums total, uint first, uint block, uint n_blocks) {
  uint mine = MY_FIRST * RUN_BLOCKS;
  float run_max = LOWEST;
  Sums parts[RUN_BLOCKS], before = total;
  barrier();
  for (uint i = 0u; i < RUN_BLOCKS; i++) {
    bool there = block + mine + i < n_blocks && first + MY_ROW < group_size();
    vec2 part = there ? PartSums(p.part_sums).at[part_of(block + mine + i, first + MY_ROW)] : vec2(LOWEST, 0.0);
    parts[i].m = part.x;
    parts[i].l = part.y;
    run_max = part.x > run_max ? part.x : run_max;
  }
  row_max[MY_ROW][MY_FIRST] = run_max;
  barrier();
  for (uint i = 0u; i < MY_FIRST; i++)
    before.m = row_max[MY_ROW][i] > before.m ? row_max[MY_ROW][i] : before.m;
  for (uint i = 0u; i < RUN_BLOCKS; i++) {
    float keep, add;
    before = merge(before, parts[i], keep, add);
    pool[MY_ROW][mine + i] = vec4(keep, add, parts[i].l * add, 0.0);
  }
  barrier();
  for (uint i = 0u; i < ROW_LANES; i++)
    total.m = row_max[MY_ROW][i] > total.m ? row_max[MY_ROW][i] : total.m;
  for (uint i = 0u; i < min(n_blocks - block, RUN); i++) {
    float kept = total.l * pool[MY_ROW][i].x;
    total.l = kept + pool[MY_ROW][i].z;
  }
  return total;
}

// o, four dimensions, merged with the parts of n blocks. Several are loaded at a time, so that each need not be waited for.
vec4 merge_values(vec4 o, uint row, uint at, uint stride, uint n) {
  for (uint k = 0u; k < n; k += LOADS) {
    vec4 parts[LOADS];
    for (uint i = 0u; i < LOADS; i++)
      parts[i] = PartValues(p.part_o).at[at + min(k + i, n - 1u) * stride];
    for (uint i = 0u; i < LOADS; i++) {
      vec2 factors = pool[row][k + i].xy;
      vec4 kept = o * factors.x, added = parts[i] * factors.y;
      o = kept + added;
    }
  }
  return o;
}

// The results of some heads.
void merge_rows(uint first, uint n_rows, uint n_blocks) {
  uint width = p.head_dim / 4u, n = n_rows * width;
  Sums total;
  total.m = LOWEST;
  total.l = 0.0;
  vec4 o[N_ELEMENTS];
  for (uint e = 0u; e < N_ELEMENTS; e++)
    o[e] = vec4(0.0);
  for (uint block = 0u; block < n_blocks; block += RUN) {
    total = merge_run(total, first, block, n_blocks);
    for (uint e = 0u; e < N_ELEMENTS; e++) {
      uint i = gl_LocalInvocationIndex + 64u * e;
      if (i < n)
        o[e] = merge_values(o[e], i / width, part_of(block, first) * width + i, group_size() * width, min(n_blocks - block, RUN));
    }
  }
  if (MY_FIRST == 0u)
    inverses[MY_ROW] = x_rcp(total.l);
  barrier();
  for (uint e = 0u; e < N_ELEMENTS; e++) {
    uint i = gl_LocalInvocationIndex + 64u * e;
    if (i < n)
      put_result(first, 0u, width, i, o[e]);
  }
  store_results(first, n_rows, 0u, width);
}

void merge_all(uint n_blocks) {
  uint at_once = min(N_ELEMENTS * 64u / (p.head_dim / 4u), uint(ROWS));
  for (uint first = 0u; first < group_size(); first += at_once)
    merge_rows(first, min(group_size() - first, at_once), n_blocks);
}
