#include "kernels/rms_norm.h"

#include <cmath>

#include "kernels/base/check.h"
#include "kernels/thread_pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rms_norm.cpp"
#include <hwy/foreach_target.h>
// Highway after foreach_target.
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {

void rms_norm_simd(Matrix<const float> x, std::span<const float> weight, float epsilon, Matrix<float> out) {
#if HWY_TARGET == HWY_SCALAR
  rms_norm_reference(x, weight, epsilon, out);
#else
  const DF df;
  const int64_t n = x.n_cols, whole = n - n % kLanes, rest = n - whole;
  for (int64_t r = 0; r < x.n_rows; ++r) {
    const float* in = x.row(r);
    float* to = out.row(r);
    VF squares = hn::Zero(df);
    for (int64_t i = 0; i < whole; i += kLanes) {
      const VF v = hn::LoadU(df, in + i);
      squares = hn::MulAdd(v, v, squares);
    }
    if (rest > 0) {
      const VF v = load_last(in + whole, rest);
      squares = hn::MulAdd(v, v, squares);
    }
    const VF factor = hn::Set(df, 1.0f / std::sqrt(sum_of(squares) / static_cast<float>(n) + epsilon));
    for (int64_t i = 0; i < whole; i += kLanes) {
      const VF v = hn::Mul(hn::LoadU(df, in + i), factor);
      hn::StoreU(weight.empty() ? v : hn::Mul(v, hn::LoadU(df, weight.data() + i)), df, to + i);
    }
    if (rest > 0) {
      const VF v = hn::Mul(load_last(in + whole, rest), factor);
      store_last(weight.empty() ? v : hn::Mul(v, load_last(weight.data() + whole, rest)), to + whole, rest);
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
constexpr int64_t kElementsPerTask = 16384;  // some 2 us: below that, sharing costs more than it gains
}

HWY_EXPORT(rms_norm_simd);

void rms_norm(Matrix<const float> x, std::span<const float> weight, float epsilon, Matrix<float> out,
              ThreadPool& pool) {
  CHECK(out.n_rows == x.n_rows && out.n_cols == x.n_cols, "out has another shape");
  CHECK(weight.empty() || static_cast<int64_t>(weight.size()) == x.n_cols, "weight has another shape");
  pool.parallel_for(x.n_rows, kElementsPerTask / (x.n_cols + 1) + 1, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(rms_norm_simd)(x.rows(begin, end - begin), weight, epsilon, out.rows(begin, end - begin));
  });
}

}  // namespace orrery
#endif  // HWY_ONCE
