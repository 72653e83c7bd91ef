// The statistics of one attention row, from its weights where they lie. Unwanted ones cost a branch.
// Included by Highway's foreach_target, so guarded by its toggle.
#if defined(ORRERY_KERNELS_ATTENTION_STATS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ORRERY_KERNELS_ATTENTION_STATS_INL_H_
#undef ORRERY_KERNELS_ATTENTION_STATS_INL_H_
#else
#define ORRERY_KERNELS_ATTENTION_STATS_INL_H_
#endif

#include <algorithm>
#include <bit>

#include "kernels/attention.h"
#include "kernels/select_top-inl.h"

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR

// The weights of one row and head: weights[i] is that of key base + i, base a multiple of 64; zeros outside
// [key_begin, key_end) up to the end of the last page.
struct WeightRow {
  const float* weights;
  int64_t base;
  int64_t key_begin;
  int64_t key_end;

  float of(int64_t key) const { return key < key_begin || key >= key_end ? 0.0f : weights[key - base]; }
};

// Sum of the 64 weights of a page.
HWY_INLINE VF page_sum(const float* HWY_RESTRICT weights) {
  VF sum = hn::Load(DF(), weights);
  for (int64_t i = kLanes; i < kKvPageTokens; i += kLanes) sum = hn::Add(sum, hn::Load(DF(), weights + i));
  return sum;
}

HWY_INLINE float weight_distance(const WeightRow& row) {
  const DF df;
  const VF step = hn::Set(df, static_cast<float>(kLanes));
  VF distance = hn::Sub(hn::Set(df, static_cast<float>(row.key_end - 1 - row.base)), hn::Iota(df, 0.0f));
  VF sum = hn::Zero(df), weighted = hn::Zero(df);
  for (int64_t i = 0; i < row.key_end - row.base; i += kLanes) {
    const VF w = hn::Load(df, row.weights + i);
    sum = hn::Add(sum, w);
    weighted = hn::MulAdd(w, distance, weighted);
    distance = hn::Sub(distance, step);
  }
  return sum_of(weighted) / sum_of(sum);
}

HWY_INLINE void write_mass(const WeightRow& row, float* HWY_RESTRICT mass, int64_t n_blocks) {
  std::fill(mass, mass + n_blocks, 0.0f);
  for (int64_t page = row.key_begin / kKvPageTokens; page <= (row.key_end - 1) / kKvPageTokens && page < n_blocks;
       ++page) {
    mass[page] = sum_of(page_sum(row.weights + page * kKvPageTokens - row.base));
  }
}

// The greatest weights of a row, one way or the other.
struct TopSlots {
  float* top;   // [32, 2] key, weight; may be null
  float* rest;  // may be null

  void put(int64_t rank, float key, float weight) const {
    if (top == nullptr) return;
    top[2 * rank] = key;
    top[2 * rank + 1] = weight;
  }
};

// A bound that at least kAttentionTopKeys of the n numbers reach (n a multiple of 64; none negative), and not many more
// if 16 bisections of the bits of floats can tell; 0 where fewer are positive.
HWY_INLINE float bound_of_top(const float* HWY_RESTRICT numbers, int64_t n) {
  const DF df;
  VF greatest = hn::Zero(df);
  for (int64_t i = 0; i < n; i += kLanes) greatest = hn::Max(greatest, hn::Load(df, numbers + i));
  uint32_t low = 0, high = std::bit_cast<uint32_t>(hn::GetLane(hn::MaxOfLanes(df, greatest))) + 1;
  for (int step = 0; step < 16 && high - low > 1; ++step) {
    const uint32_t middle = low + (high - low) / 2;
    const VF bound = hn::Set(df, std::bit_cast<float>(middle));
    int64_t count = 0;
    for (int64_t i = 0; i < n; i += kLanes) {
      count += static_cast<int64_t>(hn::CountTrue(df, hn::Ge(hn::Load(df, numbers + i), bound)));
    }
    if (count < kAttentionTopKeys) {
      high = middle;
    } else {
      low = middle;
      if (count <= kAttentionTopKeys + 8) break;
    }
  }
  return std::bit_cast<float>(low);
}

// The same for a row of any length: by the maxima of its lanes over stretches of it.
HWY_INLINE float bound_of_row(const float* HWY_RESTRICT weights, int64_t n) {
  constexpr int64_t kSample = 256;
  if (n <= kSample) return bound_of_top(weights, n);
  const DF df;
  HWY_ALIGN float maxima[kSample];
  const int64_t stretch = (n / kLanes + kSample / kLanes - 1) / (kSample / kLanes) * kLanes;
  for (int64_t group = 0; group < kSample / kLanes; ++group) {
    VF greatest = hn::Zero(df);
    const int64_t end = std::min(n, (group + 1) * stretch);
    for (int64_t i = group * stretch; i < end; i += kLanes) greatest = hn::Max(greatest, hn::Load(df, weights + i));
    hn::Store(greatest, df, maxima + group * kLanes);
  }
  return bound_of_top(maxima, kSample);
}

constexpr int64_t kMostCandidates = 128;

// Candidates in order of key, with their ranks: larger weights first, ties to the lower key.
struct RankedCandidates {
  HWY_ALIGN float weights[kMostCandidates + kLanes];
  HWY_ALIGN int32_t keys[kMostCandidates + kLanes];
  HWY_ALIGN int32_t ranks[kMostCandidates + kLanes];
  int64_t n = 0;
  VF below;  // sums of the weights that do not reach the bound

  // Collects the weights that reach `bound`; false where there are too many.
  HWY_INLINE bool collect(const float* HWY_RESTRICT row, int64_t n_row, float bound, int64_t first_key) {
    const DF df;
    const DI di;
    const VF least = hn::Set(df, bound);
    VI key = hn::Iota(di, static_cast<int32_t>(first_key));
    below = hn::Zero(df);
    for (int64_t i = 0; i < n_row; i += kLanes) {
      const VF w = hn::Load(df, row + i);
      const auto reaches = hn::Ge(w, least);
      below = hn::Add(below, hn::IfThenZeroElse(reaches, w));
      if (!hn::AllFalse(df, reaches)) {
        if (n > kMostCandidates - kLanes) return false;
        hn::CompressStore(key, hn::RebindMask(di, reaches), di, keys + n);
        n += static_cast<int64_t>(hn::CompressStore(w, reaches, df, weights + n));
      }
      key = hn::Add(key, hn::Set(di, static_cast<int32_t>(kLanes)));
    }
    return true;
  }

  // Counts, for every candidate, those that come before it: no branch to mispredict.
  HWY_INLINE void rank() {
    const DF df;
    const DI di;
    for (int64_t i = 0; i < n; i += kLanes) {
      const VF mine = hn::LoadU(df, weights + i);
      const VI index = hn::Iota(di, static_cast<int32_t>(i));
      VI before = hn::Zero(di);
      for (int64_t j = 0; j < n; ++j) {
        const VF other = hn::Set(df, weights[j]);
        const auto earlier = hn::RebindMask(df, hn::Lt(hn::Set(di, static_cast<int32_t>(j)), index));
        const auto first = hn::Or(hn::Gt(other, mine), hn::And(hn::Eq(other, mine), earlier));
        before = hn::Sub(before, hn::VecFromMask(di, hn::RebindMask(di, first)));
      }
      hn::StoreU(before, di, ranks + i);
    }
  }
};

// By sorting: for the few rows that the quick way leaves.
inline void sort_top(const WeightRow& row, const TopSlots& slots, std::vector<TopEntry>& entries) {
  const float* weights = row.weights + (row.key_begin - row.base);
  const int64_t n = row.key_end - row.key_begin;
  const int64_t n_top = select_top(weights, n, static_cast<int32_t>(row.key_begin), kAttentionTopKeys, entries);
  const auto top_end = entries.begin() + n_top;
  std::sort(entries.begin(), top_end, comes_first);
  for (int64_t rank = 0; rank < kAttentionTopKeys; ++rank) {
    const TopEntry entry = rank < n_top ? entries[static_cast<size_t>(rank)] : TopEntry{0.0f, -1};
    slots.put(rank, static_cast<float>(entry.id), entry.value);
  }
  if (slots.rest == nullptr) return;
  *slots.rest = 0.0f;
  if (n_top == 0 || n_top == n) return;
  const TopEntry least = entries[static_cast<size_t>(n_top - 1)];
  double rest = 0.0;
  for (int64_t i = 0; i < n; ++i) {
    const TopEntry entry{weights[i], static_cast<int32_t>(row.key_begin + i)};
    if (comes_first(least, entry)) rest += double{entry.value};
  }
  *slots.rest = static_cast<float>(rest);
}

inline void write_top(const WeightRow& row, const TopSlots& slots, std::vector<TopEntry>& entries) {
  const int64_t first_key =
      row.key_begin / kKvPageTokens * kKvPageTokens;  // the row's own, whatever its tile begins with
  const float* weights = row.weights + (first_key - row.base);
  const int64_t n = (row.key_end - first_key + kKvPageTokens - 1) / kKvPageTokens * kKvPageTokens;
  const float bound = row.key_end - row.key_begin > kAttentionTopKeys ? bound_of_row(weights, n) : 0.0f;
  RankedCandidates candidates;
  if (!(bound > 0.0f) || !candidates.collect(weights, n, bound, first_key)) return sort_top(row, slots, entries);
  candidates.rank();
  float rest = sum_of(candidates.below);
  for (int64_t i = 0; i < candidates.n; ++i) {
    if (candidates.ranks[i] < kAttentionTopKeys) {
      slots.put(candidates.ranks[i], static_cast<float>(candidates.keys[i]), candidates.weights[i]);
    } else {
      rest += candidates.weights[i];
    }
  }
  if (slots.rest != nullptr) *slots.rest = rest;
}

inline void write_row(const WeightRow& row, float* out, int64_t n_keys) {
  const int64_t begin = std::min(row.key_begin, n_keys), end = std::min(row.key_end, n_keys);
  std::fill(out, out + begin, 0.0f);
  std::copy(row.weights + (begin - row.base), row.weights + (end - row.base), out + begin);
  std::fill(out + end, out + n_keys, 0.0f);
}

// All but the entropy, which the softmax knows.
inline void write_stats(const WeightRow& row, int64_t r, int32_t head, const AttentionStats& stats,
                        std::vector<TopEntry>& entries) {
  if (stats.first) stats.first.row(r)[head] = row.of(0) + row.of(1) + row.of(2) + row.of(3);
  if (stats.previous) stats.previous.row(r)[head] = row.of(row.key_end - 2);
  if (stats.distance) stats.distance.row(r)[head] = weight_distance(row);
  if (stats.mass) write_mass(row, stats.mass.row(r) + head * stats.n_mass_blocks, stats.n_mass_blocks);
  if (stats.top || stats.rest) {
    float* top = stats.top ? stats.top.row(r) + head * kAttentionTopKeys * 2 : nullptr;
    write_top(row, {top, stats.rest ? stats.rest.row(r) + head : nullptr}, entries);
  }
  if (stats.rows) {
    const auto wanted = std::lower_bound(stats.row_heads.begin(), stats.row_heads.end(), head);
    if (wanted == stats.row_heads.end() || *wanted != head) return;
    write_row(row, stats.rows.row(r) + (wanted - stats.row_heads.begin()) * stats.n_row_keys, stats.n_row_keys);
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace orrery
HWY_AFTER_NAMESPACE();

#endif  // include guard
