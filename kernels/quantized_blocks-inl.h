// How blocks of quantized weights (block_formats.h tells their layouts) are turned for matmul: the same block of kLanes
// weight rows becomes vectors whose lane o holds four consecutive elements of row o as bytes ("quads"), and the scales
// of each row in its lane. Included by Highway's foreach_target, so guarded by its toggle.
#if defined(ORRERY_KERNELS_QUANTIZED_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ORRERY_KERNELS_QUANTIZED_BLOCKS_INL_H_
#undef ORRERY_KERNELS_QUANTIZED_BLOCKS_INL_H_
#else
#define ORRERY_KERNELS_QUANTIZED_BLOCKS_INL_H_
#endif

#include <utility>

#include "kernels/block_formats.h"
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR

using DU = hn::RebindToUnsigned<DF>;
using VU = hn::Vec<DU>;

// VPDPBUSD multiplies unsigned bytes with signed ones.
constexpr bool kHasUnsignedDot = HWY_TARGET == HWY_AVX3_DL;

constexpr int64_t kQuads = 8;  // of 32 elements

// 32 elements of kLanes weight rows. An element is worth d * (byte - offset) + m, with the d and m of its half if the
// form has halves, d[0] and m[0] otherwise.
struct TurnedBlock {
  VU quads[kQuads];
  VF d[2];
  VF m[2];
};

// What the arithmetic needs to know of a format. Bytes are unsigned with an offset of 2^kOffsetBits (none: 0), at most
// 63; those of wide forms take all 8 bits: signed, or unsigned with an offset of 128 where that multiplies faster.
template <int kBits, bool kHasMin, bool kInHalves>
struct BlockForm {
  using Form = BlockForm;
  static constexpr int kOffsetBits = kBits;
  static constexpr bool kMin = kHasMin;       // m is used
  static constexpr bool kHalves = kInHalves;  // elements 0..15 and 16..31 have their own d and m
  static constexpr bool kWide = kOffsetBits == 7;
  static constexpr bool kOffset = kOffsetBits > 0 && (!kWide || kHasUnsignedDot);
  static constexpr int kScales = kHalves ? 2 : 1;
};

// 16 bytes each of rows 0, 4, 8, 12 from `row` on, as far as there are lanes: block L holds row 4 L.
HWY_INLINE VU load_every_fourth_row(const uint8_t* row, [[maybe_unused]] size_t stride) {
#if HWY_TARGET <= HWY_AVX3
  const auto at = [=](size_t i)
                      HWY_ATTR { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + i * 4 * stride)); };
  __m512i v = _mm512_castsi128_si512(at(0));
  v = _mm512_inserti32x4(v, at(1), 1);
  v = _mm512_inserti32x4(v, at(2), 2);
  return VU{_mm512_inserti32x4(v, at(3), 3)};
#elif HWY_TARGET == HWY_AVX2
  const __m256i v = _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row)));
  return VU{_mm256_inserti128_si256(v, _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + 4 * stride)), 1)};
#else
  static_assert(kLanes == 4);
  return hn::BitCast(DU(), hn::LoadU(hn::Repartition<uint8_t, DU>(), row));
#endif
}

// Turns 16 bytes of each of kLanes rows: lane o of quads[i] holds bytes 4 i .. 4 i + 3 of row o.
HWY_INLINE void turn_16_bytes(const uint8_t* row, size_t stride, VU* HWY_RESTRICT quads) {
  const DU du;
  const hn::Repartition<uint64_t, DU> du64;
  const VU a = load_every_fourth_row(row, stride), b = load_every_fourth_row(row + stride, stride);
  const VU c = load_every_fourth_row(row + 2 * stride, stride), e = load_every_fourth_row(row + 3 * stride, stride);
  const auto ab_low = hn::BitCast(du64, hn::InterleaveLower(du, a, b));
  const auto ab_high = hn::BitCast(du64, hn::InterleaveUpper(du, a, b));
  const auto ce_low = hn::BitCast(du64, hn::InterleaveLower(du, c, e));
  const auto ce_high = hn::BitCast(du64, hn::InterleaveUpper(du, c, e));
  quads[0] = hn::BitCast(du, hn::InterleaveLower(du64, ab_low, ce_low));
  quads[1] = hn::BitCast(du, hn::InterleaveUpper(du64, ab_low, ce_low));
  quads[2] = hn::BitCast(du, hn::InterleaveLower(du64, ab_high, ce_high));
  quads[3] = hn::BitCast(du, hn::InterleaveUpper(du64, ab_high, ce_high));
}

// Half floats in the low 16 bits of each lane.
HWY_INLINE VF half_to_float(VU bits) {
#if HWY_TARGET <= HWY_AVX3
  return VF{_mm512_cvtph_ps(_mm512_cvtepi32_epi16(bits.raw))};
#else
  const hn::Rebind<uint16_t, DU> du16;
  const hn::Rebind<hwy::float16_t, DF> dh;
  const auto low = hn::And(bits, hn::Set(DU(), 0xffff));
  return hn::PromoteTo(DF(), hn::BitCast(dh, hn::DemoteTo(du16, hn::BitCast(DI(), low))));
#endif
}

// The same block of kLanes weight rows, as stored.
struct StoredBlocks {
  const uint8_t* at;  // of the first row
  size_t stride;      // bytes from row to row
  VI offsets;         // byte offset of each row

  // Four bytes of each row in its lane.
  HWY_INLINE VU word(size_t offset) const {
    return hn::BitCast(DU(), hn::GatherOffset(DI(), reinterpret_cast<const int32_t*>(at + offset), offsets));
  }
  // kCount bytes of each row: lane o of quads[i] holds bytes offset + 4 i .. offset + 4 i + 3 of row o.
  template <size_t kCount>
  HWY_INLINE void turn(size_t offset, VU* HWY_RESTRICT quads) const {
    static_assert(kCount % 16 == 0);
    for (size_t i = 0; i < kCount; i += 16) turn_16_bytes(at + offset + i, stride, quads + i / 4);
  }
};

HWY_INLINE VU repeated(uint32_t byte) { return hn::Set(DU(), byte * 0x01010101u); }

// Moves the bits of every byte from kFrom on to kTo; those that come in from the neighbours are to be masked.
template <int kFrom, int kTo>
HWY_INLINE VU move_bits(VU bytes) {
  if constexpr (kFrom >= kTo) return hn::ShiftRight<kFrom - kTo>(bytes);
  return hn::ShiftLeft<(kTo > kFrom ? kTo - kFrom : 0)>(bytes);
}
// kCount bits from kFrom on, as the lowest of each byte.
template <int kFrom, int kCount>
HWY_INLINE VU bits(VU bytes) {
  return hn::And(move_bits<kFrom, 0>(bytes), repeated((1u << kCount) - 1));
}
// `low` with kCount bits of `bytes`, from kFrom on, put in from kTo on.
template <int kFrom, int kCount, int kTo>
HWY_INLINE VU with_bits(VU low, VU bytes) {
  return hn::OrAnd(low, move_bits<kFrom, kTo>(bytes), repeated(((1u << kCount) - 1) << kTo));
}

// Takes the lowest kBits of every lane away, as a number.
template <int kBits>
HWY_INLINE VF take_number(VU& packed) {
  const VU taken = hn::And(packed, hn::Set(DU(), (1u << kBits) - 1));
  packed = hn::ShiftRight<kBits>(packed);
  return hn::ConvertTo(DF(), hn::BitCast(DI(), taken));
}
HWY_INLINE VF take_signed_byte(VU& packed) {
  const VI taken = hn::ShiftRight<24>(hn::BitCast(DI(), hn::ShiftLeft<24>(packed)));
  packed = hn::ShiftRight<8>(packed);
  return hn::ConvertTo(DF(), taken);
}

// Signed bytes as wide forms want them.
HWY_INLINE VU wide_bytes(VU signed_bytes) {
  return kHasUnsignedDot ? hn::Xor(signed_bytes, repeated(0x80)) : signed_bytes;
}

// 32 elements from 16 bytes: the low nibbles come first.
HWY_INLINE void turn_nibbles(const StoredBlocks& rows, size_t offset, VU* HWY_RESTRICT quads) {
  rows.turn<16>(offset, quads);
  for (int64_t i = 0; i < 4; ++i) {
    quads[i + 4] = bits<4, 4>(quads[i]);
    quads[i] = bits<0, 4>(quads[i]);
  }
}

// Adds 16 to the elements whose bit is set in 32 bits of each row.
HWY_INLINE void add_fifth_bits(VU bits, VU* HWY_RESTRICT quads) {
  const hn::Repartition<uint8_t, DU> d8;
  // Bytes 0..3 of a lane, each four times, against the lower or the upper four bits.
  const auto first_byte = hn::And(hn::Iota(d8, 0), hn::Set(d8, 12));  // of the lane, within 16 bytes
  const auto lower = hn::BitCast(d8, hn::Set(DU(), 0x08040201u)), upper = hn::BitCast(d8, hn::Set(DU(), 0x80402010u));
  const auto sixteen = hn::Set(d8, 16);
  for (int64_t i = 0; i < 4; ++i) {
    const auto index = hn::Add(first_byte, hn::Set(d8, static_cast<uint8_t>(i)));
    const auto copies = hn::TableLookupBytes(hn::BitCast(d8, bits), index);
    for (int64_t half = 0; half < 2; ++half) {
      const auto set = hn::TestBit(copies, half == 0 ? lower : upper);
      quads[2 * i + half] = hn::Or(quads[2 * i + half], hn::BitCast(DU(), hn::IfThenElseZero(set, sixteen)));
    }
  }
}

// The bytes that the nibbles of 32 elements pick from a table of 16.
HWY_INLINE void look_up(VU table, VU* HWY_RESTRICT quads) {
  const hn::Repartition<uint8_t, DU> d8;
  for (int64_t i = 0; i < kQuads; ++i) {
    quads[i] = hn::BitCast(DU(), hn::TableLookupBytes(hn::BitCast(d8, table), hn::BitCast(d8, quads[i])));
  }
}
HWY_INLINE VU table_of(const std::array<int8_t, 16>& values) {
  const hn::Repartition<int8_t, DU> d8;
  return hn::BitCast(DU(), hn::LoadDup128(d8, values.data()));
}

// visit(0), …, visit(kCount - 1) with the number known to the compiler, for shifts.
template <class Visit, int... kNumbers>
HWY_INLINE void for_each_of(std::integer_sequence<int, kNumbers...>, Visit visit) {
  (visit(std::integral_constant<int, kNumbers>()), ...);
}
template <int kCount, class Visit>
HWY_INLINE void unrolled(Visit visit) {
  for_each_of(std::make_integer_sequence<int, kCount>(), visit);
}

// Each format below is a BlockForm with the bytes of a block, the parts of 32 elements that it holds, and
// turn(rows, parts[kParts]).

struct BlockQ4_0 : BlockForm<3, false, false> {
  static constexpr size_t kBytes = 18;
  static constexpr int64_t kParts = 1;
  static HWY_INLINE void turn(const StoredBlocks& rows, TurnedBlock* HWY_RESTRICT parts) {
    parts->d[0] = half_to_float(rows.word(0));
    turn_nibbles(rows, 2, parts->quads);
  }
};

struct BlockQ4_1 : BlockForm<0, true, false> {
  static constexpr size_t kBytes = 20;
  static constexpr int64_t kParts = 1;
  static HWY_INLINE void turn(const StoredBlocks& rows, TurnedBlock* HWY_RESTRICT parts) {
    const VU head = rows.word(0);
    parts->d[0] = half_to_float(head);
    parts->m[0] = half_to_float(hn::ShiftRight<16>(head));
    turn_nibbles(rows, 4, parts->quads);
  }
};

struct BlockQ5_0 : BlockForm<4, false, false> {
  static constexpr size_t kBytes = 22;
  static constexpr int64_t kParts = 1;
  static HWY_INLINE void turn(const StoredBlocks& rows, TurnedBlock* HWY_RESTRICT parts) {
    parts->d[0] = half_to_float(rows.word(0));
    turn_nibbles(rows, 6, parts->quads);
    add_fifth_bits(rows.word(2), parts->quads);
  }
};

struct BlockQ5_1 : BlockForm<0, true, false> {
  static constexpr size_t kBytes = 24;
  static constexpr int64_t kParts = 1;
  static HWY_INLINE void turn(const StoredBlocks& rows, TurnedBlock* HWY_RESTRICT parts) {
    const VU head = rows.word(0);
    parts->d[0] = half_to_float(head);
    parts->m[0] = half_to_float(hn::ShiftRight<16>(head));
    turn_nibbles(rows, 8, parts->quads);
    add_fifth_bits(rows.word(4), parts->quads);
  }
};

struct BlockQ8_0 : BlockForm<7, false, false> {
  static constexpr size_t kBytes = 34;
  static constexpr int64_t kParts = 1;
  static HWY_INLINE void turn(const StoredBlocks& rows, TurnedBlock* HWY_RESTRICT parts) {
    parts->d[0] = half_to_float(rows.word(0));
    rows.turn<32>(2, parts->quads);
    for (int64_t i = 0; i < kQuads; ++i) parts->quads[i] = wide_bytes(parts->quads[i]);
  }
};

struct BlockIQ4_NL : BlockForm<7, false, false> {
  static constexpr size_t kBytes = 18;
  static constexpr int64_t kParts = 1;
  static HWY_INLINE void turn(const StoredBlocks& rows, TurnedBlock* HWY_RESTRICT parts) {
    parts->d[0] = half_to_float(rows.word(0));
    turn_nibbles(rows, 2, parts->quads);
    look_up(wide_bytes(table_of(kIq4Values)), parts->quads);
  }
};

struct BlockMXFP4 : BlockForm<4, false, false> {
  static constexpr size_t kBytes = 17;
  static constexpr int64_t kParts = 1;
  static HWY_INLINE void turn(const StoredBlocks& rows, TurnedBlock* HWY_RESTRICT parts) {
    const DU du;
    const VU e = hn::And(rows.word(0), hn::Set(du, 255));
    const VU normal = hn::ShiftLeft<23>(hn::Sub(e, hn::Set(du, 1)));
    const VU subnormal = hn::ShiftLeft<21>(hn::Add(e, hn::Set(du, 1)));  // 2^21 for e = 0, 2^22 for e = 1
    parts->d[0] = hn::BitCast(DF(), hn::IfThenElse(hn::Lt(e, hn::Set(du, 2)), subnormal, normal));
    turn_nibbles(rows, 1, parts->quads);
    const hn::Repartition<int8_t, DU> d8;
    const auto table = hn::Add(hn::BitCast(d8, table_of(kMxfp4Values)), hn::Set(d8, 16));
    look_up(hn::BitCast(du, table), parts->quads);
  }
};

struct BlockQ2_K : BlockForm<0, true, true> {
  static constexpr size_t kBytes = 84;
  static constexpr int64_t kParts = 8;
  static HWY_INLINE void turn(const StoredBlocks& rows, TurnedBlock* HWY_RESTRICT parts) {
    const VU heads = rows.word(80);
    const VF d = half_to_float(heads), minus_m = hn::Neg(half_to_float(hn::ShiftRight<16>(heads)));
    VU scales[4];
    rows.turn<16>(0, scales);
    for (int64_t part = 0; part < kParts; ++part) {
      for (int64_t half = 0; half < 2; ++half) {
        parts[part].d[half] = hn::Mul(d, take_number<4>(scales[part / 2]));
        parts[part].m[half] = hn::Mul(minus_m, take_number<4>(scales[part / 2]));
      }
    }
    for (int64_t group = 0; group < 2; ++group) {
      VU pairs[kQuads];
      rows.turn<32>(static_cast<size_t>(16 + 32 * group), pairs);
      unrolled<4>([&](auto part) HWY_ATTR {
        VU* HWY_RESTRICT quads = parts[4 * group + part].quads;
        for (int64_t i = 0; i < kQuads; ++i) quads[i] = bits<2 * part, 2>(pairs[i]);
      });
    }
  }
};

struct BlockQ3_K : BlockForm<2, false, true> {
  static constexpr size_t kBytes = 110;
  static constexpr int64_t kParts = 8;
  static HWY_INLINE void turn(const StoredBlocks& rows, TurnedBlock* HWY_RESTRICT parts) {
    VU tail[4];  // of the last 16 bytes: two elements' bytes, 12 of scales, d
    rows.turn<16>(94, tail);
    const VF d = half_to_float(hn::ShiftRight<16>(tail[3]));
    VU packed[3];  // the scales' 12 bytes
    for (int64_t i = 0; i < 3; ++i) packed[i] = hn::Or(hn::ShiftRight<16>(tail[i]), hn::ShiftLeft<16>(tail[i + 1]));
    unrolled<4>([&](auto four) HWY_ATTR {  // scales 4 * four to 4 * four + 3
      VU scales = with_bits<2 * four, 2, 4>(bits<four / 2 * 4, 4>(packed[four % 2]), packed[2]);
      for (int64_t scale = 4 * four; scale < 4 * four + 4; ++scale) {
        parts[scale / 2].d[scale % 2] = hn::Mul(d, hn::Sub(take_number<8>(scales), hn::Set(DF(), 32.0f)));
      }
    });
    VU third[kQuads];
    rows.turn<32>(0, third);
    unrolled<2>([&](auto group) HWY_ATTR {
      VU pairs[kQuads];
      rows.turn<32>(32 + 32 * group, pairs);
      unrolled<4>([&](auto part) HWY_ATTR {
        VU* HWY_RESTRICT quads = parts[4 * group + part].quads;
        for (int64_t i = 0; i < kQuads; ++i) {
          quads[i] = with_bits<4 * group + part, 1, 2>(bits<2 * part, 2>(pairs[i]), third[i]);
        }
      });
    });
  }
};

// d and m of the eight parts of Q4_K and Q5_K, from the first 16 bytes.
HWY_INLINE void turn_scales_and_minima(const StoredBlocks& rows, TurnedBlock* HWY_RESTRICT parts) {
  VU head[4];  // d and dmin; bytes 0..3, 4..7 and 8..11 of the scales
  rows.turn<16>(0, head);
  const VF d = half_to_float(head[0]), minus_m = hn::Neg(half_to_float(hn::ShiftRight<16>(head[0])));
  VU scales[2] = {bits<0, 6>(head[1]), with_bits<6, 2, 4>(bits<0, 4>(head[3]), head[1])};
  VU minima[2] = {bits<0, 6>(head[2]), with_bits<6, 2, 4>(bits<4, 4>(head[3]), head[2])};
  for (int64_t part = 0; part < 8; ++part) {
    parts[part].d[0] = hn::Mul(d, take_number<8>(scales[part / 4]));
    parts[part].m[0] = hn::Mul(minus_m, take_number<8>(minima[part / 4]));
  }
}

struct BlockQ4_K : BlockForm<0, true, false> {
  static constexpr size_t kBytes = 144;
  static constexpr int64_t kParts = 8;
  static HWY_INLINE void turn(const StoredBlocks& rows, TurnedBlock* HWY_RESTRICT parts) {
    turn_scales_and_minima(rows, parts);
    for (int64_t part = 0; part < kParts; part += 2) {
      VU nibbles[kQuads];
      rows.turn<32>(static_cast<size_t>(16 + 16 * part), nibbles);
      for (int64_t i = 0; i < kQuads; ++i) {
        parts[part].quads[i] = bits<0, 4>(nibbles[i]);
        parts[part + 1].quads[i] = bits<4, 4>(nibbles[i]);
      }
    }
  }
};

struct BlockQ5_K : BlockForm<0, true, false> {
  static constexpr size_t kBytes = 176;
  static constexpr int64_t kParts = 8;
  static HWY_INLINE void turn(const StoredBlocks& rows, TurnedBlock* HWY_RESTRICT parts) {
    turn_scales_and_minima(rows, parts);
    VU fifth[kQuads];
    rows.turn<32>(16, fifth);
    unrolled<4>([&](auto pair) HWY_ATTR {  // of parts
      VU nibbles[kQuads];
      rows.turn<32>(48 + 32 * pair, nibbles);
      for (int64_t i = 0; i < kQuads; ++i) {
        parts[2 * pair].quads[i] = with_bits<2 * pair, 1, 4>(bits<0, 4>(nibbles[i]), fifth[i]);
        parts[2 * pair + 1].quads[i] = with_bits<2 * pair + 1, 1, 4>(bits<4, 4>(nibbles[i]), fifth[i]);
      }
    });
  }
};

struct BlockQ6_K : BlockForm<5, false, true> {
  static constexpr size_t kBytes = 210;
  static constexpr int64_t kParts = 8;
  static HWY_INLINE void turn(const StoredBlocks& rows, TurnedBlock* HWY_RESTRICT parts) {
    const VF d = half_to_float(hn::ShiftRight<16>(rows.word(206)));
    VU scales[4];
    rows.turn<16>(192, scales);
    for (int64_t part = 0; part < kParts; ++part) {
      for (int64_t half = 0; half < 2; ++half) {
        parts[part].d[half] = hn::Mul(d, take_signed_byte(scales[part / 2]));
      }
    }
    for (int64_t group = 0; group < 2; ++group) {
      VU nibbles[2 * kQuads], pairs[kQuads];
      rows.turn<64>(static_cast<size_t>(64 * group), nibbles);
      rows.turn<32>(static_cast<size_t>(128 + 32 * group), pairs);
      unrolled<4>([&](auto part) HWY_ATTR {
        VU* HWY_RESTRICT quads = parts[4 * group + part].quads;
        for (int64_t i = 0; i < kQuads; ++i) {
          const VU low = bits<part / 2 * 4, 4>(nibbles[part % 2 * kQuads + i]);
          quads[i] = with_bits<2 * part, 2, 4>(low, pairs[i]);
        }
      });
    }
  }
};

struct BlockIQ4_XS : BlockForm<7, false, false> {
  static constexpr size_t kBytes = 136;
  static constexpr int64_t kParts = 8;
  static HWY_INLINE void turn(const StoredBlocks& rows, TurnedBlock* HWY_RESTRICT parts) {
    const VU head = rows.word(0);
    const VF d = half_to_float(head);
    VU upper = hn::ShiftRight<16>(head), lower = rows.word(4);
    const VU table = wide_bytes(table_of(kIq4Values));
    for (int64_t part = 0; part < kParts; ++part) {
      const VF scale = hn::MulAdd(take_number<2>(upper), hn::Set(DF(), 16.0f), take_number<4>(lower));
      parts[part].d[0] = hn::Mul(d, hn::Sub(scale, hn::Set(DF(), 32.0f)));
      turn_nibbles(rows, static_cast<size_t>(8 + 16 * part), parts[part].quads);
      look_up(table, parts[part].quads);
    }
  }
};

#endif

}  // namespace HWY_NAMESPACE
}  // namespace orrery
HWY_AFTER_NAMESPACE();

#endif  // include guard
