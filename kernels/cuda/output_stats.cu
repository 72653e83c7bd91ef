// A row is cut into parts, a block each, which keep their 64 greatest logits in order and the sums over all others; one
// block per row then merges the parts. Sums are in double and in a fixed order.
#include "kernels/cuda/language.h"
#include "kernels/cuda/output_stats.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr uint32_t kTop = kOutputTopMax;
constexpr uint32_t kTile = 1024;     // logits that a block sorts at a time
constexpr uint32_t kMaxParts = 256;  // of a row: their greatest logits are sorted at once
constexpr uint32_t kPartThreads = 256;
constexpr uint32_t kMergeThreads = 512;

// A logit and its id as one number of the same order: larger values first, ties to the lower id (top_entry.h). 0 stands
// for none, and for NaN.
using Key = uint64_t;

__device__ Key key_of(float logit, int64_t id) {
  if (isnan(logit)) return 0;
  const uint32_t bits = float_to_bits(logit == 0.0f ? 0.0f : logit);  // -0 equals 0
  const uint32_t ordered = bits ^ (bits >> 31 != 0 ? 0xffffffffu : 0x80000000u);
  return Key{ordered} << 32 | (0xffffffffu - static_cast<uint32_t>(id));
}

__device__ float logit_of(Key key) {
  const uint32_t ordered = static_cast<uint32_t>(key >> 32);
  return bits_to_float(ordered ^ (ordered >> 31 != 0 ? 0x80000000u : 0xffffffffu));
}

__device__ int64_t id_of(Key key) { return 0xffffffffu - static_cast<uint32_t>(key); }

// Swaps where wanted among the n / 2 pairs of keys that are `distance` apart: in blocks of `size` keys the greater
// comes first and last in turn, in the final ones always first.
template <typename Keys>
__device__ void order_pairs(Keys& keys, uint32_t n, uint32_t distance, uint32_t size, bool final) {
  __syncthreads();
  for (uint32_t pair = threadIdx.x; pair < n / 2; pair += blockDim.x) {
    const uint32_t first = 2 * pair - pair % distance, second = first + distance;
    const Key a = keys[first], b = keys[second];
    const bool descending = final || (first & size) == 0;
    if (descending ? a < b : b < a) {
      keys[first] = b;
      keys[second] = a;
    }
  }
}

// Sorts each run of `run` keys, greatest first. Bitonic: Batcher 1968. n and run are powers of two, n >= run.
template <typename Keys>
__device__ void sort_runs(Keys& keys, uint32_t n, uint32_t run) {
  for (uint32_t size = 2; size <= run; size *= 2) {
    for (uint32_t distance = size / 2; distance > 0; distance /= 2) order_pairs(keys, n, distance, size, size == run);
  }
  __syncthreads();
}

// Sorted runs of kTop keys become one, the kTop greatest of all. n_runs is a power of two.
template <typename Keys>
__device__ void merge_runs(Keys& keys, uint32_t n_runs) {
  for (uint32_t n = n_runs / 2 * kTop; n >= kTop; n /= 2) {
    __syncthreads();
    // Of two runs, each rank's key of one and its counterpart from the end of the other: the greater are the greatest.
    for (uint32_t i = threadIdx.x; i < n; i += blockDim.x) {
      const Key a = keys[i], b = keys[n + (i | (kTop - 1)) - i % kTop];
      if (a < b) keys[i] = b;
    }
    for (uint32_t distance = kTop / 2; distance > 0; distance /= 2) order_pairs(keys, n, distance, kTop, true);
  }
  __syncthreads();
}

// What remains of a part beside its keys: sums of exponentials, relative to its greatest logit, of what is not in them.
struct PartSums {
  double sum;
  double weighted;  // each times its exponent
};

struct PartArguments {
  const float* logits;
  Key* keys;       // [n_rows, n_parts, kTop]
  PartSums* sums;  // [n_rows, n_parts]
  int64_t row_stride;
  int64_t vocab;
  int64_t part_length;
  uint32_t tile;  // a power of two, kTop to kTile; more than kTop where a part has several
  uint32_t unused = 0;
};

// A block per row (x) and part (y).
__global__ void __launch_bounds__(kPartThreads) output_part_kernel(PartArguments a) {
  ORRERY_SHARED(Key, keys, kTile);
  ORRERY_SHARED(double, sums, kWarp);
  const float* const x = a.logits + blockIdx.x * a.row_stride;
  const int64_t begin = blockIdx.y * a.part_length;
  const int64_t end = begin + a.part_length < a.vocab ? begin + a.part_length : a.vocab;
  uint32_t n_kept = 0;  // the greatest of earlier tiles
  for (int64_t next = begin; next < end; next += a.tile - n_kept, n_kept = kTop) {
    for (uint32_t i = n_kept + threadIdx.x; i < a.tile; i += blockDim.x) {
      const int64_t id = next + i - n_kept;
      keys[i] = id < end ? key_of(x[id], id) : 0;
    }
    sort_runs(keys, a.tile, kTop);
    merge_runs(keys, a.tile / kTop);
  }
  const float greatest = logit_of(keys[0]);
  const Key least = keys[kTop - 1];
  double sum = 0.0, weighted = 0.0;
  for (int64_t id = begin + threadIdx.x; id < end; id += blockDim.x) {
    const Key key = key_of(x[id], id);
    if (key == 0 || key >= least || x[id] == -infinity()) continue;
    const float exponent = x[id] - greatest, e = expf(exponent);
    sum += double{e};
    weighted += double{e} * double{exponent};
  }
  sum = block_sum(sum, sums);
  weighted = block_sum(weighted, sums);
  const int64_t part = int64_t{blockIdx.x} * gridDim.y + blockIdx.y;
  if (threadIdx.x < kTop) a.keys[part * kTop + threadIdx.x] = keys[threadIdx.x];
  if (threadIdx.x == 0) a.sums[part] = {sum, weighted};
}

struct MergeArguments {
  const Key* keys;
  const PartSums* sums;
  float* top;
  float* entropy;
  float* tail;
  int64_t top_stride;
  int64_t entropy_stride;
  int64_t tail_stride;
  int64_t part_length;
  uint32_t n_parts;
  uint32_t n_heads;  // n_parts rounded up to a power of two
  uint32_t n_top;
  uint32_t log_probability;
};

// A block per row.
__global__ void __launch_bounds__(kMergeThreads) output_merge_kernel(MergeArguments a) {
  ORRERY_SHARED(Key, heads, kMaxParts);
  ORRERY_SHARED(Key, keys, kTop * kTop);
  ORRERY_SHARED(double, factors, kMaxParts);  // from a part's exponentials to the row's
  ORRERY_SHARED(double, sums, kWarp);
  const int64_t row = blockIdx.x;
  const Key* const lists = a.keys + row * a.n_parts * kTop;

  // What is among the greatest 64 is in one of the parts with the 64 greatest heads, which a head's id tells.
  for (uint32_t i = threadIdx.x; i < a.n_heads; i += blockDim.x) heads[i] = i < a.n_parts ? lists[i * kTop] : 0;
  sort_runs(heads, a.n_heads, a.n_heads);
  const float greatest = logit_of(heads[0]);
  const uint32_t n_runs = a.n_heads < kTop ? a.n_heads : kTop;
  for (uint32_t i = threadIdx.x; i < n_runs * kTop; i += blockDim.x) {
    const Key head = heads[i / kTop];
    keys[i] = head == 0 ? 0 : lists[id_of(head) / a.part_length * kTop + i % kTop];
  }
  merge_runs(keys, n_runs);
  const Key least = keys[a.n_top - 1];

  double rest = 0.0, weighted = 0.0, top = 0.0;
  for (uint32_t part = threadIdx.x; part < a.n_parts; part += blockDim.x) {
    const Key head = lists[part * kTop];
    const double shift = head == 0 ? 0.0 : double{logit_of(head)} - double{greatest};
    const double factor = head == 0 ? 0.0 : exp(shift);
    factors[part] = factor;
    if (!(factor > 0.0)) continue;
    const PartSums part_sums = a.sums[row * a.n_parts + part];
    rest += factor * part_sums.sum;
    weighted += factor * (part_sums.weighted + part_sums.sum * shift);
  }
  __syncthreads();
  for (uint32_t i = threadIdx.x; i < a.n_parts * kTop; i += blockDim.x) {
    const Key key = lists[i];
    if (key == 0 || !(factors[i / kTop] > 0.0)) continue;
    const float logit = logit_of(key);
    const double e = double{expf(logit - logit_of(lists[i / kTop * kTop]))} * factors[i / kTop];
    if (e > 0.0) weighted += e * (double{logit} - double{greatest});
    (key < least ? rest : top) += e;
  }
  rest = block_sum(rest, sums);
  weighted = block_sum(weighted, sums);
  top = block_sum(top, sums);

  const double all = rest + top;
  if (threadIdx.x == 0 && a.entropy != nullptr) {
    a.entropy[row * a.entropy_stride] = static_cast<float>(log(all) - weighted / all);
  }
  if (threadIdx.x == 0 && a.tail != nullptr) a.tail[row * a.tail_stride] = static_cast<float>(rest / all);
  if (threadIdx.x >= a.n_top || a.top == nullptr) return;
  const Key key = keys[threadIdx.x];
  const double log_p = double{logit_of(key)} - double{greatest} - log(all);
  float* const out = a.top + row * a.top_stride + 2 * threadIdx.x;
  out[0] = key == 0 ? -1.0f : static_cast<float>(id_of(key));
  out[1] = key == 0 ? bits_to_float(0x7fc00000u) : static_cast<float>(a.log_probability != 0 ? log_p : exp(log_p));
}

uint32_t power_of_two_from(int64_t n) {
  uint32_t power = 1;
  while (power < n) power *= 2;
  return power;
}

}  // namespace

void output_stats(Matrix<const float> logits, const OutputStats& stats, CommandStream& stream) {
  // One tile a part, so that one row fills a device; more where there are many rows, or more tiles than parts.
  constexpr int64_t kEnoughBlocks = 2048, kMostTiles = 8;
  const int64_t n_tiles = blocks_for(logits.n_cols, kTile);
  const int64_t tiles_per_part =
      std::max<int64_t>(blocks_for(n_tiles, kMaxParts), std::min(kMostTiles, logits.n_rows * n_tiles / kEnoughBlocks));
  const int64_t part_length = std::max<int64_t>(1, tiles_per_part) * kTile;
  const uint32_t n_parts = blocks_for(logits.n_cols, part_length), n_rows = static_cast<uint32_t>(logits.n_rows);
  const size_t n_lists = size_t{n_rows} * n_parts, n_key_bytes = n_lists * kTop * sizeof(Key);
  std::byte* const memory = stream.shared_scratch(n_key_bytes + n_lists * sizeof(PartSums));
  Key* const keys = reinterpret_cast<Key*>(memory);
  PartSums* const sums = reinterpret_cast<PartSums*>(memory == nullptr ? nullptr : memory + n_key_bytes);
  const uint32_t tile = std::clamp(power_of_two_from(logits.n_cols), kTop, kTile);
  const PartArguments part{logits.data, keys, sums, logits.row_stride, logits.n_cols, part_length, tile};
  stream.push(make_launch("output_part", output_part_kernel, {.x = n_rows, .y = n_parts},
                          {.x = std::clamp(tile / 2, kTop, kPartThreads)}, part));
  const MergeArguments merge{keys,
                             sums,
                             stats.top.data,
                             stats.entropy.data,
                             stats.tail.data,
                             stats.top.row_stride,
                             stats.entropy.row_stride,
                             stats.tail.row_stride,
                             part_length,
                             n_parts,
                             power_of_two_from(n_parts),
                             static_cast<uint32_t>(stats.n_top),
                             stats.log_probability ? 1u : 0u};
  stream.push(make_launch("output_merge", output_merge_kernel, {.x = n_rows},
                          {.x = std::clamp(merge.n_heads * kTop / 4, kTop, kMergeThreads)}, merge));
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
