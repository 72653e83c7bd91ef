#include "kernels/base/dtype.h"

#include <bit>

namespace orrery {

const DTypeInfo& dtype_info(DType dtype) {
  static constexpr DTypeInfo kInfos[] = {
      {"F32", 1, 4},      {"F16", 1, 2},        {"BF16", 1, 2},                          //
      {"Q4_0", 32, 18},   {"Q4_1", 32, 20},     {"Q5_0", 32, 22},   {"Q5_1", 32, 24},    //
      {"Q8_0", 32, 34},   {"IQ4_NL", 32, 18},   {"MXFP4", 32, 17},                       //
      {"Q2_K", 256, 84},  {"Q3_K", 256, 110},   {"Q4_K", 256, 144}, {"Q5_K", 256, 176},  //
      {"Q6_K", 256, 210}, {"IQ4_XS", 256, 136},                                          //
      {"I32", 1, 4},      {"I64", 1, 8},
  };
  return kInfos[static_cast<size_t>(dtype)];
}

float f16_to_f32(uint16_t bits) { return static_cast<float>(std::bit_cast<_Float16>(bits)); }
uint16_t f32_to_f16(float value) { return std::bit_cast<uint16_t>(static_cast<_Float16>(value)); }

float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);  // keep a NaN a NaN
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace orrery
