// How weights lie in a device's memory: a struct per stored type, which decodes the part of a block that one thread
// reads. The bits mean what kernels/block_formats.cpp says, and values have the same roundings.
//
// A part is kGroups groups of elements that share a scale, each of kRuns runs of kRun consecutive elements. Of a
// format:
//   kBlock, kBytes           elements and bytes of a block; rows are whole blocks
//   kParts                   parts of a block
//   first_element(part), offset(g, run)  their sum is the block's element that a run begins with
//   Part                     what load(block, part) reads: scale[g] where kScaled, least[g] where kLeast
//   unscaled(p, g, run, out) the run before its scale: a value is scale * unscaled + least, rounded twice
// Blocks are read in words as wide as every block of the format is aligned, given that the first one lies at an address
// that is a multiple of 16 (of kBytes for single floats): device memory has any alignment that a tensor needs.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "kernels/base/check.h"
#include "kernels/base/dtype.h"
#include "kernels/base/tensor.h"
#include "kernels/block_formats.h"
#include "kernels/cuda/language.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

// 4, 8 or 16 bytes that are read at once.
template <int kWords>
struct alignas(4 * kWords) Words {
  uint32_t word[kWords];
};

struct alignas(16) Float4 {
  float value[4];
};

__device__ inline uint32_t load_byte(const uint8_t* at) { return *at; }
__device__ inline uint32_t load_half_word(const uint8_t* at) { return *reinterpret_cast<const uint16_t*>(at); }
__device__ inline float load_half(const uint8_t* at) { return half_to_float(*reinterpret_cast<const uint16_t*>(at)); }

// Words at an address that is a multiple of kAlignment.
template <int kAlignment, int kWords>
__device__ inline void load_words(const uint8_t* at, uint32_t (&words)[kWords]) {
  if constexpr (kAlignment >= 4) {
    constexpr int kWide = kAlignment / 4 < kWords ? kAlignment / 4 : kWords;
    for (int i = 0; i < kWords; i += kWide) {
      const Words<kWide> wide = *reinterpret_cast<const Words<kWide>*>(at + 4 * i);
      for (int j = 0; j < kWide; ++j) words[i + j] = wide.word[j];
    }
  } else if constexpr (kAlignment == 2) {
    for (int i = 0; i < kWords; ++i) words[i] = load_half_word(at + 4 * i) | load_half_word(at + 4 * i + 2) << 16;
  } else {
    for (int i = 0; i < kWords; ++i) {
      words[i] = load_byte(at + 4 * i) | load_byte(at + 4 * i + 1) << 8 | load_byte(at + 4 * i + 2) << 16 |
                 load_byte(at + 4 * i + 3) << 24;
    }
  }
}

// The greatest power of two, up to 16, that divides n_bytes: the alignment of every block of that size.
constexpr int alignment_of_blocks(int n_bytes) {
  const int lowest_bit = n_bytes & -n_bytes;
  return lowest_bit < 16 ? lowest_bit : 16;
}

// Four bits to the lowest bits of four bytes: bit i is shifted by 7 i.
__device__ inline uint32_t spread_bits(uint32_t four) { return (four * 0x00204081u) & 0x01010101u; }

constexpr uint32_t kLowNibbles = 0x0f0f0f0fu;
constexpr uint32_t kLowPairs = 0x03030303u;
constexpr uint32_t kLowBits = 0x01010101u;

// A block-quantized format: an element is a byte, less kZero. Codes of a run are the bytes of a word.
template <int kElements, int kBlockBytes, int kPartsOfBlock, int kGroupsOfPart, int kZero, bool kHasLeast>
struct BlockFormat {
  static constexpr int kBlock = kElements;
  static constexpr int kBytes = kBlockBytes;
  static constexpr int kParts = kPartsOfBlock;
  static constexpr int kGroups = kGroupsOfPart;
  static constexpr int kRun = 4;
  static constexpr int kRuns = kElements / (kPartsOfBlock * kGroupsOfPart * kRun);
  static constexpr bool kScaled = true;
  static constexpr bool kLeast = kHasLeast;
  static constexpr int kAlignment = alignment_of_blocks(kBlockBytes);

  struct WithLeast {
    float least[kGroups];
  };
  struct WithoutLeast {};
  struct Part : std::conditional_t<kHasLeast, WithLeast, WithoutLeast> {
    uint32_t codes[kGroups][kRuns];
    float scale[kGroups];
  };

  // 2^23 + code is the float whose lowest bits are the code, so that taking 2^23 away converts it exactly.
  __device__ static void unscaled(const Part& part, int group, int run, float (&out)[kRun]) {
    for (uint32_t i = 0; i < kRun; ++i) {
      out[i] = bits_to_float(__byte_perm(part.codes[group][run], 0x4b000000u, 0x7440u + i)) -
               static_cast<float>(0x800000 + kZero);
    }
  }
};

// Blocks of 32 in 16 bytes of nibbles, the low ones first: a part is 8 of these bytes.
template <int kBlockBytes, int kZero, bool kHasLeast>
struct NibbleFormat : BlockFormat<32, kBlockBytes, 2, 1, kZero, kHasLeast> {
  __device__ static constexpr int first_element(int part) { return 8 * part; }
  __device__ static constexpr int offset(int /*group*/, int run) { return run / 2 * 16 + run % 2 * 4; }
  __device__ static void split(const uint32_t (&words)[2], uint32_t (&codes)[1][4]) {
    for (int i = 0; i < 2; ++i) {
      codes[0][i] = words[i] & kLowNibbles;
      codes[0][2 + i] = words[i] >> 4 & kLowNibbles;
    }
  }
  // Adds the fifth bits; bit i of the 4 bytes is of element i.
  __device__ static void add_fifth_bits(const uint8_t* bytes, int part, uint32_t (&codes)[1][4]) {
    for (int half = 0; half < 2; ++half) {
      const uint32_t bits = load_byte(bytes + part + 2 * half);
      codes[0][2 * half] |= spread_bits(bits & 15) << 4;
      codes[0][2 * half + 1] |= spread_bits(bits >> 4) << 4;
    }
  }
};

// Sixteen signed bytes plus 128, for look-ups by nibble.
struct NibbleTable {
  uint32_t words[4];
};
constexpr NibbleTable nibble_table(const std::array<int8_t, 16>& values) {
  NibbleTable table{};
  for (uint32_t i = 0; i < 16; ++i) {
    table.words[i / 4] |= static_cast<uint32_t>(values[i] + 128) << (i % 4 * 8);
  }
  return table;
}
struct Iq4Table {
  static constexpr NibbleTable kTable = nibble_table(kIq4Values);
};
struct Mxfp4Table {
  static constexpr NibbleTable kTable = nibble_table(kMxfp4Values);
};

// The table's bytes for the four nibbles of 16 bits.
template <class Table>
__device__ inline uint32_t look_up_four(uint32_t nibbles) {
  constexpr uint32_t k0 = Table::kTable.words[0], k1 = Table::kTable.words[1];
  constexpr uint32_t k2 = Table::kTable.words[2], k3 = Table::kTable.words[3];
  // Three bits pick among the first eight and the last eight; the fourth picks between both.
  const uint32_t first = __byte_perm(k0, k1, nibbles & 0x7777u), last = __byte_perm(k2, k3, nibbles & 0x7777u);
  return __byte_perm(first, last, 0x3210u + (nibbles >> 1 & 0x4444u));
}
// The table's bytes for the low nibbles of four bytes, and for the high ones.
template <class Table>
__device__ inline void look_up(uint32_t bytes, uint32_t& low, uint32_t& high) {
  const uint32_t first = look_up_four<Table>(bytes & 0xffffu), last = look_up_four<Table>(bytes >> 16);
  low = __byte_perm(first, last, 0x6420u);
  high = __byte_perm(first, last, 0x7531u);
}

namespace stored {

// Floats in 16 bytes, where rows are multiples of that.
template <int kBytesOfOne>
struct FloatFormat {
  static constexpr int kBlock = 16 / kBytesOfOne;
  static constexpr int kBytes = 16;
  static constexpr int kParts = 1;
  static constexpr int kGroups = 1;
  static constexpr int kRun = 4;
  static constexpr int kRuns = kBlock / kRun;
  static constexpr bool kScaled = false;
  static constexpr bool kLeast = false;

  struct Part {
    uint32_t words[4];
  };
  __device__ static constexpr int first_element(int /*part*/) { return 0; }
  __device__ static constexpr int offset(int /*group*/, int run) { return kRun * run; }
  __device__ static Part load(const uint8_t* block, int /*part*/) {
    Part p;
    load_words<16>(block, p.words);
    return p;
  }
};

struct F32 : FloatFormat<4> {
  __device__ static void unscaled(const Part& p, int /*group*/, int /*run*/, float (&out)[kRun]) {
    for (int i = 0; i < kRun; ++i) out[i] = bits_to_float(p.words[i]);
  }
};

struct F16 : FloatFormat<2> {
  __device__ static void unscaled(const Part& p, int /*group*/, int run, float (&out)[kRun]) {
    for (int i = 0; i < kRun; ++i) {
      out[i] = half_to_float(static_cast<uint16_t>(p.words[2 * run + i / 2] >> (i % 2 * 16)));
    }
  }
};

struct BF16 : FloatFormat<2> {
  __device__ static void unscaled(const Part& p, int /*group*/, int run, float (&out)[kRun]) {
    for (int i = 0; i < kRun; ++i) {
      const uint32_t word = p.words[2 * run + i / 2];
      out[i] = bits_to_float(i % 2 == 0 ? word << 16 : word & 0xffff0000u);
    }
  }
};

// Floats one by one, where rows have any length.
template <int kBytesOfOne>
struct SingleFormat {
  static constexpr int kBlock = 1;
  static constexpr int kBytes = kBytesOfOne;
  static constexpr int kParts = 1;
  static constexpr int kGroups = 1;
  static constexpr int kRun = 1;
  static constexpr int kRuns = 1;
  static constexpr bool kScaled = false;
  static constexpr bool kLeast = false;

  struct Part {
    float value;
  };
  __device__ static constexpr int first_element(int /*part*/) { return 0; }
  __device__ static constexpr int offset(int /*group*/, int /*run*/) { return 0; }
  __device__ static void unscaled(const Part& p, int /*group*/, int /*run*/, float (&out)[kRun]) { out[0] = p.value; }
};

struct SingleF32 : SingleFormat<4> {
  __device__ static Part load(const uint8_t* at, int /*part*/) { return {*reinterpret_cast<const float*>(at)}; }
};
struct SingleF16 : SingleFormat<2> {
  __device__ static Part load(const uint8_t* at, int /*part*/) { return {load_half(at)}; }
};
struct SingleBF16 : SingleFormat<2> {
  __device__ static Part load(const uint8_t* at, int /*part*/) { return {bits_to_float(load_half_word(at) << 16)}; }
};

// f16 d; nibbles.
struct Q4_0 : NibbleFormat<18, 8, false> {
  __device__ static Part load(const uint8_t* block, int part) {
    Part p;
    uint32_t words[2];
    load_words<kAlignment>(block + 2 + 8 * part, words);
    split(words, p.codes);
    p.scale[0] = load_half(block);
    return p;
  }
};

// f16 d, f16 m; nibbles.
struct Q4_1 : NibbleFormat<20, 0, true> {
  __device__ static Part load(const uint8_t* block, int part) {
    Part p;
    uint32_t words[2];
    load_words<kAlignment>(block + 4 + 8 * part, words);
    split(words, p.codes);
    p.scale[0] = load_half(block);
    p.least[0] = load_half(block + 2);
    return p;
  }
};

// f16 d; 32 fifth bits; nibbles.
struct Q5_0 : NibbleFormat<22, 16, false> {
  __device__ static Part load(const uint8_t* block, int part) {
    Part p;
    uint32_t words[2];
    load_words<kAlignment>(block + 6 + 8 * part, words);
    split(words, p.codes);
    add_fifth_bits(block + 2, part, p.codes);
    p.scale[0] = load_half(block);
    return p;
  }
};

// f16 d, f16 m; 32 fifth bits; nibbles.
struct Q5_1 : NibbleFormat<24, 0, true> {
  __device__ static Part load(const uint8_t* block, int part) {
    Part p;
    uint32_t words[2];
    load_words<kAlignment>(block + 8 + 8 * part, words);
    split(words, p.codes);
    add_fifth_bits(block + 4, part, p.codes);
    p.scale[0] = load_half(block);
    p.least[0] = load_half(block + 2);
    return p;
  }
};

// f16 d; 32 signed bytes, to which the codes add 128.
struct Q8_0 : BlockFormat<32, 34, 4, 1, 128, false> {
  __device__ static constexpr int first_element(int part) { return 8 * part; }
  __device__ static constexpr int offset(int /*group*/, int run) { return 4 * run; }
  __device__ static Part load(const uint8_t* block, int part) {
    Part p;
    load_words<kAlignment>(block + 2 + 8 * part, p.codes[0]);
    for (int i = 0; i < kRuns; ++i) p.codes[0][i] ^= 0x80808080u;
    p.scale[0] = load_half(block);
    return p;
  }
};

// f16 d; nibbles that pick a value.
struct IQ4_NL : NibbleFormat<18, 128, false> {
  __device__ static Part load(const uint8_t* block, int part) {
    Part p;
    uint32_t words[2];
    load_words<kAlignment>(block + 2 + 8 * part, words);
    for (int i = 0; i < 2; ++i) look_up<Iq4Table>(words[i], p.codes[0][i], p.codes[0][2 + i]);
    p.scale[0] = load_half(block);
    return p;
  }
};

// Exponent of a scale (mxfp4_scale()); nibbles that pick a value.
struct MXFP4 : NibbleFormat<17, 128, false> {
  __device__ static Part load(const uint8_t* block, int part) {
    Part p;
    uint32_t words[2];
    load_words<kAlignment>(block + 1 + 8 * part, words);
    for (int i = 0; i < 2; ++i) look_up<Mxfp4Table>(words[i], p.codes[0][i], p.codes[0][2 + i]);
    const uint32_t e = load_byte(block);
    p.scale[0] = bits_to_float(e < 2 ? 0x00200000u << e : (e - 1) << 23);
    return p;
  }
};

// Blocks of 256 in two halves, in which a byte of pairs of bits is of 4 elements that lie 32 apart. A part is 8 such
// bytes of a half: 4 groups of 8 elements. Each 16 elements of a block have a scale.
template <int kBlockBytes, int kZero, bool kHasLeast>
struct PairFormat : BlockFormat<256, kBlockBytes, 8, 4, kZero, kHasLeast> {
  __device__ static constexpr int half(int part) { return part / 4; }
  __device__ static constexpr int first_byte(int part) { return part % 4 * 8; }  // of the half
  __device__ static constexpr int first_element(int part) { return 128 * half(part) + first_byte(part); }
  __device__ static constexpr int offset(int group, int run) { return 32 * group + 4 * run; }
  __device__ static constexpr int scale_of(int part, int group) { return (first_element(part) + 32 * group) / 16; }
};

// 16 bytes, each scale (low nibble) and minimum (high nibble) of 16 elements; pairs of bits; f16 d, f16 dmin.
struct Q2_K : PairFormat<84, 0, true> {
  __device__ static Part load(const uint8_t* block, int part) {
    Part p;
    uint32_t pairs[2];
    load_words<kAlignment>(block + 16 + 32 * half(part) + first_byte(part), pairs);
    const float d = load_half(block + 80), dmin = load_half(block + 82);
    for (int g = 0; g < kGroups; ++g) {
      for (int i = 0; i < kRuns; ++i) p.codes[g][i] = pairs[i] >> (2 * g) & kLowPairs;
      const uint32_t scales = load_byte(block + scale_of(part, g));
      p.scale[g] = d * static_cast<float>(scales & 15);
      p.least[g] = -(dmin * static_cast<float>(scales >> 4));
    }
    return p;
  }
};

// 32 bytes of third bits (0 there takes 4 away), bit b of elements 32 b to 32 b + 31; pairs of bits; 12 bytes of 16
// six-bit scales: scale s has its low nibble in byte s % 8, its upper bits in byte 8 + s % 4; f16 d.
struct Q3_K : PairFormat<110, 4, false> {
  __device__ static Part load(const uint8_t* block, int part) {
    Part p;
    uint32_t pairs[2], thirds[2];
    load_words<kAlignment>(block + 32 + 32 * half(part) + first_byte(part), pairs);
    load_words<kAlignment>(block + first_byte(part), thirds);
    const float d = load_half(block + 108);
    for (int g = 0; g < kGroups; ++g) {
      for (int i = 0; i < kRuns; ++i) {
        p.codes[g][i] = (pairs[i] >> (2 * g) & kLowPairs) | (thirds[i] >> (4 * half(part) + g) & kLowBits) << 2;
      }
      const int s = scale_of(part, g);
      const uint32_t low = load_byte(block + 96 + s % 8) >> (4 * half(part)) & 15;
      const uint32_t upper = load_byte(block + 104 + s % 4) >> (s / 4 * 2) & 3;
      p.scale[g] = d * static_cast<float>(static_cast<int>(low | upper << 4) - 32);
    }
    return p;
  }
};

// 128 bytes of nibbles, of which 64 are elements 0..63 (low), 64..127 (high); pairs of upper bits; 16 signed bytes,
// each the scale of 16 elements; f16 d.
struct Q6_K : PairFormat<210, 32, false> {
  __device__ static Part load(const uint8_t* block, int part) {
    Part p;
    uint32_t low[2][2], upper[2];
    for (int i = 0; i < 2; ++i) load_words<kAlignment>(block + 64 * half(part) + 32 * i + first_byte(part), low[i]);
    load_words<kAlignment>(block + 128 + 32 * half(part) + first_byte(part), upper);
    const float d = load_half(block + 208);
    for (int g = 0; g < kGroups; ++g) {
      for (int i = 0; i < kRuns; ++i) {
        p.codes[g][i] = (low[g % 2][i] >> (g / 2 * 4) & kLowNibbles) | (upper[i] >> (2 * g) & kLowPairs) << 4;
      }
      const auto scale = static_cast<int8_t>(load_byte(block + 192 + scale_of(part, g)));
      p.scale[g] = d * static_cast<float>(scale);
    }
    return p;
  }
};

// Q4_K and Q5_K: f16 d, f16 dmin; 12 bytes of 8 six-bit scales and 8 minima, each of 32 elements; 128 bytes of nibbles,
// of which 32 are elements 0..31 (low), 32..63 (high). A part is 16 such bytes: two groups with consecutive scales.
template <int kBlockBytes>
struct NibbleSuperFormat : BlockFormat<256, kBlockBytes, 8, 2, 0, true> {
  using Base = BlockFormat<256, kBlockBytes, 8, 2, 0, true>;
  __device__ static constexpr int first_byte(int part) { return part % 2 * 16; }  // of the 32
  __device__ static constexpr int first_element(int part) { return part / 2 * 64 + first_byte(part); }
  __device__ static constexpr int offset(int group, int run) { return 32 * group + 4 * run; }
  __device__ static void load_nibbles(const uint8_t* nibbles, int part, typename Base::Part& p) {
    uint32_t words[4];
    load_words<Base::kAlignment>(nibbles + 16 * part, words);
    for (int i = 0; i < 4; ++i) {
      p.codes[0][i] = words[i] & kLowNibbles;
      p.codes[1][i] = words[i] >> 4 & kLowNibbles;
    }
  }
  // Of the scales the first four have bytes of their own (scales 0..3, minima 4..7); of the last four the low nibbles
  // share bytes 8..11, and the upper bits top those bytes. Two consecutive ones at a time.
  __device__ static void load_scales(const uint8_t* block, int part, typename Base::Part& p) {
    uint32_t header[4];
    load_words<Base::kAlignment>(block, header);
    const int pair = part / 2, shift = pair % 2 * 16;
    const uint32_t first = header[1] >> shift, second = header[2] >> shift, third = header[3] >> shift;
    uint32_t scales = first & 0x3f3fu, minima = second & 0x3f3fu;
    if (pair >= 2) {
      scales = (third & 0x0f0fu) | (first >> 2 & 0x3030u);
      minima = (third >> 4 & 0x0f0fu) | (second >> 2 & 0x3030u);
    }
    const float d = half_to_float(static_cast<uint16_t>(header[0]));
    const float dmin = half_to_float(static_cast<uint16_t>(header[0] >> 16));
    for (int g = 0; g < 2; ++g) {
      p.scale[g] = d * static_cast<float>(scales >> (8 * g) & 0xff);
      p.least[g] = -(dmin * static_cast<float>(minima >> (8 * g) & 0xff));
    }
  }
};

struct Q4_K : NibbleSuperFormat<144> {
  __device__ static Part load(const uint8_t* block, int part) {
    Part p;
    load_nibbles(block + 16, part, p);
    load_scales(block, part, p);
    return p;
  }
};

// Before the nibbles, 32 bytes of fifth bits: bit b is of elements 32 b to 32 b + 31.
struct Q5_K : NibbleSuperFormat<176> {
  __device__ static Part load(const uint8_t* block, int part) {
    Part p;
    load_nibbles(block + 48, part, p);
    load_scales(block, part, p);
    uint32_t fifths[4];
    load_words<kAlignment>(block + 16 + first_byte(part), fifths);
    for (int g = 0; g < kGroups; ++g) {
      for (int i = 0; i < kRuns; ++i) p.codes[g][i] |= (fifths[i] >> (part / 2 * 2 + g) & kLowBits) << 4;
    }
    return p;
  }
};

// f16 d; 8 pairs of upper bits, 8 nibbles: six-bit scales of 32 elements; nibbles that pick a value, 16 bytes for 32
// elements, which are a part.
struct IQ4_XS : BlockFormat<256, 136, 8, 1, 128, false> {
  __device__ static constexpr int first_element(int part) { return 32 * part; }
  __device__ static constexpr int offset(int /*group*/, int run) { return run / 4 * 16 + run % 4 * 4; }
  __device__ static Part load(const uint8_t* block, int part) {
    Part p;
    uint32_t header[2], words[4];
    load_words<kAlignment>(block, header);
    load_words<kAlignment>(block + 8 + 16 * part, words);
    for (int i = 0; i < 4; ++i) look_up<Iq4Table>(words[i], p.codes[0][i], p.codes[0][4 + i]);
    const uint32_t scale = (header[1] >> (4 * part) & 15) | (header[0] >> (16 + 2 * part) & 3) << 4;
    p.scale[0] = half_to_float(static_cast<uint16_t>(header[0])) * static_cast<float>(static_cast<int>(scale) - 32);
    return p;
  }
};

}  // namespace stored

// Whether rows are multiples of 16 bytes that lie at multiples of 16.
inline bool is_wide(const TensorView& weight) {
  return reinterpret_cast<uintptr_t>(weight.data) % 16 == 0 &&
         row_bytes(weight.dtype, static_cast<size_t>(weight.n_cols())) % 16 == 0;
}

// Calls `use` with the format of a tensor that matmul_supports(). Floats that are not wide are read one by one.
template <class Use>
void with_format(const TensorView& weight, Use&& use) {
  const bool wide = is_wide(weight);
  switch (weight.dtype) {
    case DType::kF32:
      return wide ? use(stored::F32()) : use(stored::SingleF32());
    case DType::kF16:
      return wide ? use(stored::F16()) : use(stored::SingleF16());
    case DType::kBF16:
      return wide ? use(stored::BF16()) : use(stored::SingleBF16());
    case DType::kQ4_0:
      return use(stored::Q4_0());
    case DType::kQ4_1:
      return use(stored::Q4_1());
    case DType::kQ5_0:
      return use(stored::Q5_0());
    case DType::kQ5_1:
      return use(stored::Q5_1());
    case DType::kQ8_0:
      return use(stored::Q8_0());
    case DType::kIQ4_NL:
      return use(stored::IQ4_NL());
    case DType::kMXFP4:
      return use(stored::MXFP4());
    case DType::kQ2_K:
      return use(stored::Q2_K());
    case DType::kQ3_K:
      return use(stored::Q3_K());
    case DType::kQ4_K:
      return use(stored::Q4_K());
    case DType::kQ5_K:
      return use(stored::Q5_K());
    case DType::kQ6_K:
      return use(stored::Q6_K());
    case DType::kIQ4_XS:
      return use(stored::IQ4_XS());
    case DType::kI32:
    case DType::kI64:
      break;
  }
  CHECK(false, "an integer tensor is no weight");
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
