// The statistics of one attention row, from its weights where they lie. Unwanted ones cost a branch.
// Included by Highway's foreach_target, so guarded by its toggle.
#if defined(ORRERY_KERNELS_ATTENTION_STATS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ORRERY_KERNELS_ATTENTION_STATS_INL_H_
#undef ORRERY_KERNELS_ATTENTION_STATS_INL_H_
#else
#define ORRERY_KERNELS_ATTENTION_STATS_INL_H_
#endif

#include <algorithm>

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

// Sum of the weights outside the top: those below its least, and those equal to it that found no place.
HWY_INLINE float rest_of(const float* weights, int64_t n, float least, int64_t n_equal_left) {
  const DF df;
  const VF bound = hn::Set(df, least);
  VF sum = hn::Zero(df);
  for (int64_t i = 0; i < n; i += kLanes) {
    const VF w = i + kLanes <= n ? hn::LoadU(df, weights + i) : load_last(weights + i, n - i);
    sum = hn::Add(sum, hn::IfThenElseZero(hn::Lt(w, bound), w));
  }
  return sum_of(sum) + least * static_cast<float>(n_equal_left);
}

inline void write_top(const WeightRow& row, float* top, float* rest, std::vector<TopEntry>& entries) {
  const float* weights = row.weights + (row.key_begin - row.base);
  const int64_t n = row.key_end - row.key_begin;
  const int64_t n_top = select_top(weights, n, static_cast<int32_t>(row.key_begin), kAttentionTopKeys, entries);
  const auto top_end = entries.begin() + n_top;
  std::sort(entries.begin(), top_end, comes_first);
  for (int64_t rank = 0; top != nullptr && rank < kAttentionTopKeys; ++rank) {
    const TopEntry entry = rank < n_top ? entries[static_cast<size_t>(rank)] : TopEntry{0.0f, -1};
    top[2 * rank] = static_cast<float>(entry.id);
    top[2 * rank + 1] = entry.value;
  }
  if (rest == nullptr) return;
  *rest = 0.0f;
  if (n_top == 0 || n_top == n) return;
  const float least = entries[static_cast<size_t>(n_top - 1)].value;
  const auto left = std::count_if(top_end, entries.end(), [=](const TopEntry& entry) { return entry.value == least; });
  *rest = rest_of(weights, n, least, left);
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
    write_top(row, top, stats.rest ? stats.rest.row(r) + head : nullptr, entries);
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
