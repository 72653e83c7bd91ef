// Strips of outputs from float weights (F32, F16, BF16) with f32 products and sums.
//
// Lanes are inputs: each output has one vector accumulator that takes whole vectors of inputs in order, then the padded
// rest, and is summed across lanes at the end; tiles of 4 outputs by up to 4 rows of x only interleave such sums.
#include <cstring>

#include "kernels/matmul_strips.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul_float.cpp"
#include <hwy/foreach_target.h>
// Highway after foreach_target.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

void float_strips_simd(Matrix<const float> x, const MatmulTarget& target, int64_t begin, int64_t end) {
  reference_strips(x, target, begin, end);
}

#else

using DF = hn::CappedTag<float, 16>;
using VF = hn::Vec<DF>;
constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(DF()));
constexpr int64_t kTileOutputs = 4;

// How kLanes weights are read at any alignment.
struct F32 {
  static constexpr size_t kBytes = 4;
  static HWY_INLINE VF load(const uint8_t* at) { return hn::LoadU(DF(), reinterpret_cast<const float*>(at)); }
};
struct F16 {
  static constexpr size_t kBytes = 2;
  static HWY_INLINE VF load(const uint8_t* at) {
    const hn::Rebind<hwy::float16_t, DF> dh;
    return hn::PromoteTo(DF(), hn::LoadU(dh, reinterpret_cast<const hwy::float16_t*>(at)));
  }
};
struct BF16 {
  static constexpr size_t kBytes = 2;
  static HWY_INLINE VF load(const uint8_t* at) {
    const hn::Rebind<uint16_t, DF> du16;
    const hn::RebindToUnsigned<DF> du32;
    const auto bits = hn::LoadU(du16, reinterpret_cast<const uint16_t*>(at));
    return hn::BitCast(DF(), hn::ShiftLeft<16>(hn::PromoteTo(du32, bits)));
  }
};

// Outputs [first, first + kTileOutputs) of kRows rows of x. weights[o]: the weight row of output o.
template <class Weight, int64_t kRows>
HWY_INLINE void multiply_tile(Matrix<const float> x, int64_t row, const uint8_t* const* weights,
                              VF* HWY_RESTRICT sums) {
  const DF df;
  const int64_t whole = x.n_cols - x.n_cols % kLanes;
  for (int64_t i = 0; i < kRows * kTileOutputs; ++i) sums[i] = hn::Zero(df);
  for (int64_t k = 0; k < whole; k += kLanes) {
    VF w[kTileOutputs];
    for (int64_t o = 0; o < kTileOutputs; ++o)
      w[o] = Weight::load(weights[o] + static_cast<size_t>(k) * Weight::kBytes);
    for (int64_t r = 0; r < kRows; ++r) {
      const VF inputs = hn::LoadU(df, x.row(row + r) + k);
      for (int64_t o = 0; o < kTileOutputs; ++o) {
        sums[r * kTileOutputs + o] = hn::MulAdd(inputs, w[o], sums[r * kTileOutputs + o]);
      }
    }
  }
  if (whole == x.n_cols) return;
  const size_t rest = static_cast<size_t>(x.n_cols - whole);
  for (int64_t o = 0; o < kTileOutputs; ++o) {
    HWY_ALIGN uint8_t last_weights[kLanes * 4] = {};
    std::memcpy(last_weights, weights[o] + static_cast<size_t>(whole) * Weight::kBytes, rest * Weight::kBytes);
    const VF w = Weight::load(last_weights);
    for (int64_t r = 0; r < kRows; ++r) {
      HWY_ALIGN float last_inputs[kLanes] = {};
      std::memcpy(last_inputs, x.row(row + r) + whole, rest * sizeof(float));
      sums[r * kTileOutputs + o] = hn::MulAdd(hn::Load(df, last_inputs), w, sums[r * kTileOutputs + o]);
    }
  }
}

template <class Weight, int64_t kRows>
void tile(Matrix<const float> x, int64_t row, const MatmulTarget& target, int64_t first) {
  const int64_t n_out = target.weight.n_rows();
  const uint8_t* weights[kTileOutputs];
  for (int64_t o = 0; o < kTileOutputs; ++o) {  // past the end: the last row again, not stored
    weights[o] = reinterpret_cast<const uint8_t*>(target.weight.row(first + o < n_out ? first + o : n_out - 1));
  }
  VF sums[kRows * kTileOutputs];
  multiply_tile<Weight, kRows>(x, row, weights, sums);
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t o = 0; o < kTileOutputs && first + o < n_out; ++o) {
      const float bias = target.bias.empty() ? 0.0f : target.bias[static_cast<size_t>(first + o)];
      target.out.row(row + r)[first + o] = hn::GetLane(hn::SumOfLanes(DF(), sums[r * kTileOutputs + o])) + bias;
    }
  }
}

template <class Weight>
void strips(Matrix<const float> x, const MatmulTarget& target, int64_t begin, int64_t end) {
  const int64_t n_out = target.weight.n_rows();
  const int64_t last = end * kStripOutputs < n_out ? end * kStripOutputs : n_out;
  for (int64_t strip = begin * kStripOutputs; strip < last; strip += kStripOutputs) {
    const int64_t strip_end = strip + kStripOutputs < last ? strip + kStripOutputs : last;
    int64_t row = 0;
    for (; row + 4 <= x.n_rows; row += 4) {
      for (int64_t o = strip; o < strip_end; o += kTileOutputs) tile<Weight, 4>(x, row, target, o);
    }
    for (; row < x.n_rows; ++row) {
      for (int64_t o = strip; o < strip_end; o += kTileOutputs) tile<Weight, 1>(x, row, target, o);
    }
  }
}

void float_strips_simd(Matrix<const float> x, const MatmulTarget& target, int64_t begin, int64_t end) {
  switch (target.weight.dtype) {
    case DType::kF32:
      return strips<F32>(x, target, begin, end);
    case DType::kF16:
      return strips<F16>(x, target, begin, end);
    case DType::kBF16:
      return strips<BF16>(x, target, begin, end);
    default:
      CHECK(false, "not a float tensor");
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace orrery
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace orrery {

HWY_EXPORT(float_strips_simd);

void float_strips(Matrix<const float> x, const MatmulTarget& target, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(float_strips_simd)(x, target, begin, end);
}

}  // namespace orrery
#endif  // HWY_ONCE
