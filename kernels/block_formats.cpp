#include "kernels/block_formats.h"

#include <bit>
#include <cstring>

#include "kernels/base/check.h"

namespace orrery {

namespace {

constexpr int kSuperBlock = 256;

float half(const std::byte* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof(bits));  // blocks may lie at any alignment
  return f16_to_f32(bits);
}

int byte(const std::byte* at) { return std::to_integer<int>(*at); }
int signed_byte(const std::byte* at) { return static_cast<int8_t>(*at); }

// `count` bits of a byte from bit `first` on.
int bits(const std::byte* at, int first, int count) { return (byte(at) >> first) & ((1 << count) - 1); }

// Element i < 32 of 16 bytes: the low nibbles come first.
int nibble(const std::byte* at, int i) { return bits(at + i % 16, i < 16 ? 0 : 4, 4); }

// Bit i < 32 of 4 bytes, worth 16.
int fifth_bit(const std::byte* at, int i) { return bits(at + i / 8, i % 8, 1) << 4; }

// Element i < 256 in super-blocks whose bytes hold two nibbles: 32 bytes are elements 0..31 (low), 32..63 (high).
int nibble_of_64(const std::byte* at, int i) { return bits(at + i / 64 * 32 + i % 32, i % 64 < 32 ? 0 : 4, 4); }

// Element i < 256 where bytes hold four pairs of bits: 32 bytes are elements 0..31 (lowest pairs) to 96..127.
int pair_of_128(const std::byte* at, int i) { return bits(at + i / 128 * 32 + i % 32, i % 128 / 32 * 2, 2); }

// Element i < 256 of 32 bytes whose bit b is of elements 32 b to 32 b + 31.
int bit_of_256(const std::byte* at, int i) { return bits(at + i % 32, i / 32, 1); }

// Q4_0: f16 d; nibbles. Q4_1: f16 d, f16 m; nibbles.
float q4_0(const std::byte* b, int i) { return half(b) * static_cast<float>(nibble(b + 2, i) - 8); }
float q4_1(const std::byte* b, int i) { return half(b) * static_cast<float>(nibble(b + 4, i)) + half(b + 2); }

// Q5_0: f16 d; 32 fifth bits; nibbles. Q5_1: f16 d, f16 m; the same.
float q5_0(const std::byte* b, int i) {
  return half(b) * static_cast<float>((nibble(b + 6, i) | fifth_bit(b + 2, i)) - 16);
}
float q5_1(const std::byte* b, int i) {
  return half(b) * static_cast<float>(nibble(b + 8, i) | fifth_bit(b + 4, i)) + half(b + 2);
}

// Q8_0: f16 d; 32 signed bytes.
float q8_0(const std::byte* b, int i) { return half(b) * static_cast<float>(signed_byte(b + 2 + i)); }

// IQ4_NL: f16 d; nibbles that pick a value. MXFP4: exponent; the same.
float iq4_nl(const std::byte* b, int i) {
  return half(b) * static_cast<float>(kIq4Values[static_cast<size_t>(nibble(b + 2, i))]);
}
float mxfp4(const std::byte* b, int i) {
  return mxfp4_scale(static_cast<uint8_t>(b[0])) *
         static_cast<float>(kMxfp4Values[static_cast<size_t>(nibble(b + 1, i))]);
}

// Q2_K: 16 bytes, each scale (low nibble) and minimum (high nibble) of 16 elements; pairs of bits; f16 d, f16 dmin.
float q2_k(const std::byte* b, int i) {
  const float scale = half(b + 80) * static_cast<float>(bits(b + i / 16, 0, 4));
  const float minimum = half(b + 82) * static_cast<float>(bits(b + i / 16, 4, 4));
  return scale * static_cast<float>(pair_of_128(b + 16, i)) - minimum;
}

// Q3_K: 32 bytes of third bits (0 there takes 4 away); pairs of bits; 12 bytes of 16 six-bit scales: scale s has its
// low nibble in byte s % 8, its upper bits in byte 8 + s % 4; f16 d.
float q3_k(const std::byte* b, int i) {
  const std::byte* scales = b + 96;
  const int s = i / 16;
  const int scale = (bits(scales + s % 8, s < 8 ? 0 : 4, 4) | bits(scales + 8 + s % 4, s / 4 * 2, 2) << 4) - 32;
  const int value = pair_of_128(b + 32, i) - (bit_of_256(b, i) == 0 ? 4 : 0);
  return half(b + 108) * static_cast<float>(scale) * static_cast<float>(value);
}

// Q4_K and Q5_K: f16 d, f16 dmin; 12 bytes of 8 six-bit scales and 8 minima, each of 32 elements. The first four have
// bytes of their own (scales 0..3, minima 4..7); of the last four the low nibbles share bytes 8..11, and the upper bits
// top those bytes.
struct ScaleAndMinimum {
  float scale, minimum;
};
ScaleAndMinimum scale_and_minimum(const std::byte* b, int i) {
  const std::byte* packed = b + 4;
  const int s = i / 32;
  int scale = bits(packed + s % 4, 0, 6), minimum = bits(packed + 4 + s % 4, 0, 6);
  if (s >= 4) {
    scale = bits(packed + 4 + s, 0, 4) | bits(packed + s % 4, 6, 2) << 4;
    minimum = bits(packed + 4 + s, 4, 4) | bits(packed + 4 + s % 4, 6, 2) << 4;
  }
  return {half(b) * static_cast<float>(scale), half(b + 2) * static_cast<float>(minimum)};
}

// Q4_K: nibbles follow. Q5_K: 32 bytes of fifth bits, then nibbles.
float q4_k(const std::byte* b, int i) {
  const auto [scale, minimum] = scale_and_minimum(b, i);
  return scale * static_cast<float>(nibble_of_64(b + 16, i)) - minimum;
}
float q5_k(const std::byte* b, int i) {
  const auto [scale, minimum] = scale_and_minimum(b, i);
  return scale * static_cast<float>(nibble_of_64(b + 48, i) | bit_of_256(b + 16, i) << 4) - minimum;
}

// Q6_K: 128 bytes of nibbles, of which 64 are elements 0..63 (low), 64..127 (high); pairs of upper bits; 16 signed
// bytes, each the scale of 16 elements; f16 d.
float q6_k(const std::byte* b, int i) {
  const int low = bits(b + i / 128 * 64 + i % 64, i % 128 < 64 ? 0 : 4, 4);
  const float scale = half(b + 208) * static_cast<float>(signed_byte(b + 192 + i / 16));
  return scale * static_cast<float>((low | pair_of_128(b + 128, i) << 4) - 32);
}

// IQ4_XS: f16 d; 8 pairs of upper bits, 8 nibbles: six-bit scales of 32 elements; nibbles that pick a value, 16 bytes
// for 32 elements as in IQ4_NL.
float iq4_xs(const std::byte* b, int i) {
  const int s = i / 32;
  const int scale = (bits(b + 4 + s / 2, s % 2 * 4, 4) | bits(b + 2 + s / 4, s % 4 * 2, 2) << 4) - 32;
  const int code = nibble(b + 8 + 16 * s, i % 32);
  return half(b) * static_cast<float>(scale) * static_cast<float>(kIq4Values[static_cast<size_t>(code)]);
}

template <int kElements>
void each(float (*element)(const std::byte*, int), const std::byte* block, float* out) {
  for (int i = 0; i < kElements; ++i) out[i] = element(block, i);
}

}  // namespace

float mxfp4_scale(uint8_t e) {
  return std::bit_cast<float>(e < 2 ? 0x00200000u << e : static_cast<uint32_t>(e - 1) << 23);
}

void dequantize_block(DType dtype, const std::byte* block, float* out) {
  switch (dtype) {
    case DType::kQ4_0:
      return each<32>(q4_0, block, out);
    case DType::kQ4_1:
      return each<32>(q4_1, block, out);
    case DType::kQ5_0:
      return each<32>(q5_0, block, out);
    case DType::kQ5_1:
      return each<32>(q5_1, block, out);
    case DType::kQ8_0:
      return each<32>(q8_0, block, out);
    case DType::kIQ4_NL:
      return each<32>(iq4_nl, block, out);
    case DType::kMXFP4:
      return each<32>(mxfp4, block, out);
    case DType::kQ2_K:
      return each<kSuperBlock>(q2_k, block, out);
    case DType::kQ3_K:
      return each<kSuperBlock>(q3_k, block, out);
    case DType::kQ4_K:
      return each<kSuperBlock>(q4_k, block, out);
    case DType::kQ5_K:
      return each<kSuperBlock>(q5_k, block, out);
    case DType::kQ6_K:
      return each<kSuperBlock>(q6_k, block, out);
    case DType::kIQ4_XS:
      return each<kSuperBlock>(iq4_xs, block, out);
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kI32:
    case DType::kI64:
      break;
  }
  CHECK(false, "not a quantized type");
}

}  // namespace orrery
