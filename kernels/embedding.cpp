#include "kernels/embedding.h"

#include <cstring>

#include "kernels/base/check.h"

namespace orrery {

namespace {

template <typename T>
T load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));  // rows may lie at any alignment
  return value;
}

float half(const std::byte* bytes) { return f16_to_f32(load<uint16_t>(bytes)); }

// Element i < 32 of a block; ggml's layouts.
float q8_0(const std::byte* block, int64_t i) { return half(block) * static_cast<float>(load<int8_t>(block + 2 + i)); }

int nibble(const std::byte* quads, int64_t i) {
  const int byte = std::to_integer<int>(quads[i % 16]);
  return i < 16 ? byte & 15 : byte >> 4;
}
float q4_0(const std::byte* block, int64_t i) { return half(block) * static_cast<float>(nibble(block + 2, i) - 8); }
float q4_1(const std::byte* block, int64_t i) {
  return half(block) * static_cast<float>(nibble(block + 4, i)) + half(block + 2);
}

template <typename Element>
void dequantize_blocks(const std::byte* row, size_t block_bytes, std::span<float> out, Element element) {
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = element(row + i / 32 * block_bytes, static_cast<int64_t>(i % 32));
  }
}

}  // namespace

void dequantize_row_reference(const TensorView& weight, int64_t row, std::span<float> out) {
  CHECK(row >= 0 && row < weight.n_rows(), "row outside the matrix");
  CHECK(static_cast<int64_t>(out.size()) == weight.n_cols(), "out does not fit a row");
  const std::byte* bytes = weight.row(row);
  const size_t n = out.size();
  switch (weight.dtype) {
    case DType::kF32:
      std::memcpy(out.data(), bytes, n * sizeof(float));
      return;
    case DType::kF16:
      for (size_t i = 0; i < n; ++i) out[i] = half(bytes + 2 * i);
      return;
    case DType::kBF16:
      for (size_t i = 0; i < n; ++i) out[i] = bf16_to_f32(load<uint16_t>(bytes + 2 * i));
      return;
    case DType::kQ8_0:
      dequantize_blocks(bytes, 34, out, q8_0);
      return;
    case DType::kQ4_0:
      dequantize_blocks(bytes, 18, out, q4_0);
      return;
    case DType::kQ4_1:
      dequantize_blocks(bytes, 20, out, q4_1);
      return;
    case DType::kI32:
    case DType::kI64:
      break;
  }
  CHECK(false, "dequantize_row of an integer tensor");
}

// A row per token: no loop of the program spends time here, so the plain version serves.
void dequantize_row(const TensorView& weight, int64_t row, std::span<float> out) {
  dequantize_row_reference(weight, row, out);
}

}  // namespace orrery
