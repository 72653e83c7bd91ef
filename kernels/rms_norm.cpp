#include "kernels/rms_norm.h"

#include <algorithm>
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

// Rows [begin, end).
void rms_norm_simd(Matrix<const float> x, std::span<const float> weights, float epsilon, Matrix<float> out,
                   int64_t begin, int64_t end) {
  const int64_t n = x.n_cols, n_weights = static_cast<int64_t>(weights.size()) / std::max<int64_t>(1, n);
  for (int64_t r = begin; r < end; ++r) {
    const auto weight =
        weights.empty() ? weights : weights.subspan(static_cast<size_t>(r % n_weights * n), static_cast<size_t>(n));
#if HWY_TARGET == HWY_SCALAR
    rms_norm_reference(x.rows(r, 1), weight, epsilon, out.rows(r, 1));
#else
    const DF df;
    const int64_t whole = n - n % kLanes, rest = n - whole;
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
#endif
  }
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
  CHECK(weight.empty() || static_cast<int64_t>(weight.size()) % x.n_cols == 0, "weight has another shape");
  pool.parallel_for(x.n_rows, kElementsPerTask / (x.n_cols + 1) + 1, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(rms_norm_simd)(x, weight, epsilon, out, begin, end);
  });
}

}  // namespace orrery
#endif  // HWY_ONCE
