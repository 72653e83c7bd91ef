// Random matrices and stored weights for kernel tests, and the measure they are compared with.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "kernels/base/dtype.h"
#include "kernels/base/tensor.h"

namespace orrery {

inline std::vector<float> random_floats(size_t n, uint32_t seed, float spread = 1.0f) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, spread);
  std::vector<float> values(n);
  for (float& value : values) value = normal(generator);
  return values;
}

// Sum of squared errors over sum of squares.
inline double nmse(const std::vector<float>& got, const std::vector<float>& expected) {
  double error = 0.0, power = 0.0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double difference = double{got[i]} - expected[i];
    error += difference * difference;
    power += double{expected[i]} * expected[i];
  }
  return power > 0.0 ? error / power : error;
}

inline constexpr DType kWeightTypes[] = {DType::kF32,    DType::kF16,   DType::kBF16, DType::kQ4_0,
                                         DType::kQ4_1,   DType::kQ5_0,  DType::kQ5_1, DType::kQ8_0,
                                         DType::kIQ4_NL, DType::kMXFP4, DType::kQ2_K, DType::kQ3_K,
                                         DType::kQ4_K,   DType::kQ5_K,  DType::kQ6_K, DType::kIQ4_XS};
inline constexpr std::span<const DType> kFloatTypes = std::span(kWeightTypes).first(3);
inline constexpr std::span<const DType> kQuantizedTypes = std::span(kWeightTypes).subspan(3);

// Puts the scale `d` of a quantized block where its format has it, and `m` for the least value if it has that.
inline void set_scales(DType dtype, std::byte* block, float d, float m) {
  const auto put_half = [block](size_t at, float value) {
    const uint16_t bits = f32_to_f16(value);
    std::memcpy(block + at, &bits, sizeof(bits));
  };
  switch (dtype) {
    case DType::kMXFP4:
      block[0] = static_cast<std::byte>(128 + std::ilogb(d));  // the power of two, as the values are doubled
      return;
    case DType::kQ2_K:
      put_half(80, d);
      return put_half(82, m);
    case DType::kQ3_K:
      return put_half(108, d);
    case DType::kQ6_K:
      return put_half(208, d);
    case DType::kQ4_1:
    case DType::kQ5_1:
      put_half(2, m);
      return put_half(0, d);
    case DType::kQ4_K:
    case DType::kQ5_K:
      put_half(2, -m);  // these take dmin away
      return put_half(0, d);
    default:
      return put_half(0, d);
  }
}

// A stored matrix [n_rows, n_cols] of a float or quantized dtype, `misalignment` bytes past an aligned address.
class RandomWeight {
 public:
  RandomWeight(DType dtype, int64_t n_rows, int64_t n_cols, uint32_t seed, size_t misalignment = 0) {
    view_ = {dtype, Shape({n_rows, n_cols}), nullptr};
    const DTypeInfo& info = dtype_info(dtype);
    bytes_.resize(view_.n_bytes() + misalignment);
    view_.data = bytes_.data() + misalignment;
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    const size_t n_blocks = view_.n_bytes() / info.block_bytes;
    for (size_t b = 0; b < n_blocks; ++b) {
      std::byte* block = bytes_.data() + misalignment + b * info.block_bytes;
      const float value = normal(generator);
      if (dtype == DType::kF32) {
        std::memcpy(block, &value, sizeof(value));
      } else if (info.block_size == 1) {
        const uint16_t bits = dtype == DType::kBF16 ? f32_to_bf16(value) : f32_to_f16(value);
        std::memcpy(block, &bits, sizeof(bits));
      } else {
        for (size_t i = 0; i < info.block_bytes; ++i) block[i] = static_cast<std::byte>(generator() & 255u);
        set_scales(dtype, block, value * 0.01f, -value * 0.07f);
      }
    }
  }

  const TensorView& view() const { return view_; }

 private:
  std::vector<std::byte> bytes_;
  TensorView view_;
};

}  // namespace orrery
