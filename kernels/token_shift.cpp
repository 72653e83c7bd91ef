#include "kernels/token_shift.h"

#include <algorithm>

#include "kernels/base/check.h"
#include "kernels/thread_pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/token_shift.cpp"
#include <hwy/foreach_target.h>
// Highway after foreach_target.
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {

// to[i] = x[i] + mix[i] * (before[i] - x[i])
void mix_row_simd(const float* x, const float* before, const float* mix, float* to, int64_t n) {
#if HWY_TARGET == HWY_SCALAR
  for (int64_t i = 0; i < n; ++i) to[i] = x[i] + mix[i] * (before[i] - x[i]);
#else
  const DF df;
  const int64_t whole = n - n % kLanes, rest = n - whole;
  for (int64_t i = 0; i < whole; i += kLanes) {
    const VF own = hn::LoadU(df, x + i);
    hn::StoreU(hn::MulAdd(hn::LoadU(df, mix + i), hn::Sub(hn::LoadU(df, before + i), own), own), df, to + i);
  }
  if (rest == 0) return;
  const VF own = load_last(x + whole, rest), difference = hn::Sub(load_last(before + whole, rest), own);
  store_last(hn::MulAdd(load_last(mix + whole, rest), difference, own), to + whole, rest);
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

HWY_EXPORT(mix_row_simd);

void token_shift(const TokenShiftArgs& args, ThreadPool& pool) {
  const int64_t d = args.x.n_cols, n_mixes = args.n_mixes();
  CHECK(static_cast<int64_t>(args.mix.size()) == n_mixes * d, "mix has another shape");
  CHECK(args.out.n_rows == args.x.n_rows && args.out.n_cols == n_mixes * d, "out has another shape");
  for (const StateRows& rows : args.sequences) {
    const int64_t n = rows.end - rows.begin;
    if (n <= 0) continue;
    pool.parallel_for(n, kElementsPerTask / (args.out.n_cols + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = rows.begin + begin; r < rows.begin + end; ++r) {
        const float* const before = r > rows.begin ? args.x.row(r - 1) : rows.state;
        for (int64_t c = 0; c < n_mixes; ++c) {
          HWY_DYNAMIC_DISPATCH(mix_row_simd)
          (args.x.row(r), before, args.mix.data() + c * d, args.out.row(r) + c * d, d);
        }
      }
    });
    std::copy_n(args.x.row(rows.end - 1), d, rows.state);
  }
}

}  // namespace orrery
#endif  // HWY_ONCE
