#include "kernels/embedding.h"

#include <cstring>

#include "kernels/base/check.h"
#include "kernels/block_formats.h"

namespace orrery {

namespace {

uint16_t load_bits(const std::byte* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof(bits));  // rows may lie at any alignment
  return bits;
}

}  // namespace

// A row per token: no loop of the program spends time here, so plain code serves.
void dequantize_row(const TensorView& weight, int64_t row, std::span<float> out) {
  CHECK(row >= 0 && row < weight.n_rows(), "row outside the matrix");
  CHECK(static_cast<int64_t>(out.size()) == weight.n_cols(), "out does not fit a row");
  const std::byte* bytes = weight.row(row);
  const DTypeInfo& info = dtype_info(weight.dtype);
  switch (weight.dtype) {
    case DType::kF32:
      std::memcpy(out.data(), bytes, out.size_bytes());
      return;
    case DType::kF16:
      for (size_t i = 0; i < out.size(); ++i) out[i] = f16_to_f32(load_bits(bytes + 2 * i));
      return;
    case DType::kBF16:
      for (size_t i = 0; i < out.size(); ++i) out[i] = bf16_to_f32(load_bits(bytes + 2 * i));
      return;
    case DType::kI32:
    case DType::kI64:
      CHECK(false, "dequantize_row of an integer tensor");
      return;
    default:
      CHECK(out.size() % info.block_size == 0, "rows of quantized weights are whole blocks");
      for (size_t i = 0; i < out.size(); i += info.block_size, bytes += info.block_bytes) {
        dequantize_block(weight.dtype, bytes, out.data() + i);
      }
  }
}

}  // namespace orrery
