#include "kernels/input_strength.h"

#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/thread_pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/input_strength.cpp"
#include <hwy/foreach_target.h>
// Highway after foreach_target.
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void input_strength_simd(Matrix<const float> rate, std::span<const float> log_decay, std::span<const int64_t> positions,
                         Matrix<float> out) {
  input_strength_reference(rate, log_decay, positions, out);
}

#else

// 1 - exp(x) to within a few units in the last place for x <= 0: near 0, where the difference would have lost them, the
// series -x (1 + x/2 (1 + x/3 (..))) to the 8th power.
HWY_INLINE VF one_minus_exp(VF x) {
  const DF df;
  VF p = hn::Set(df, 1.0f);
  for (const float n : {8.0f, 7.0f, 6.0f, 5.0f, 4.0f, 3.0f, 2.0f}) {
    p = hn::MulAdd(hn::Mul(x, hn::Set(df, 1.0f / n)), p, hn::Set(df, 1.0f));
  }
  const VF near = hn::Neg(hn::Mul(x, p)), far = hn::Sub(hn::Set(df, 1.0f), exp_of(x));
  return hn::IfThenElse(hn::Lt(x, hn::Set(df, -0.5f)), far, near);
}

HWY_INLINE VF strength_of(VF rate, VF log_decay) {
  return hn::Sqrt(one_minus_exp(hn::Mul(hn::Add(rate, rate), log_decay)));
}

void input_strength_simd(Matrix<const float> rate, std::span<const float> log_decay, std::span<const int64_t> positions,
                         Matrix<float> out) {
  const DF df;
  const int64_t whole = out.n_cols - out.n_cols % kLanes, rest = out.n_cols - whole;
  for (int64_t r = 0; r < out.n_rows; ++r) {
    float* const to = out.row(r);
    if (positions[static_cast<size_t>(r)] == 0) {
      std::fill_n(to, out.n_cols, 1.0f);
      continue;
    }
    const float* const from = rate.row(r);
    for (int64_t c = 0; c < whole; c += kLanes) {
      hn::StoreU(strength_of(hn::LoadU(df, from + c), hn::LoadU(df, log_decay.data() + c)), df, to + c);
    }
    if (rest == 0) continue;
    store_last(strength_of(load_last(from + whole, rest), load_last(log_decay.data() + whole, rest)), to + whole, rest);
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace orrery
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace orrery {

namespace {
constexpr int64_t kElementsPerTask = 16384;  // a few us: below that, sharing costs more than it gains
}

HWY_EXPORT(input_strength_simd);

void input_strength(Matrix<const float> rate, std::span<const float> log_decay, std::span<const int64_t> positions,
                    Matrix<float> out, ThreadPool& pool) {
  CHECK(rate.n_rows == out.n_rows && rate.n_cols == out.n_cols, "rate and out differ in shape");
  CHECK(static_cast<int64_t>(log_decay.size()) == out.n_cols, "log_decay has another shape");
  CHECK(static_cast<int64_t>(positions.size()) == out.n_rows, "as many positions as rows");
  pool.parallel_for(out.n_rows, kElementsPerTask / (out.n_cols + 1) + 1, [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(input_strength_simd)
    (rate.rows(begin, n), log_decay, positions.subspan(static_cast<size_t>(begin), static_cast<size_t>(n)),
     out.rows(begin, n));
  });
}

}  // namespace orrery
#endif  // HWY_ONCE
