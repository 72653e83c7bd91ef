// Random matrices and stored weights for kernel tests, and the measure they are compared with.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
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

// A stored matrix [n_rows, n_cols] of a float or block-quantized dtype, `misalignment` bytes past an aligned address.
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
        put_half(block, dtype == DType::kBF16 ? f32_to_bf16(value) : f32_to_f16(value));
      } else {
        for (size_t i = 0; i < info.block_bytes; ++i) block[i] = static_cast<std::byte>(generator() & 255u);
        put_half(block, f32_to_f16(value * 0.01f));
        if (dtype == DType::kQ4_1) put_half(block + 2, f32_to_f16(-value * 0.07f));
      }
    }
  }

  const TensorView& view() const { return view_; }

 private:
  static void put_half(std::byte* at, uint16_t bits) { std::memcpy(at, &bits, sizeof(bits)); }

  std::vector<std::byte> bytes_;
  TensorView view_;
};

}  // namespace orrery
