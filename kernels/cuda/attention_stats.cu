// Statistics of attention rows from their scores: a block per row and head. Nothing depends on the order in which
// threads run, so equal inputs give equal bits.
#include <algorithm>
#include <bit>
#include <vector>

#include "kernels/cuda/attention_pass.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr auto kPageKeys = static_cast<int32_t>(kKvPageTokens);
constexpr auto kTop = static_cast<int32_t>(kAttentionTopKeys);
constexpr int32_t kLanes = static_cast<int32_t>(kWarp);
// Weights that may be among the greatest; also the number of groups of threads whose maxima bound them.
constexpr int32_t kCandidates = 128;
constexpr int32_t kLeastThreads = kCandidates, kMostThreads = 1024;
constexpr int32_t kMostWarps = kMostThreads / kLanes;

// A StatSlot for the device.
struct Slot {
  Slot() = default;
  explicit Slot(const StatSlot& slot) : data(slot.data), row_stride(slot.row_stride) {}
  __device__ bool wanted() const { return data != nullptr; }
  __device__ float* row(int64_t r) const { return data + r * row_stride; }

  float* data = nullptr;
  int64_t row_stride = 0;
};

struct StatsArguments {
  AttentionScores in;
  const int32_t* row_places = nullptr;  // [n_heads] which of the wanted rows is the head's, or -1
  Slot entropy, first, previous, distance, top, rest, mass, rows;
  int64_t n_mass_blocks = 0;
  int64_t n_row_keys = 0;
};

// One row and head as all threads of its block see it.
struct WeightRow {
  float* weights = nullptr;  // of the keys from the first page on
  RowKeys keys;
  int32_t first_page = 0;
  int32_t end_page = 0;

  __device__ int32_t n() const { return keys.end - keys.begin; }
  __device__ int32_t base() const { return first_page * kPageKeys; }
  __device__ bool sees(int32_t key) const { return key >= keys.begin && key < keys.end; }
  __device__ float of(int32_t key) const { return sees(key) ? weights[key - base()] : 0.0f; }
};

// Calls use(key) for every key of a row's pages, 32 keys to a warp; end_page() after each page. Every lane of a warp
// makes the same calls, and keys of a thread are the same in every pass.
template <typename Use, typename EndPage>
__device__ void for_each_key(const WeightRow& row, const Use& use, const EndPage& end_page) {
  const auto n_warps = static_cast<int32_t>(blockDim.x) / kLanes, lane = static_cast<int32_t>(threadIdx.x) % kLanes;
  for (int32_t page = row.first_page + static_cast<int32_t>(threadIdx.x) / kLanes; page < row.end_page;
       page += n_warps) {
    for (int32_t half = 0; half < kPageKeys; half += kLanes) use(page * kPageKeys + half + lane);
    end_page(page);
  }
}
template <typename Use>
__device__ void for_each_key(const WeightRow& row, const Use& use) {
  for_each_key(row, use, [](int32_t) {});
}

struct Entry {
  float weight = 0.0f;
  int32_t key = 0;
};

__device__ inline bool comes_first(const Entry& a, const Entry& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.key < b.key;
}

// How many weights of the row reach `bound`, to every thread; counts[w]: those of warp w.
template <typename Counts>
__device__ int32_t count_reaching(const WeightRow& row, float bound, Counts& counts) {
  int32_t count = 0;
  for_each_key(row, [&](int32_t key) {
    count += __popc(__ballot_sync(kWholeWarp, row.sees(key) && row.of(key) >= bound ? 1 : 0));
  });
  __syncthreads();  // an earlier count may be in use
  if (threadIdx.x % kWarp == 0) counts[threadIdx.x / kWarp] = count;
  __syncthreads();
  int32_t total = 0;
  for (uint32_t warp = 0; warp < blockDim.x / kWarp; ++warp) total += counts[warp];
  return total;
}

// A weight that at least kTop weights reach, and few others: of the maxima of kCandidates groups of threads, the
// kTop-th. own: the greatest weight of the thread's keys, 0 where it has none. maxima: one more than there are groups.
template <typename Floats>
__device__ float bound_of_top(float own, Floats& maxima) {
  const auto per_group = static_cast<uint32_t>(blockDim.x) / kCandidates;
  for (uint32_t offset = kWarp / 2; offset > 0; offset /= 2) {
    const float other = __shfl_xor_sync(kWholeWarp, own, offset);
    if (offset < per_group) own = fmaxf(own, other);
  }
  __syncthreads();
  if (threadIdx.x % per_group == 0) maxima[threadIdx.x / per_group] = own;
  __syncthreads();
  if (threadIdx.x < kCandidates) {
    const Entry mine{maxima[threadIdx.x], static_cast<int32_t>(threadIdx.x)};
    int32_t rank = 0;
    for (int32_t i = 0; i < kCandidates; ++i) rank += comes_first({maxima[i], i}, mine) ? 1 : 0;
    if (rank == kTop - 1) maxima[kCandidates] = mine.weight;
  }
  __syncthreads();
  return maxima[kCandidates];
}

// Puts the weights that reach `bound` among the candidates from `n` on; counts: of that bound. Returns their number.
template <typename Counts, typename Floats, typename Ints>
__device__ int32_t collect(const WeightRow& row, float bound, Counts& counts, Floats& weights, Ints& keys) {
  int32_t at = 0, total = 0;
  for (uint32_t warp = 0; warp < blockDim.x / kWarp; ++warp) {
    if (warp < threadIdx.x / kWarp) at += counts[warp];
    total += counts[warp];
  }
  for_each_key(row, [&](int32_t key) {
    const bool reaches = row.sees(key) && row.of(key) >= bound;
    const uint32_t ballot = __ballot_sync(kWholeWarp, reaches ? 1 : 0);
    if (reaches) {
      const int32_t place = at + __popc(ballot & ((1u << threadIdx.x % kWarp) - 1));
      weights[place] = row.of(key);
      keys[place] = key;
    }
    at += __popc(ballot);
  });
  return total;
}

// Puts the first keys of those whose weight is `weight` among the candidates, up to kTop candidates in all. One warp
// looks through the row in order: weights that equal each other to the bit, so many of them, are rare.
template <typename Floats, typename Ints>
__device__ void collect_first_equal(const WeightRow& row, float weight, int32_t at, Floats& weights, Ints& keys) {
  if (threadIdx.x >= kWarp) return;
  for (int32_t first = row.keys.begin; first < row.keys.end && at < kTop; first += kLanes) {
    const int32_t key = first + static_cast<int32_t>(threadIdx.x);
    const bool equal = row.sees(key) && row.of(key) == weight;
    const uint32_t ballot = __ballot_sync(kWholeWarp, equal ? 1 : 0);
    const int32_t place = at + __popc(ballot & ((1u << threadIdx.x) - 1));
    if (equal && place < kTop) {
      weights[place] = weight;
      keys[place] = key;
    }
    at += __popc(ballot);
  }
}

// Finds the kTop greatest weights, or all of a shorter row, perhaps with some more; returns how many. own: the greatest
// weight of the thread's keys.
template <typename Floats, typename Ints, typename Counts, typename Sums>
__device__ int32_t find_candidates(const WeightRow& row, float own, Floats& weights, Ints& keys, Counts& counts,
                                   Sums& sums) {
  // Weights are not negative, so their bits are in their order.
  uint32_t bound = row.n() <= kCandidates ? 0u : float_to_bits(bound_of_top(own, weights));
  int32_t n = count_reaching(row, bits_to_float(bound), counts);
  if (n > kCandidates) {
    uint32_t beyond = float_to_bits(block_max(own, sums)) + 1;  // reached by less than kTop
    while (n > kCandidates && beyond - bound > 1) {
      const uint32_t middle = bound + (beyond - bound) / 2;
      const int32_t n_middle = count_reaching(row, bits_to_float(middle), counts);
      (n_middle < kTop ? beyond : bound) = middle;
      if (n_middle >= kTop) n = n_middle;
    }
    if (n > kCandidates) {  // too many are equal to the bound
      count_reaching(row, bits_to_float(beyond), counts);
      n = collect(row, bits_to_float(beyond), counts, weights, keys);
      collect_first_equal(row, bits_to_float(bound), n, weights, keys);
      return kTop;
    }
    count_reaching(row, bits_to_float(bound), counts);
  }
  return collect(row, bits_to_float(bound), counts, weights, keys);
}

// The top keys and the sum of the others' weights. own: the greatest weight of the thread's keys.
__device__ void write_top(const WeightRow& row, bool is_number, float own, float* top, float* rest) {
  ORRERY_SHARED(float, weights, kCandidates + 1);  // the last: a bound for all threads
  ORRERY_SHARED(int32_t, keys, kCandidates);
  ORRERY_SHARED(int32_t, counts, kMostWarps);
  ORRERY_SHARED(float, sums, kWarp);
  ORRERY_SHARED(float, least_weight, 1);
  ORRERY_SHARED(int32_t, least_key, 1);
  const auto thread = static_cast<int32_t>(threadIdx.x);
  const int32_t n = is_number ? find_candidates(row, own, weights, keys, counts, sums) : 0;
  __syncthreads();
  if (thread < n) {
    const Entry mine{weights[thread], keys[thread]};
    int32_t rank = 0;
    for (int32_t i = 0; i < n; ++i) rank += comes_first({weights[i], keys[i]}, mine) ? 1 : 0;
    if (rank < kTop && top != nullptr) {
      top[2 * rank] = static_cast<float>(mine.key);
      top[2 * rank + 1] = mine.weight;
    }
    if (rank == kTop - 1) {
      least_weight[0] = mine.weight;
      least_key[0] = mine.key;
    }
  }
  if (thread >= n && thread < kTop && top != nullptr) {
    top[2 * thread] = -1.0f;
    top[2 * thread + 1] = 0.0f;
  }
  if (rest == nullptr) return;
  __syncthreads();
  float sum = 0.0f;
  if (n >= kTop) {
    const Entry last{least_weight[0], least_key[0]};
    for_each_key(row, [&](int32_t key) {
      if (row.sees(key) && comes_first(last, {row.of(key), key})) sum += row.of(key);
    });
  }
  sum = block_sum(sum, sums);
  if (thread == 0) *rest = sum;
}

__device__ void write_mass_of_others(const WeightRow& row, float* mass, int64_t n_blocks) {
  for (int64_t block = threadIdx.x; block < n_blocks; block += blockDim.x) {
    if (block < row.first_page || block >= row.end_page) mass[block] = 0.0f;
  }
}

// Blocks over rows and heads.
__global__ void attention_stats_kernel(StatsArguments a) {
  ORRERY_SHARED(float, sums, kWarp);
  const int64_t query = blockIdx.x, r = query / a.in.n_heads, head = query % a.in.n_heads;
  WeightRow row;
  row.weights = a.in.scores + query * a.in.width;
  row.keys = a.in.rows[r];
  row.first_page = row.keys.begin / kPageKeys;
  row.end_page = (row.keys.end + kPageKeys - 1) / kPageKeys;
  const SoftmaxSum softmax = a.in.sums[query];
  const float inverse = 1.0f / softmax.sum;
  const int32_t position = row.keys.end - 1;

  float* const mass = a.mass.wanted() ? a.mass.row(r) + head * a.n_mass_blocks : nullptr;
  float own = 0.0f, sum = 0.0f, entropy = 0.0f, distance = 0.0f, of_page = 0.0f;
  for_each_key(
      row,
      [&](int32_t key) {
        if (!row.sees(key)) return;
        float& weight = row.weights[key - row.base()];
        const float exponent = weight - softmax.greatest;
        const float w = expf(exponent) * inverse;
        weight = w;
        own = fmaxf(own, w);
        sum += w;
        of_page += w;
        entropy = fmaf(w, fmaxf(exponent, -200.0f), entropy);  // exp is 0 there; keeps 0 * -inf out of the sum
        distance = fmaf(w, static_cast<float>(position - key), distance);
      },
      [&](int32_t page) {
        if (mass == nullptr) return;
        of_page = warp_sum(of_page);
        if (threadIdx.x % kWarp == 0 && page < a.n_mass_blocks) mass[page] = of_page;
        of_page = 0.0f;
      });
  if (mass != nullptr) write_mass_of_others(row, mass, a.n_mass_blocks);
  // A sink leaves less than 1 for the keys.
  if (a.entropy.wanted() || a.distance.wanted()) sum = block_sum(sum, sums);
  if (a.entropy.wanted()) {
    entropy = block_sum(entropy, sums);
    if (threadIdx.x == 0) a.entropy.row(r)[head] = fmaf(sum, logf(softmax.sum), -entropy);
  }
  if (a.distance.wanted()) {
    distance = block_sum(distance, sums);
    if (threadIdx.x == 0) a.distance.row(r)[head] = distance / sum;
  }
  __syncthreads();  // all weights are written
  if (threadIdx.x == 0) {
    if (a.first.wanted()) a.first.row(r)[head] = row.of(0) + row.of(1) + row.of(2) + row.of(3);
    if (a.previous.wanted()) a.previous.row(r)[head] = row.of(position - 1);
  }
  if (a.rows.wanted() && a.row_places[head] >= 0) {
    float* const out = a.rows.row(r) + a.row_places[head] * a.n_row_keys;
    for (int64_t key = threadIdx.x; key < a.n_row_keys; key += blockDim.x) {
      out[key] = key < row.keys.end ? row.of(static_cast<int32_t>(key)) : 0.0f;
    }
  }
  if (a.top.wanted() || a.rest.wanted()) {
    float* const top = a.top.wanted() ? a.top.row(r) + head * kTop * 2 : nullptr;
    write_top(row, !isnan(softmax.sum), own, top, a.rest.wanted() ? a.rest.row(r) + head : nullptr);
  }
}

// Up to eight pages to a warp; more in the longest rows.
uint32_t threads_for(int64_t width) {
  return std::clamp(std::bit_ceil(static_cast<uint32_t>(width / 16)), uint32_t{kLeastThreads}, uint32_t{kMostThreads});
}

}  // namespace

void push_attention_stats(const AttentionScores& scores, const AttentionStats& stats, CommandStream& stream) {
  std::vector<int32_t> row_places(static_cast<size_t>(scores.n_heads), -1);
  for (size_t i = 0; i < stats.row_heads.size(); ++i) {
    row_places[static_cast<size_t>(stats.row_heads[i])] = static_cast<int32_t>(i);
  }
  StatsArguments arguments;
  arguments.in = scores;
  arguments.row_places = stream.upload(std::span<const int32_t>(row_places));
  arguments.entropy = Slot(stats.entropy);
  arguments.first = Slot(stats.first);
  arguments.previous = Slot(stats.previous);
  arguments.distance = Slot(stats.distance);
  arguments.top = Slot(stats.top);
  arguments.rest = Slot(stats.rest);
  arguments.mass = Slot(stats.mass);
  arguments.rows = Slot(stats.rows);
  arguments.n_mass_blocks = stats.n_mass_blocks;
  arguments.n_row_keys = stats.n_row_keys;
  const Extent grid{.x = static_cast<uint32_t>(scores.n_rows * scores.n_heads)};
  stream.push(
      make_launch("attention_stats", attention_stats_kernel, grid, {.x = threads_for(scores.width)}, arguments));
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
