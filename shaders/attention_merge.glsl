// attention_merge.glsl: the parts of attention.comp, merged from left to right. What values are multiplied by depends on the maxima alone, so
// lanes compute it for a run of blocks at a time, and what is left for each block is a load, two multiplications and an addition.

#define RUN uint(KV_BLOCK)           // blocks
#define RUN_BLOCKS (RUN / ROW_LANES) // of a lane
#define LOADS 8u                     // a divisor of RUN

vec2 part_sums(uint first, uint row, uint block, uint n_blocks) {
  bool there = block < n_blocks && first + row < group_size();
  return there ? PartSums(p.part_sums).at[part_of(block, first + row)] : vec2(LOWEST, 0.0);
}

void find_run_maximum(uint lane, uint first, uint block, uint n_blocks) {
  float run_max = LOWEST;
  for (uint i = 0u; i < RUN_BLOCKS; i++) {
    float m = part_sums(first, lane / ROW_LANES, block + lane % ROW_LANES * RUN_BLOCKS + i, n_blocks).x;
    run_max = m > run_max ? m : run_max;
  }
  row_max[lane / ROW_LANES][lane % ROW_LANES] = run_max;
}

// In pool: what is multiplied with values before a block, with its own, and its l times that.
void find_factors(uint lane, uint first, uint block, uint n_blocks) {
  uint row = lane / ROW_LANES, mine = lane % ROW_LANES * RUN_BLOCKS;
  Sums before = totals[row];
  for (uint i = 0u; i < lane % ROW_LANES; i++)
    before.m = row_max[row][i] > before.m ? row_max[row][i] : before.m;
  for (uint i = 0u; i < RUN_BLOCKS; i++) {
    vec2 part = part_sums(first, row, block + mine + i, n_blocks);
    float keep, add;
    before = merge(before, Sums(part.x, part.y), keep, add);
    pool[row][mine + i] = vec4(keep, add, part.y * add, 0.0);
  }
}

// Totals up to the end of a run. Blocks beyond the last change nothing.
void merge_run(uint first, uint block, uint n_blocks) {
  barrier();
  EACH_LANE(find_run_maximum(lane, first, block, n_blocks))
  barrier();
  EACH_LANE(find_factors(lane, first, block, n_blocks))
  barrier();
  uint row = gl_LocalInvocationIndex;
  if (row >= ROWS)
    return;
  Sums total = totals[row];
  for (uint i = 0u; i < ROW_LANES; i++)
    total.m = row_max[row][i] > total.m ? row_max[row][i] : total.m;
  for (uint i = 0u; i < min(n_blocks - block, RUN); i++) {
    float kept = total.l * pool[row][i].x;
    total.l = kept + pool[row][i].z;
  }
  totals[row] = total;
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
  uint width = p.head_dim / 4u, n = n_rows * width, lane = gl_LocalInvocationIndex;
  if (lane < ROWS)
    totals[lane] = Sums(LOWEST, 0.0);
  for (uint i = lane; i < n; i += INVOCATIONS)
    results[i] = vec4(0.0);
  for (uint block = 0u; block < n_blocks; block += RUN) {
    merge_run(first, block, n_blocks);
    for (uint i = lane; i < n; i += INVOCATIONS)
      results[i] = merge_values(results[i], i / width, part_of(block, first) * width + i, group_size() * width, min(n_blocks - block, RUN));
  }
  barrier();
  finish_results(first, n_rows, 0u, width);
  store_results(first, n_rows, 0u, width);
}

void merge_all(uint n_blocks) {
  uint at_once = min(uint(ROWS) * TILE_DIMS / p.head_dim, uint(ROWS));
  for (uint first = 0u; first < group_size(); first += at_once)
    merge_rows(first, min(group_size() - first, at_once), n_blocks);
}
