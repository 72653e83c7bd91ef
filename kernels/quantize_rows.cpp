// Rows of x to int8 in blocks of 32: d = max|x| / 127, q = round(x / d) to nearest even.
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

int32_t quantize_block(const float* x, int8_t* q, float* step) {
  float greatest = 0.0f;
  for (int64_t i = 0; i < kBlockElements; ++i) greatest = std::fmax(greatest, std::fabs(x[i]));
  const float inverse = greatest > kLeastGreatest ? 127.0f / greatest : 0.0f;
  *step = greatest / 127.0f;
  int32_t sum = 0;
  for (int64_t i = 0; i < kBlockElements; ++i) {
    q[i] = static_cast<int8_t>(std::fmax(-127.0f, std::fmin(127.0f, std::nearbyint(x[i] * inverse))));
    sum += q[i];
  }
  return sum;
}

#else

// Returns the sum of q.
HWY_INLINE int32_t quantize_block(const float* HWY_RESTRICT x, int8_t* HWY_RESTRICT q, float* HWY_RESTRICT step) {
  const hn::CappedTag<float, 16> df;
  const hn::RebindToSigned<decltype(df)> di;
  const hn::Rebind<int8_t, decltype(df)> d8;
  const size_t lanes = hn::Lanes(df);
  // Magnitudes compare as integers, where a NaN is the greatest: it makes the step NaN, and so the row's outputs.
  auto greatest = hn::Zero(di);
  for (size_t i = 0; i < kBlockElements; i += lanes)
    greatest = hn::Max(greatest, hn::BitCast(di, hn::Abs(hn::LoadU(df, x + i))));
  const float most = hn::GetLane(hn::BitCast(df, hn::MaxOfLanes(di, greatest)));
  *step = most / 127.0f;
  const auto inverse = hn::Set(df, most > kLeastGreatest ? 127.0f / most : 0.0f);
  auto sum = hn::Zero(di);
  for (size_t i = 0; i < kBlockElements; i += lanes) {
    const auto rounded = hn::NearestInt(hn::Mul(hn::LoadU(df, x + i), inverse));
    sum = hn::Add(sum, rounded);
    hn::StoreU(hn::DemoteTo(d8, rounded), d8, q + i);
  }
  return hn::GetLane(hn::SumOfLanes(di, sum));
}

#endif

void quantize_rows_simd(QuantizedRows& rows, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) {
    const float* x = rows.source.row(r);
    for (int64_t b = 0; b < rows.n_blocks; ++b) {
      QuantizedBlock& block = rows.blocks[static_cast<size_t>(rows.index(r, b))];
      const int32_t sum = quantize_block(x + b * kBlockElements, block.q, &block.step);
      block.step_sum = block.step * static_cast<float>(sum);
      block.minus_8_sum = -8 * sum;
      block.minus_128_sum = -128 * sum;
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
