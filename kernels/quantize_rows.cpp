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

#if HWY_TARGET == HWY_SCALAR

int32_t quantize_block(const float* x, QuantizedBlock& block) {
  float greatest = 0.0f;
  for (int64_t i = 0; i < kBlockElements; ++i) {
    // Written so that a NaN wins: it makes the step NaN, and so the row's outputs.
    if (!(std::fabs(x[i]) <= greatest)) greatest = std::fabs(x[i]);
  }
  const float inverse = greatest > kLeastGreatest ? kMostSteps / greatest : 0.0f;
  block.step = greatest / kMostSteps;
  int32_t sum = 0;
  for (int64_t i = 0; i < kBlockElements; ++i) {
    const float clamped = std::fmax(-kMostSteps, std::fmin(kMostSteps, std::nearbyint(x[i] * inverse)));
    const auto n = static_cast<int32_t>(clamped);
    block.q[i] = static_cast<int8_t>((n + 128) >> 8);
    block.low[i] = static_cast<int8_t>(n - block.q[i] * 256);
    sum += n;
  }
  return sum;
}

#else

// Returns the sum of n.
HWY_INLINE int32_t quantize_block(const float* HWY_RESTRICT x, QuantizedBlock& block) {
  const hn::CappedTag<float, 16> df;
  const hn::RebindToSigned<decltype(df)> di;
  const hn::Rebind<int8_t, decltype(df)> d8;
  const size_t lanes = hn::Lanes(df);
  // Magnitudes compare as integers, where a NaN is the greatest: it makes the step NaN, and so the row's outputs.
  auto greatest = hn::Zero(di);
  for (size_t i = 0; i < kBlockElements; i += lanes)
    greatest = hn::Max(greatest, hn::BitCast(di, hn::Abs(hn::LoadU(df, x + i))));
  const float most = hn::GetLane(hn::BitCast(df, hn::MaxOfLanes(di, greatest)));
  block.step = most / kMostSteps;
  const auto inverse = hn::Set(df, most > kLeastGreatest ? kMostSteps / most : 0.0f);
  auto sum = hn::Zero(di);
  for (size_t i = 0; i < kBlockElements; i += lanes) {
    const auto n = hn::NearestInt(hn::Mul(hn::LoadU(df, x + i), inverse));
    sum = hn::Add(sum, n);
    const auto q = hn::ShiftRight<8>(hn::Add(n, hn::Set(di, 128)));
    hn::StoreU(hn::DemoteTo(d8, q), d8, block.q + i);
    hn::StoreU(hn::DemoteTo(d8, hn::Sub(n, hn::ShiftLeft<8>(q))), d8, block.low + i);
  }
  return hn::GetLane(hn::SumOfLanes(di, sum));
}

#endif

void quantize_rows_simd(QuantizedRows& rows, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) {
    const float* x = rows.source.row(r);
    for (int64_t b = 0; b < rows.n_blocks; ++b) {
      QuantizedBlock& block = rows.blocks[static_cast<size_t>(rows.index(r, b))];
      const int32_t sum = quantize_block(x + b * kBlockElements, block);
      block.step_sum = block.step * static_cast<float>(sum);
      const int32_t known = std::isfinite(block.step) ? sum : 0;  // of a broken row the sum is anything
      block.minus_8_sum = -8 * known;
      block.minus_128_sum = -128 * known;
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
