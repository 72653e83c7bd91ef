#include "kernels/causal_conv.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/check.h"
#include "kernels/thread_pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/causal_conv.cpp"
#include <hwy/foreach_target.h>
// Highway after foreach_target.
#include "kernels/simd-inl.h"

#ifndef ORRERY_KERNELS_CAUSAL_CONV_ROW_
#define ORRERY_KERNELS_CAUSAL_CONV_ROW_
namespace orrery {
namespace {

// The input of row `t` of a sequence, counted from its first row in the batch; those before it lie in the state.
const float* input_row(const CausalConvArgs& args, const StateRows& rows, int64_t t) {
  return t >= 0 ? args.x.row(rows.begin + t) : rows.state + (args.n_taps - 1 + t) * args.x.n_cols;
}

}  // namespace
}  // namespace orrery
#endif

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void convolve_simd(const CausalConvArgs& args, const StateRows& rows, int64_t begin, int64_t end) {
  for (int64_t t = 0; t < rows.end - rows.begin; ++t) {
    for (int64_t c = begin; c < end; ++c) {
      float sum = args.bias.empty() ? 0.0f : args.bias[static_cast<size_t>(c)];
      for (int32_t i = 0; i < args.n_taps; ++i) {
        sum +=
            args.taps[static_cast<size_t>(i * args.x.n_cols + c)] * input_row(args, rows, t - args.n_taps + 1 + i)[c];
      }
      args.out.row(rows.begin + t)[c] = sum;
    }
  }
}

float mean_contribution_simd(const float* taps, const float* x, int64_t n) {
  float sum = 0.0f;
  for (int64_t c = 0; c < n; ++c) sum += std::abs(taps[c] * x[c]);
  return sum / static_cast<float>(n);
}

#else

// Channels [begin, end) of all rows of a sequence.
void convolve_simd(const CausalConvArgs& args, const StateRows& rows, int64_t begin, int64_t end) {
  const DF df;
  const int64_t n_channels = args.x.n_cols;
  for (int64_t t = 0; t < rows.end - rows.begin; ++t) {
    float* const out = args.out.row(rows.begin + t);
    for (int64_t c = begin; c < end; c += kLanes) {
      const int64_t count = std::min(kLanes, end - c);
      const auto load = [&](const float* at)
                            HWY_ATTR { return count == kLanes ? hn::LoadU(df, at + c) : load_last(at + c, count); };
      VF sum = args.bias.empty() ? hn::Zero(df) : load(args.bias.data());
      for (int32_t i = 0; i < args.n_taps; ++i) {
        sum = hn::MulAdd(load(args.taps.data() + i * n_channels), load(input_row(args, rows, t - args.n_taps + 1 + i)),
                         sum);
      }
      if (count == kLanes) {
        hn::StoreU(sum, df, out + c);
      } else {
        store_last(sum, out + c, count);
      }
    }
  }
}

float mean_contribution_simd(const float* taps, const float* x, int64_t n) {
  const DF df;
  VF sum = hn::Zero(df);
  const int64_t whole = n - n % kLanes;
  for (int64_t c = 0; c < whole; c += kLanes) {
    sum = hn::Add(sum, hn::Abs(hn::Mul(hn::LoadU(df, taps + c), hn::LoadU(df, x + c))));
  }
  if (whole < n)
    sum = hn::Add(sum, hn::Abs(hn::Mul(load_last(taps + whole, n - whole), load_last(x + whole, n - whole))));
  return sum_of(sum) / static_cast<float>(n);
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace orrery
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace orrery {

namespace {

constexpr int64_t kElementsPerTask = 16384;  // some 2 us: below that, sharing costs more than it gains
constexpr int64_t kChannelsPerTask = 64;     // a few vectors, whole cache lines

// The last n_taps - 1 rows become the state, in channels [begin, end).
void remember(const CausalConvArgs& args, const StateRows& rows, int64_t begin, int64_t end) {
  const int64_t kept = args.n_taps - 1, n = rows.end - rows.begin;
  for (int64_t j = 0; j < kept; ++j) {
    const float* const from = input_row(args, rows, n - kept + j);  // never before row j of the state
    std::memmove(rows.state + j * args.x.n_cols + begin, from + begin,
                 static_cast<size_t>(end - begin) * sizeof(float));
  }
}

}  // namespace

HWY_EXPORT(convolve_simd);
HWY_EXPORT(mean_contribution_simd);

void causal_conv(const CausalConvArgs& args, StatSlot tap_means, ThreadPool& pool) {
  const int64_t n_channels = args.x.n_cols;
  CHECK(args.n_taps >= 1 && static_cast<int64_t>(args.taps.size()) == args.n_taps * n_channels, "taps: another shape");
  CHECK(args.bias.empty() || static_cast<int64_t>(args.bias.size()) == n_channels, "bias has another shape");
  CHECK(args.out.n_rows == args.x.n_rows && args.out.n_cols == n_channels, "out has another shape");
  for (const StateRows& rows : args.sequences) {
    const int64_t n = rows.end - rows.begin;
    if (tap_means) {
      pool.parallel_for(n, kElementsPerTask / (args.n_taps * n_channels + 1) + 1, [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) {
          for (int32_t i = 0; i < args.n_taps; ++i) {
            tap_means.row(rows.begin + t)[i] = HWY_DYNAMIC_DISPATCH(mean_contribution_simd)(
                args.taps.data() + i * n_channels, input_row(args, rows, t - args.n_taps + 1 + i), n_channels);
          }
        }
      });
    }
    const int64_t n_tasks = (n_channels + kChannelsPerTask - 1) / kChannelsPerTask;
    const int64_t grain = kElementsPerTask / (kChannelsPerTask * args.n_taps * n + 1) + 1;
    pool.parallel_for(n_tasks, grain, [&](int64_t first, int64_t last) {
      const int64_t begin = first * kChannelsPerTask, end = std::min(n_channels, last * kChannelsPerTask);
      HWY_DYNAMIC_DISPATCH(convolve_simd)(args, rows, begin, end);
      remember(args, rows, begin, end);
    });
  }
}

}  // namespace orrery
#endif  // HWY_ONCE
