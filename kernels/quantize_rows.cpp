// Rows of x to 16 bits in blocks of 32: d = max|x| / 32512, n = round(x / d) to nearest even, as two bytes.
#include <cmath>

#include "kernels/matmul_strips.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quantize_rows.cpp"
#include <hwy/foreach_target.h>
// Highway after foreach_target.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t kHalf = kBlockElements / 2;

#if HWY_TARGET == HWY_SCALAR

// Sets all but the sums; halves[i] becomes the sum of n over half i.
void quantize_block(const float* x, QuantizedBlock& block, int32_t* halves) {
  float greatest = 0.0f;
  for (int64_t i = 0; i < kBlockElements; ++i) {
    // Written so that a NaN wins: it makes the step NaN, and so the row's outputs.
    if (!(std::fabs(x[i]) <= greatest)) greatest = std::fabs(x[i]);
  }
  const float inverse = greatest > kLeastGreatest ? kMostSteps / greatest : 0.0f;
  block.step = greatest / kMostSteps;
  for (int64_t i = 0; i < kBlockElements; ++i) {
    const float n = std::fmax(-kMostSteps, std::fmin(kMostSteps, std::nearbyint(x[i] * inverse)));
    const float q = std::nearbyint(n * (1.0f / 255.0f));
    block.q[i] = static_cast<int8_t>(q);
    block.low[i] = static_cast<int8_t>(n - 255.0f * q);
    halves[i / kHalf] += static_cast<int32_t>(n);
  }
}

#else

// Sets all but the sums; halves[i] becomes the sum of n over half i.
HWY_INLINE void quantize_block(const float* HWY_RESTRICT x, QuantizedBlock& block, int32_t* HWY_RESTRICT halves) {
  const hn::CappedTag<float, kHalf> df;
  const hn::RebindToSigned<decltype(df)> di;
  const hn::Rebind<int8_t, decltype(df)> d8;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(df));
  // Magnitudes compare as integers, where a NaN is the greatest: it makes the step NaN, and so the row's outputs.
  auto greatest = hn::Zero(di);
  for (int64_t i = 0; i < kBlockElements; i += lanes)
    greatest = hn::Max(greatest, hn::BitCast(di, hn::Abs(hn::LoadU(df, x + i))));
  const float most = hn::GetLane(hn::BitCast(df, hn::MaxOfLanes(di, greatest)));
  block.step = most / kMostSteps;
  const auto inverse = hn::Set(df, most > kLeastGreatest ? kMostSteps / most : 0.0f);
  const auto per_q = hn::Set(df, 1.0f / 255.0f);
  for (int64_t half = 0; half < 2; ++half) {
    auto sum = hn::Zero(di);
    for (int64_t i = half * kHalf; i < (half + 1) * kHalf; i += lanes) {
      const auto n = hn::NearestInt(hn::Mul(hn::LoadU(df, x + i), inverse));
      sum = hn::Add(sum, n);
      const auto q = hn::NearestInt(hn::Mul(hn::ConvertTo(df, n), per_q));
      const auto low = hn::Sub(n, hn::Sub(hn::ShiftLeft<8>(q), q));
      hn::StoreU(hn::DemoteTo(d8, q), d8, block.q + i);
      hn::StoreU(hn::DemoteTo(d8, low), d8, block.low + i);
    }
    halves[half] = hn::GetLane(hn::SumOfLanes(di, sum));
  }
}

#endif

QuantizedSums sums_of(float step, int32_t sum) { return {step * static_cast<float>(sum), -sum}; }

void quantize_rows_simd(QuantizedRows& rows, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) {
    const float* x = rows.source.row(r);
    for (int64_t b = 0; b < rows.n_blocks; ++b) {
      QuantizedBlock& block = rows.blocks[static_cast<size_t>(rows.index(r, b))];
      int32_t halves[2] = {0, 0};
      quantize_block(x + b * kBlockElements, block, halves);
      if (!std::isfinite(block.step)) halves[0] = halves[1] = 0;  // of a broken row the sums are anything
      block.whole = sums_of(block.step, halves[0] + halves[1]);
      for (int64_t half = 0; half < 2; ++half) block.halves[half] = sums_of(block.step, halves[half]);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace orrery
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace orrery {

HWY_EXPORT(quantize_rows_simd);

void QuantizedRows::resize(Matrix<const float> x) {
  source = x;
  n_blocks = x.n_cols / kBlockElements;
  const int64_t n_tiles = (x.n_rows + kTileRows - 1) / kTileRows;
  const size_t count = static_cast<size_t>(n_tiles * n_blocks * kTileRows);
  if (blocks.size() < count) blocks.resize(count);
}

void quantize_rows(QuantizedRows& rows, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(quantize_rows_simd)(rows, begin, end);
}

}  // namespace orrery
#endif  // HWY_ONCE
