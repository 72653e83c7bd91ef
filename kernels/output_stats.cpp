// A row is cut into segments of 8192 logits, whose partial results are combined in order: one row uses all threads, and
// the sums do not depend on how many there are.
#include "kernels/output_stats.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/base/check.h"
#include "kernels/output_stats_segment.h"
#include "kernels/thread_pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/output_stats.cpp"
#include <hwy/foreach_target.h>
// Highway after foreach_target.
#include "kernels/select_top-inl.h"

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

bool segment_stats_simd(const float*, int64_t, int32_t, int64_t, OutputSegment&) { return false; }

#else

// Adds the exponentials of the elements below `bound`, and those times their exponent.
HWY_INLINE void add_below(const float* HWY_RESTRICT x, int64_t n, float bound, OutputSegment& segment) {
  const DF df;
  const VF greatest = hn::Set(df, segment.greatest), limit = hn::Set(df, bound);
  const VF least_exponent = hn::Set(df, -200.0f);  // exp is 0 there; keeps 0 * -inf out of the sum
  constexpr int64_t kStretch = 64 * kLanes;        // f32 within a stretch, double between them
  for (int64_t begin = 0; begin < n; begin += kStretch) {
    const int64_t end = std::min(begin + kStretch, n);
    VF sum = hn::Zero(df), weighted = hn::Zero(df);
    for (int64_t i = begin; i < end; i += kLanes) {
      const VF value = i + kLanes <= end ? hn::LoadU(df, x + i) : load_last(x + i, end - i, -HUGE_VALF);
      const VF exponent = hn::Max(hn::Sub(value, greatest), least_exponent);
      const VF e = hn::IfThenElseZero(hn::Lt(value, limit), exp_of(exponent));
      sum = hn::Add(sum, e);
      weighted = hn::MulAdd(e, exponent, weighted);
    }
    segment.sum += double{sum_of(sum)};
    segment.weighted += double{sum_of(weighted)};
  }
}

bool segment_stats_simd(const float* x, int64_t n, int32_t first_id, int64_t n_top, OutputSegment& segment) {
  thread_local std::vector<TopEntry> entries;
  segment = OutputSegment();
  segment.n_top = static_cast<int32_t>(select_top(x, n, first_id, n_top, entries));
  if (segment.n_top == 0) return true;  // only NaN
  const auto top_end = entries.begin() + segment.n_top;
  std::copy(entries.begin(), top_end, segment.top);
  segment.greatest = std::min_element(entries.begin(), top_end, comes_first)->value;
  const float least = std::max_element(entries.begin(), top_end, comes_first)->value;
  HWY_ALIGN float exponents[kOutputTopMax];
  for (int32_t i = 0; i < kOutputTopMax; ++i) {
    exponents[i] = (i < segment.n_top ? segment.top[i].value : -HUGE_VALF) - segment.greatest;
  }
  for (int32_t i = 0; i < kOutputTopMax; i += kLanes) {
    hn::StoreU(exp_of(hn::Load(DF(), exponents + i)), DF(), segment.exponentials + i);
  }
  if (segment.n_top == n) return true;
  add_below(x, n, least, segment);
  const auto n_left =
      std::count_if(top_end, entries.end(), [=](const TopEntry& entry) { return entry.value == least; });
  const double exponent = std::max(-200.0, double{least} - segment.greatest);
  const double left = static_cast<double>(n_left) * std::exp(exponent);
  segment.sum += left;
  segment.weighted += left * exponent;
  return true;
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace orrery
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace orrery {

HWY_EXPORT(segment_stats_simd);

namespace {

constexpr int64_t kSegmentLogits = 8192;  // 32 KiB: the passes over a segment find it in the L1 cache
constexpr int64_t kRowsAtATime = 16;      // bounds the memory of the partial results

// A candidate of the whole row with its exponential relative to the row's greatest logit.
struct Candidate {
  TopEntry entry;
  double exponential;
};

// What is not in the row's top: sums of exponentials relative to `greatest`.
struct RowSums {
  double greatest = 0.0, sum = 0.0, weighted = 0.0;
  void add(double exponential, double exponent) {
    sum += exponential;
    if (exponential > 0.0) weighted += exponential * exponent;
  }
};

void write_top(std::span<const Candidate> top, double log_sum, double greatest, int64_t row, const OutputStats& stats) {
  float* out = stats.top.row(row);
  for (size_t rank = 0; rank < static_cast<size_t>(stats.n_top); ++rank) {
    const bool there = rank < top.size();
    const double log_p = there ? double{top[rank].entry.value} - greatest - log_sum : 0.0;
    out[2 * rank] = there ? static_cast<float>(top[rank].entry.id) : -1.0f;
    out[2 * rank + 1] = !there ? std::numeric_limits<float>::quiet_NaN()
                               : static_cast<float>(stats.log_probability ? log_p : std::exp(log_p));
  }
}

void combine_segments(std::span<const OutputSegment> segments, int64_t row, const OutputStats& stats) {
  thread_local std::vector<Candidate> candidates;
  candidates.clear();
  RowSums rest;
  rest.greatest = -std::numeric_limits<double>::infinity();
  for (const OutputSegment& segment : segments) {
    if (segment.n_top > 0) rest.greatest = std::max(rest.greatest, double{segment.greatest});
  }
  for (const OutputSegment& segment : segments) {
    if (segment.n_top == 0) continue;
    const double shift = double{segment.greatest} - rest.greatest, factor = std::exp(shift);
    rest.sum += factor * segment.sum;
    if (factor > 0.0) rest.weighted += factor * (segment.weighted + segment.sum * shift);
    for (int32_t i = 0; i < segment.n_top; ++i) {
      candidates.push_back({segment.top[i], factor * segment.exponentials[i]});
    }
  }
  const auto first = [](const Candidate& a, const Candidate& b) { return comes_first(a.entry, b.entry); };
  const size_t n_top = std::min(candidates.size(), static_cast<size_t>(stats.n_top));
  const auto top_end = candidates.begin() + static_cast<std::ptrdiff_t>(n_top);
  if (n_top < candidates.size()) std::nth_element(candidates.begin(), top_end, candidates.end(), first);
  if (stats.top) std::sort(candidates.begin(), top_end, first);
  for (size_t i = n_top; i < candidates.size(); ++i) {
    const double exponent = candidates[i].entry.value - rest.greatest;
    rest.add(candidates[i].exponential, exponent);
  }
  RowSums all = rest;
  for (size_t i = 0; i < n_top; ++i) all.add(candidates[i].exponential, candidates[i].entry.value - rest.greatest);
  const double log_sum = std::log(all.sum);
  if (stats.entropy) *stats.entropy.row(row) = static_cast<float>(log_sum - all.weighted / all.sum);
  if (stats.tail) *stats.tail.row(row) = static_cast<float>(rest.sum / all.sum);
  if (stats.top) write_top({candidates.data(), n_top}, log_sum, rest.greatest, row, stats);
}

}  // namespace

void output_stats(Matrix<const float> logits, const OutputStats& stats, ThreadPool& pool) {
  CHECK(stats.n_top >= 1 && stats.n_top <= kOutputTopMax && logits.n_cols >= 1, "n_top is 1 to 64");
  thread_local std::vector<OutputSegment> segments;
  std::vector<OutputSegment>& partial = segments;  // the caller's, whichever thread fills it
  const int64_t per_row = (logits.n_cols + kSegmentLogits - 1) / kSegmentLogits;
  partial.resize(static_cast<size_t>(std::min(kRowsAtATime, logits.n_rows) * per_row));
  for (int64_t first = 0; first < logits.n_rows; first += kRowsAtATime) {
    const int64_t n_rows = std::min(kRowsAtATime, logits.n_rows - first);
    std::atomic<bool> has_vectors{true};
    pool.parallel_for(n_rows * per_row, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t at = i % per_row * kSegmentLogits, n = std::min(kSegmentLogits, logits.n_cols - at);
        const float* x = logits.row(first + i / per_row) + at;
        if (!HWY_DYNAMIC_DISPATCH(segment_stats_simd)(x, n, static_cast<int32_t>(at), stats.n_top,
                                                      partial[static_cast<size_t>(i)])) {
          has_vectors.store(false, std::memory_order_relaxed);
        }
      }
    });
    if (!has_vectors) return output_stats_reference(logits, stats);
    pool.parallel_for(n_rows, 2, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        combine_segments({partial.data() + r * per_row, static_cast<size_t>(per_row)}, first + r, stats);
      }
    });
  }
}

}  // namespace orrery
#endif  // HWY_ONCE
