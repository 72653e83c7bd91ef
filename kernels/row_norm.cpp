#include "kernels/row_norm.h"

#include <cmath>

#include "kernels/base/check.h"
#include "kernels/thread_pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/row_norm.cpp"
#include <hwy/foreach_target.h>
// Highway after foreach_target.
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {

void group_norms_simd(Matrix<const float> x, int64_t group_size, StatSlot out) {
#if HWY_TARGET == HWY_SCALAR
  group_norms_reference(x, group_size, out);
#else
  const DF df;
  for (int64_t r = 0; r < x.n_rows; ++r) {
    for (int64_t g = 0; g < x.n_cols / group_size; ++g) {
      const float* in = x.row(r) + g * group_size;
      VF squares = hn::Zero(df);
      int64_t i = 0;
      for (; i + kLanes <= group_size; i += kLanes) {
        const VF v = hn::LoadU(df, in + i);
        squares = hn::MulAdd(v, v, squares);
      }
      if (i < group_size) {
        const VF v = load_last(in + i, group_size - i);
        squares = hn::MulAdd(v, v, squares);
      }
      const float sum = sum_of(squares);
      if (sum > 1e-30f && sum < 3e38f) [[likely]] {
        out.row(r)[g] = std::sqrt(sum);
      } else {  // squares that f32 cannot hold
        group_norms_reference(Matrix<const float>(in, 1, group_size), group_size, StatSlot{out.row(r) + g, 1});
      }
    }
  }
#endif
}

void mean_magnitudes_simd(Matrix<const float> x, StatSlot out) {
#if HWY_TARGET == HWY_SCALAR
  mean_magnitudes_reference(x, out);
#else
  const DF df;
  const int64_t n = x.n_cols, whole = n - n % kLanes;
  for (int64_t r = 0; r < x.n_rows; ++r) {
    const float* const in = x.row(r);
    VF sum = hn::Zero(df);
    for (int64_t i = 0; i < whole; i += kLanes) sum = hn::Add(sum, hn::Abs(hn::LoadU(df, in + i)));
    if (whole < n) sum = hn::Add(sum, hn::Abs(load_last(in + whole, n - whole)));
    *out.row(r) = sum_of(sum) / static_cast<float>(n);
  }
#endif
}

void group_dots_simd(Matrix<const float> a, Matrix<const float> b, Matrix<float> out) {
#if HWY_TARGET == HWY_SCALAR
  group_dots_reference(a, b, out);
#else
  const DF df;
  const int64_t n = a.n_cols / out.n_cols, whole = n - n % kLanes;
  for (int64_t r = 0; r < out.n_rows; ++r) {
    for (int64_t g = 0; g < out.n_cols; ++g) {
      const float* const x = a.row(r) + g * n;
      const float* const y = b.row(r) + g * n;
      VF sum = hn::Zero(df);
      for (int64_t i = 0; i < whole; i += kLanes) sum = hn::MulAdd(hn::LoadU(df, x + i), hn::LoadU(df, y + i), sum);
      if (whole < n) sum = hn::MulAdd(load_last(x + whole, n - whole), load_last(y + whole, n - whole), sum);
      out.row(r)[g] = sum_of(sum);
    }
  }
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace orrery
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace orrery {

namespace {
constexpr int64_t kElementsPerTask = 32768;  // some 2 us: below that, sharing costs more than it gains
}

HWY_EXPORT(group_norms_simd);
HWY_EXPORT(mean_magnitudes_simd);
HWY_EXPORT(group_dots_simd);

void group_norms(Matrix<const float> x, int64_t group_size, StatSlot out, ThreadPool& pool) {
  CHECK(group_size > 0 && x.n_cols % group_size == 0, "columns do not fall into whole groups");
  pool.parallel_for(x.n_rows, kElementsPerTask / (x.n_cols + 1) + 1, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(group_norms_simd)
    (x.rows(begin, end - begin), group_size, StatSlot{out.row(begin), out.row_stride});
  });
}

void mean_magnitudes(Matrix<const float> x, StatSlot out, ThreadPool& pool) {
  pool.parallel_for(x.n_rows, kElementsPerTask / (x.n_cols + 1) + 1, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(mean_magnitudes_simd)
    (x.rows(begin, end - begin), StatSlot{out.row(begin), out.row_stride});
  });
}

void group_dots(Matrix<const float> a, Matrix<const float> b, Matrix<float> out, ThreadPool& pool) {
  CHECK(a.n_rows == out.n_rows && b.n_rows == out.n_rows && a.n_cols == b.n_cols, "inputs and out differ in shape");
  CHECK(out.n_cols > 0 && a.n_cols % out.n_cols == 0, "columns do not fall into whole groups");
  pool.parallel_for(a.n_rows, kElementsPerTask / (a.n_cols + 1) + 1, [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(group_dots_simd)(a.rows(begin, n), b.rows(begin, n), out.rows(begin, n));
  });
}

}  // namespace orrery
#endif  // HWY_ONCE
