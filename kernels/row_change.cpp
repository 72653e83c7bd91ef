#include "kernels/row_change.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/base/check.h"
#include "kernels/thread_pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/row_change.cpp"
#include <hwy/foreach_target.h>
// Highway after foreach_target.
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void row_change_simd(const RowChangeArgs& args, int64_t row, float& step, float& cosine) {
  const auto one = [row](auto matrix) { return matrix.rows(row, 1); };
  row_change_reference({one(args.before), one(args.after), one(args.change), args.has_earlier}, {&step, 1},
                       {&cosine, 1});
}

float row_divergence_simd(const float* p, const float* q, int64_t n) {
  float out = 0.0f;
  row_divergence_reference({p, 1, n}, {q, 1, n}, {&out, 1});
  return out;
}

#else

constexpr int64_t kStretch = 64 * kLanes;  // f32 within a stretch, double between them

HWY_INLINE VF load_up_to(const float* at, int64_t count, float fill = 0.0f) {
  return count >= kLanes ? hn::LoadU(DF(), at) : load_last(at, count, fill);
}

void row_change_simd(const RowChangeArgs& args, int64_t row, float& step, float& cosine) {
  const DF df;
  const int64_t n = args.before.n_cols;
  const float *const before = args.before.row(row), *const after = args.after.row(row);
  float* const change = args.change.row(row);
  double size = 0.0, moved = 0.0, earlier = 0.0, both = 0.0;
  for (int64_t begin = 0; begin < n; begin += kStretch) {
    VF sizes = hn::Zero(df), moves = hn::Zero(df), earliers = hn::Zero(df), dots = hn::Zero(df);
    for (int64_t i = begin; i < std::min(begin + kStretch, n); i += kLanes) {
      const VF old = load_up_to(before + i, n - i);
      const VF now = hn::Sub(load_up_to(after + i, n - i), old);
      sizes = hn::MulAdd(old, old, sizes);
      moves = hn::MulAdd(now, now, moves);
      if (args.has_earlier) {
        const VF then = load_up_to(change + i, n - i);
        earliers = hn::MulAdd(then, then, earliers);
        dots = hn::MulAdd(then, now, dots);
      }
      n - i >= kLanes ? hn::StoreU(now, df, change + i) : store_last(now, change + i, n - i);
    }
    size += double{sum_of(sizes)};
    moved += double{sum_of(moves)};
    earlier += double{sum_of(earliers)};
    both += double{sum_of(dots)};
  }
  step = static_cast<float>(std::sqrt(moved) / std::sqrt(size));
  cosine = args.has_earlier ? static_cast<float>(both / (std::sqrt(moved) * std::sqrt(earlier)))
                            : std::numeric_limits<float>::quiet_NaN();
}

HWY_INLINE float greatest_of(const float* x, int64_t n) {
  VF greatest = hn::Set(DF(), -HUGE_VALF);
  for (int64_t i = 0; i < n; i += kLanes) greatest = hn::Max(greatest, load_up_to(x + i, n - i, -HUGE_VALF));
  return hn::GetLane(hn::MaxOfLanes(DF(), greatest));
}

float row_divergence_simd(const float* p, const float* q, int64_t n) {
  const DF df;
  const VF greatest_p = hn::Set(df, greatest_of(p, n)), greatest_q = hn::Set(df, greatest_of(q, n));
  const VF least = hn::Set(df, -200.0f);  // exp is 0 there; keeps 0 * -inf out of the sum
  double sum_p = 0.0, sum_q = 0.0, weighted = 0.0;
  for (int64_t begin = 0; begin < n; begin += kStretch) {
    VF sums_p = hn::Zero(df), sums_q = hn::Zero(df), weights = hn::Zero(df);
    for (int64_t i = begin; i < std::min(begin + kStretch, n); i += kLanes) {
      const VF x = hn::Max(hn::Sub(load_up_to(p + i, n - i, -HUGE_VALF), greatest_p), least);
      const VF y = hn::Max(hn::Sub(load_up_to(q + i, n - i, -HUGE_VALF), greatest_q), least);
      const VF e = exp_of(x);
      sums_p = hn::Add(sums_p, e);
      sums_q = hn::Add(sums_q, exp_of(y));
      weights = hn::MulAdd(e, hn::Sub(x, y), weights);
    }
    sum_p += double{sum_of(sums_p)};
    sum_q += double{sum_of(sums_q)};
    weighted += double{sum_of(weights)};
  }
  return static_cast<float>(weighted / sum_p - std::log(sum_p) + std::log(sum_q));
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace orrery
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace orrery {

namespace {
constexpr int64_t kElementsPerTask = 16384;  // some 2 us: below that, sharing costs more than it gains
}

HWY_EXPORT(row_change_simd);
HWY_EXPORT(row_divergence_simd);

void row_change(const RowChangeArgs& args, StatSlot step, StatSlot cosine, ThreadPool& pool) {
  CHECK(args.after.n_cols == args.before.n_cols && args.change.n_cols == args.before.n_cols, "rows of other widths");
  pool.parallel_for(args.before.n_rows, kElementsPerTask / (args.before.n_cols + 1) + 1,
                    [&](int64_t begin, int64_t end) {
                      for (int64_t r = begin; r < end; ++r) {
                        HWY_DYNAMIC_DISPATCH(row_change_simd)(args, r, *step.row(r), *cosine.row(r));
                      }
                    });
}

void row_divergence(Matrix<const float> p, Matrix<const float> q, StatSlot out, ThreadPool& pool) {
  CHECK(p.n_cols == q.n_cols && p.n_rows == q.n_rows, "logits of other shapes");
  pool.parallel_for(p.n_rows, kElementsPerTask / (p.n_cols + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      *out.row(r) = HWY_DYNAMIC_DISPATCH(row_divergence_simd)(p.row(r), q.row(r), p.n_cols);
    }
  });
}

}  // namespace orrery
#endif  // HWY_ONCE
