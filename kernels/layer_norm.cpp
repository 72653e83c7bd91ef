#include "kernels/layer_norm.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/check.h"
#include "kernels/thread_pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/layer_norm.cpp"
#include <hwy/foreach_target.h>
// Highway after foreach_target.
#include "kernels/simd-inl.h"

#ifndef ORRERY_KERNELS_LAYER_NORM_WEIGHTS_
#define ORRERY_KERNELS_LAYER_NORM_WEIGHTS_
namespace orrery {
namespace {

// The weights of row r, [n]; empty where there are none.
std::span<const float> of_row(std::span<const float> all, int64_t r, int64_t n) {
  if (all.empty()) return all;
  const int64_t n_sets = static_cast<int64_t>(all.size()) / std::max<int64_t>(1, n);
  return all.subspan(static_cast<size_t>(r % n_sets * n), static_cast<size_t>(n));
}

}  // namespace
}  // namespace orrery
#endif

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {

// Rows [begin, end).
void layer_norm_simd(Matrix<const float> x, std::span<const float> weights, std::span<const float> biases,
                     float epsilon, Matrix<float> out, int64_t begin, int64_t end) {
  const int64_t n = x.n_cols;
  for (int64_t r = begin; r < end; ++r) {
    const std::span<const float> weight = of_row(weights, r, n), bias = of_row(biases, r, n);
#if HWY_TARGET == HWY_SCALAR
    layer_norm_reference(x.rows(r, 1), weight, bias, epsilon, out.rows(r, 1));
#else
    const DF df;
    const int64_t whole = n - n % kLanes, rest = n - whole;
    const float* in = x.row(r);
    float* to = out.row(r);
    VF sums = hn::Zero(df);
    for (int64_t i = 0; i < whole; i += kLanes) sums = hn::Add(sums, hn::LoadU(df, in + i));
    if (rest > 0) sums = hn::Add(sums, load_last(in + whole, rest));
    const float mean = sum_of(sums) / static_cast<float>(n);
    const VF means = hn::Set(df, mean);
    VF squares = hn::Zero(df);
    for (int64_t i = 0; i < whole; i += kLanes) {
      const VF centred = hn::Sub(hn::LoadU(df, in + i), means);
      squares = hn::MulAdd(centred, centred, squares);
    }
    if (rest > 0) {
      const VF centred = hn::Sub(load_last(in + whole, rest, mean), means);
      squares = hn::MulAdd(centred, centred, squares);
    }
    const VF factor = hn::Set(df, 1.0f / std::sqrt(sum_of(squares) / static_cast<float>(n) + epsilon));
    for (int64_t i = 0; i < whole; i += kLanes) {
      VF v = hn::Mul(hn::Sub(hn::LoadU(df, in + i), means), factor);
      if (!weight.empty()) v = hn::Mul(v, hn::LoadU(df, weight.data() + i));
      if (!bias.empty()) v = hn::Add(v, hn::LoadU(df, bias.data() + i));
      hn::StoreU(v, df, to + i);
    }
    if (rest > 0) {
      VF v = hn::Mul(hn::Sub(load_last(in + whole, rest), means), factor);
      if (!weight.empty()) v = hn::Mul(v, load_last(weight.data() + whole, rest));
      if (!bias.empty()) v = hn::Add(v, load_last(bias.data() + whole, rest));
      store_last(v, to + whole, rest);
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

HWY_EXPORT(layer_norm_simd);

void layer_norm(Matrix<const float> x, std::span<const float> weight, std::span<const float> bias, float epsilon,
                Matrix<float> out, ThreadPool& pool) {
  CHECK(out.n_rows == x.n_rows && out.n_cols == x.n_cols, "out has another shape");
  CHECK(weight.empty() || static_cast<int64_t>(weight.size()) % x.n_cols == 0, "weight has another shape");
  CHECK(bias.empty() || static_cast<int64_t>(bias.size()) % x.n_cols == 0, "bias has another shape");
  pool.parallel_for(x.n_rows, kElementsPerTask / (x.n_cols + 1) + 1, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(layer_norm_simd)(x, weight, bias, epsilon, out, begin, end);
  });
}

}  // namespace orrery
#endif  // HWY_ONCE
