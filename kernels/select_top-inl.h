// The greatest elements of a row, largest first, ties to the lower index: by a threshold that a vector pass finds.
// Included by Highway's foreach_target, so guarded by its toggle.
#if defined(ORRERY_KERNELS_SELECT_TOP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ORRERY_KERNELS_SELECT_TOP_INL_H_
#undef ORRERY_KERNELS_SELECT_TOP_INL_H_
#else
#define ORRERY_KERNELS_SELECT_TOP_INL_H_
#endif

#include <algorithm>
#include <vector>

#include "kernels/simd-inl.h"
#include "kernels/top_entry.h"

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR

// A value that at least n_top elements of x reach, as great as the maxima of groups of elements can tell; -inf where
// there are too few to say. NaN counts as -inf.
HWY_INLINE float top_threshold(const float* HWY_RESTRICT x, int64_t n, int64_t n_top) {
  const DF df;
  const VF least = hn::Set(df, -HUGE_VALF);
  const int64_t n_vectors = n / kLanes;
  // About four lanes-of-a-stretch per wanted element: few candidates above the threshold, few maxima to sort.
  constexpr int64_t kMostGroups = 4 * 64;
  const int64_t n_groups = std::min(kMostGroups, 4 * n_top);
  const int64_t stretch = std::max<int64_t>(1, n_vectors * kLanes / n_groups);
  HWY_ALIGN float maxima[kMostGroups + 16];
  int64_t n_maxima = 0;
  for (int64_t v = 0; v + stretch <= n_vectors && n_maxima + kLanes <= kMostGroups; v += stretch) {
    VF greatest = least;
    for (int64_t i = v; i < v + stretch; ++i) {
      const VF value = hn::LoadU(df, x + i * kLanes);
      greatest = hn::IfThenElse(hn::Gt(value, greatest), value, greatest);
    }
    hn::Store(greatest, df, maxima + n_maxima);
    n_maxima += kLanes;
  }
  if (n_maxima < n_top) return -HUGE_VALF;
  std::nth_element(maxima, maxima + n_top - 1, maxima + n_maxima, [](float a, float b) { return a > b; });
  return maxima[n_top - 1];
}

// Appends (value, first_id + index) of every element >= threshold, in order of index.
HWY_INLINE void append_reaching(const float* HWY_RESTRICT x, int64_t n, float threshold, int32_t first_id,
                                std::vector<TopEntry>& entries) {
  const DF df;
  const VF least = hn::Set(df, threshold);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const auto reaches = hn::Ge(hn::LoadU(df, x + i), least);
    if (HWY_LIKELY(hn::AllFalse(df, reaches))) continue;
    uint8_t bytes[8] = {};
    hn::StoreMaskBits(df, reaches, bytes);
    for (uint32_t bits = bytes[0] | uint32_t{bytes[1]} << 8; bits != 0; bits &= bits - 1) {
      const int64_t at = i + static_cast<int64_t>(hwy::Num0BitsBelowLS1Bit_Nonzero32(bits));
      entries.push_back({x[at], first_id + static_cast<int32_t>(at)});
    }
  }
  for (; i < n; ++i) {
    if (x[i] >= threshold) entries.push_back({x[i], first_id + static_cast<int32_t>(i)});
  }
}

// Fills entries with candidates, of which the first n (returned: n_top, or fewer where x has fewer numbers) are the
// greatest of x, in no order. Every element equal to the least of those is among the entries.
HWY_INLINE int64_t select_top(const float* x, int64_t n, int32_t first_id, int64_t n_top,
                              std::vector<TopEntry>& entries) {
  entries.clear();
  append_reaching(x, n, top_threshold(x, n, n_top), first_id, entries);
  const int64_t found = static_cast<int64_t>(entries.size());
  if (found <= n_top) return found;
  std::nth_element(entries.begin(), entries.begin() + (n_top - 1), entries.end(), comes_first);
  return n_top;
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace orrery
HWY_AFTER_NAMESPACE();

#endif  // include guard
