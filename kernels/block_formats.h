// ggml's block formats in plain code: what each bit of a quantized block means. The reference for matmul's products.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/base/dtype.h"

namespace orrery {

// The values that a 4-bit code stands for, before the block's scale.
alignas(16) inline constexpr std::array<int8_t, 16> kIq4Values = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                                  1,    13,   25,  38,  53,  69,  89,  113};
// E2M1 (sign, two bits of exponent, one of mantissa), doubled; its zero has no sign.
alignas(16) inline constexpr std::array<int8_t, 16> kMxfp4Values = {0, 1,  2,  3,  4,  6,  8,  12,
                                                                    0, -1, -2, -3, -4, -6, -8, -12};

// Half of 2^(e - 127), as kMxfp4Values are doubled; subnormal for e < 2, finite for every e.
float mxfp4_scale(uint8_t e);

// out[0, block_size) = the values of one block of a quantized dtype (CHECK), each with the roundings of gguf's Python
// reference, bit for bit. `block`: block_bytes, at any alignment.
void dequantize_block(DType dtype, const std::byte* block, float* out);

}  // namespace orrery
