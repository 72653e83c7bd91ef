// DType: how the elements of a tensor are stored, block-quantized types included (ggml's block layouts).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace orrery {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  // Blocks of 32.
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kIQ4_NL,
  kMXFP4,
  // Blocks of 256.
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_XS,
  // Not for weights.
  kI32,
  kI64,
};

struct DTypeInfo {
  std::string_view name;  // "F32", "Q4_1": as the formats spell it
  uint32_t block_size;    // elements per block; 1 where not quantized
  uint32_t block_bytes;   // bytes per block
};

const DTypeInfo& dtype_info(DType dtype);

// True for numbers that stand for themselves: F32, F16, BF16.
inline bool is_float(DType dtype) { return dtype <= DType::kBF16; }
// True for the types in blocks that share their scales.
inline bool is_quantized(DType dtype) { return dtype_info(dtype).block_size > 1; }

inline std::string_view dtype_name(DType dtype) { return dtype_info(dtype).name; }

// Bytes of a row of n elements; n must be a multiple of the block size.
inline size_t row_bytes(DType dtype, size_t n) {
  const DTypeInfo& info = dtype_info(dtype);
  return n / info.block_size * info.block_bytes;
}

// IEEE half and bfloat16 <-> float, round to nearest even.
float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);
float bf16_to_f32(uint16_t bits);
uint16_t f32_to_bf16(float value);

}  // namespace orrery
