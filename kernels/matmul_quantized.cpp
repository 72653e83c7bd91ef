// Strips of outputs from weights in blocks of 32 (Q8_0, Q4_0, Q4_1) by integer dot products.
//
// Lanes are outputs: 16 weight rows are turned, block by block, into 8 vectors whose lane o holds 4 consecutive
// elements of row o as unsigned bytes ("quads"); four bytes of x are broadcast against them (VPDPBUSD where there is
// VNNI). So a lane holds one output's integer sum, scaled and added to an f32 accumulator block after block: no sum
// across lanes, and the same arithmetic whether a few rows of x use the turned block at once or many reuse it from a
// panel.
#include <cstring>

#include "kernels/matmul_strips.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul_quantized.cpp"
#include <hwy/foreach_target.h>
// Highway after foreach_target.
#include <hwy/aligned_allocator.h>
#include <hwy/cache_control.h>
#include <hwy/highway.h>

#if HWY_TARGET == HWY_AVX3_DL
// Highway 1.0.3 asks the compiler for AVX-VNNI where it detects (and means) AVX512-VNNI: add the latter.
#undef HWY_TARGET_STR
#define HWY_TARGET_STR \
  HWY_TARGET_STR_AVX3  \
  ",vpclmulqdq,avx512vbmi,avx512vbmi2,vaes,avxvnni,avx512bitalg,avx512vpopcntdq,avx512vnni"
#endif

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

void quantized_strips_simd(const QuantizedRows& x, const MatmulTarget& target, int64_t begin, int64_t end) {
  reference_strips(x.source, target, begin, end);
}

#else

using DF = hn::CappedTag<float, kStripOutputs>;
using DI = hn::RebindToSigned<DF>;
using DU = hn::RebindToUnsigned<DF>;
using VF = hn::Vec<DF>;
using VI = hn::Vec<DI>;
using VU = hn::Vec<DU>;

constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(DF()));  // outputs at a time; divides kStripOutputs
constexpr int64_t kQuads = 8;                                         // per block
constexpr int64_t kDirectRows = 4;  // rows of x up to which blocks are turned anew for each

// Block layouts (ggml's): f16 d, [f16 m,] packed elements. Value = d * (u - kOffset) [+ m], u unsigned.
struct BlockQ8 {  // Q8_0
  static constexpr size_t kBytes = 34, kElements = 2;
  static constexpr bool kNibbles = false, kMin = false;
  static int32_t correction(const QuantizedBlock& x) { return x.minus_128_sum; }
};
struct BlockQ4 {  // Q4_0
  static constexpr size_t kBytes = 18, kElements = 2;
  static constexpr bool kNibbles = true, kMin = false;
  static int32_t correction(const QuantizedBlock& x) { return x.minus_8_sum; }
};
struct BlockQ4Min {  // Q4_1
  static constexpr size_t kBytes = 20, kElements = 4;
  static constexpr bool kNibbles = true, kMin = true;
  static int32_t correction(const QuantizedBlock&) { return 0; }
};

// acc + the four products of each lane: u unsigned bytes, s signed bytes. Exact.
template <class Block>
HWY_INLINE VI dot4(VI acc, VU u, VI s) {
#if HWY_TARGET == HWY_AVX3_DL
  return VI{_mm512_dpbusd_epi32(acc.raw, u.raw, s.raw)};
#else
  const hn::Repartition<int16_t, DI> d16;
  const hn::Repartition<uint16_t, DI> du16;
  const auto u16 = hn::BitCast(du16, u);
  const auto s16 = hn::BitCast(d16, s);
  const auto u_even = hn::BitCast(d16, hn::And(u16, hn::Set(du16, 0xff)));
  const auto u_odd = hn::BitCast(d16, hn::ShiftRight<8>(u16));
  const auto s_even = hn::ShiftRight<8>(hn::ShiftLeft<8>(s16));
  const auto s_odd = hn::ShiftRight<8>(s16);
#if HWY_TARGET == HWY_AVX3
  if constexpr (Block::kNibbles) {  // sums of two products fit 16 bits: 2 * 15 * 127
    const __m512i pairs = _mm512_maddubs_epi16(u.raw, s.raw);
    return hn::Add(acc, VI{_mm512_madd_epi16(pairs, _mm512_set1_epi16(1))});
  }
  return hn::Add(acc,
                 hn::Add(VI{_mm512_madd_epi16(u_even.raw, s_even.raw)}, VI{_mm512_madd_epi16(u_odd.raw, s_odd.raw)}));
#elif HWY_TARGET == HWY_AVX2
  if constexpr (Block::kNibbles) {
    const __m256i pairs = _mm256_maddubs_epi16(u.raw, s.raw);
    return hn::Add(acc, VI{_mm256_madd_epi16(pairs, _mm256_set1_epi16(1))});
  }
  return hn::Add(acc,
                 hn::Add(VI{_mm256_madd_epi16(u_even.raw, s_even.raw)}, VI{_mm256_madd_epi16(u_odd.raw, s_odd.raw)}));
#else
  const DI di;
  const auto low = [](auto v) HWY_ATTR { return hn::ShiftRight<16>(hn::ShiftLeft<16>(hn::BitCast(DI(), v))); };
  const auto high = [](auto v) HWY_ATTR { return hn::ShiftRight<16>(hn::BitCast(DI(), v)); };
  acc = hn::Add(acc, hn::Add(hn::Mul(low(u_even), low(s_even)), hn::Mul(high(u_even), high(s_even))));
  return hn::Add(acc, hn::Add(hn::Mul(low(u_odd), low(s_odd)), hn::Mul(high(u_odd), high(s_odd))));
#endif
#endif
}

// 16 bytes each of rows 0, 4, 8, 12 from `row` on, as far as there are lanes: block L holds row 4 L.
HWY_INLINE VU load_every_fourth_row(const uint8_t* row, size_t stride) {
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

// One block of kLanes weight rows.
struct TurnedBlock {
  VU quads[kQuads];
  VF d;
  VF m;
};

// Turns blocks as they are needed, from the weights themselves.
template <class Block>
struct DirectSource {
  const uint8_t* rows;  // of kLanes rows
  size_t stride;
  VI offsets;           // byte offset of each row
  const uint8_t* next;  // the strip after this one, fetched meanwhile; null where there is none

  HWY_INLINE void load(int64_t b, TurnedBlock& block) const {
    if (next != nullptr) {
      // Rows of a strip follow each other in memory: in step with the blocks, fetch the next strip from end to end.
      constexpr size_t kStep = static_cast<size_t>(kLanes) * Block::kBytes;
      for (size_t i = 0; i < kStep; i += 64) hwy::Prefetch(next + static_cast<size_t>(b) * kStep + i);
    }
    const uint8_t* at = rows + static_cast<size_t>(b) * Block::kBytes;
    const VU heads = hn::BitCast(DU(), hn::GatherOffset(DI(), reinterpret_cast<const int32_t*>(at), offsets));
    block.d = half_to_float(heads);
    if constexpr (Block::kMin) block.m = half_to_float(hn::ShiftRight<16>(heads));
    turn_16_bytes(at + Block::kElements, stride, block.quads);
    if constexpr (Block::kNibbles) {
      const VU low = hn::Set(DU(), 0x0f0f0f0f);
      for (int64_t i = 0; i < 4; ++i) {
        block.quads[i + 4] = hn::And(hn::ShiftRight<4>(block.quads[i]), low);
        block.quads[i] = hn::And(block.quads[i], low);
      }
    } else {
      turn_16_bytes(at + Block::kElements + 16, stride, block.quads + 4);
      const VU flip = hn::Set(DU(), 0x80808080u);  // signed to unsigned with offset 128
      for (int64_t i = 0; i < kQuads; ++i) block.quads[i] = hn::Xor(block.quads[i], flip);
    }
  }
};

// Blocks turned beforehand: [n_blocks] of 8 * kLanes quads, kLanes d, kLanes m.
constexpr int64_t kPanelBlockWords = (kQuads + 2) * kLanes;

struct PanelSource {
  const uint32_t* words;

  HWY_INLINE void load(int64_t b, TurnedBlock& block) const {
    const uint32_t* at = words + b * kPanelBlockWords;
    for (int64_t i = 0; i < kQuads; ++i) block.quads[i] = hn::Load(DU(), at + i * kLanes);
    block.d = hn::BitCast(DF(), hn::Load(DU(), at + kQuads * kLanes));
    block.m = hn::BitCast(DF(), hn::Load(DU(), at + (kQuads + 1) * kLanes));
  }
};

template <class Block>
void fill_panel(const DirectSource<Block>& source, int64_t n_blocks, uint32_t* words) {
  const DU du;
  for (int64_t b = 0; b < n_blocks; ++b, words += kPanelBlockWords) {
    TurnedBlock block;
    source.load(b, block);
    for (int64_t i = 0; i < kQuads; ++i) hn::Store(block.quads[i], du, words + i * kLanes);
    hn::Store(hn::BitCast(du, block.d), du, words + kQuads * kLanes);
    if constexpr (Block::kMin) hn::Store(hn::BitCast(du, block.m), du, words + (kQuads + 1) * kLanes);
  }
}

// Where kLanes outputs of a target go; fewer at the end of the matrix.
struct Columns {
  const MatmulTarget* target;
  int64_t first;
  int64_t count;

  HWY_INLINE void store(VF value, int64_t row) const {
    const DF df;
    float* out = target->out.row(row) + first;
    const float* bias = target->bias.empty() ? nullptr : target->bias.data() + first;
    if (count == kLanes) {
      if (bias != nullptr) value = hn::Add(value, hn::LoadU(df, bias));
      hn::StoreU(value, df, out);
      return;
    }
    HWY_ALIGN float lanes[kLanes];
    hn::Store(value, df, lanes);
    for (int64_t i = 0; i < count; ++i) out[i] = bias != nullptr ? lanes[i] + bias[i] : lanes[i];
  }
};

// Four bytes of x in every lane.
HWY_INLINE VI broadcast_quad(const int8_t* at) {
  int32_t quad;
  std::memcpy(&quad, at, sizeof(quad));
  return hn::Set(DI(), quad);
}

// Outputs of kRows rows of x from `row` on, all of one tile of rows.
template <class Block, int64_t kRows, class Source>
HWY_INLINE void multiply_rows(const Source& source, const QuantizedRows& x, int64_t row, const Columns& columns) {
  const DF df;
  const DI di;
  const QuantizedBlock* HWY_RESTRICT inputs = x.blocks.data() + x.index(row, 0);
  VF sums[kRows];
  for (int64_t r = 0; r < kRows; ++r) sums[r] = hn::Zero(df);
  for (int64_t b = 0; b < x.n_blocks; ++b, inputs += kTileRows) {
    TurnedBlock block;
    source.load(b, block);
#pragma GCC unroll 8
    for (int64_t r = 0; r < kRows; ++r) {
      const QuantizedBlock& input = inputs[r];
      VI high = hn::Zero(di);
      VI low = hn::Set(di, Block::correction(input));
#pragma GCC unroll 8
      for (int64_t i = 0; i < kQuads; ++i) {
        high = dot4<Block>(high, block.quads[i], broadcast_quad(input.q + 4 * i));
        low = dot4<Block>(low, block.quads[i], broadcast_quad(input.low + 4 * i));
      }
      const VF products = hn::ConvertTo(df, hn::Add(hn::ShiftLeft<8>(high), low));
      sums[r] = hn::MulAdd(products, hn::Mul(block.d, hn::Set(df, input.step)), sums[r]);
      if constexpr (Block::kMin) sums[r] = hn::MulAdd(block.m, hn::Set(df, input.step_sum), sums[r]);
    }
  }
  for (int64_t r = 0; r < kRows; ++r) columns.store(sums[r], row + r);
}

template <class Block>
void multiply_direct(const DirectSource<Block>& source, const QuantizedRows& x, const Columns& columns) {
  switch (x.source.n_rows) {
    case 1:
      return multiply_rows<Block, 1>(source, x, 0, columns);
    case 2:
      return multiply_rows<Block, 2>(source, x, 0, columns);
    case 3:
      return multiply_rows<Block, 3>(source, x, 0, columns);
    default:
      return multiply_rows<Block, 4>(source, x, 0, columns);
  }
}

template <class Block>
void multiply_panel(const PanelSource& source, const QuantizedRows& x, const Columns& columns) {
  const int64_t n_rows = x.source.n_rows;
  int64_t row = 0;
  for (; row + 8 <= n_rows; row += 8) multiply_rows<Block, 8>(source, x, row, columns);
  for (; row + 4 <= n_rows; row += 4) multiply_rows<Block, 4>(source, x, row, columns);
  for (; row < n_rows; ++row) multiply_rows<Block, 1>(source, x, row, columns);
}

// Buffers of a thread: a panel, and the last weight rows padded to kLanes rows.
struct StripBuffers {
  hwy::AlignedFreeUniquePtr<uint32_t[]> panel;
  size_t panel_words = 0;
  std::vector<uint8_t> last_rows;

  uint32_t* panel_of(int64_t n_blocks) {
    const size_t words = static_cast<size_t>(n_blocks * kPanelBlockWords);
    if (panel_words < words) {
      panel = hwy::AllocateAligned<uint32_t>(words);
      panel_words = words;
    }
    return panel.get();
  }
};

template <class Block>
void strips(const QuantizedRows& x, const MatmulTarget& target, int64_t begin, int64_t end) {
  thread_local StripBuffers buffers;
  const size_t stride = static_cast<size_t>(x.n_blocks) * Block::kBytes;
  const int64_t n_out = target.weight.n_rows();
  const VI offsets = hn::Mul(hn::Iota(DI(), 0), hn::Set(DI(), static_cast<int32_t>(stride)));
  for (int64_t first = begin * kStripOutputs; first < end * kStripOutputs && first < n_out; first += kLanes) {
    const Columns columns{&target, first, n_out - first < kLanes ? n_out - first : kLanes};
    const uint8_t* rows = reinterpret_cast<const uint8_t*>(target.weight.row(first));
    if (columns.count < kLanes) {
      buffers.last_rows.assign(stride * static_cast<size_t>(kLanes), 0);
      std::memcpy(buffers.last_rows.data(), rows, stride * static_cast<size_t>(columns.count));
      rows = buffers.last_rows.data();
    }
    const bool is_last = first + kLanes >= end * kStripOutputs || first + 2 * kLanes > n_out;
    const uint8_t* next = is_last ? nullptr : rows + stride * static_cast<size_t>(kLanes);
    const DirectSource<Block> source{rows, stride, offsets, next};
    if (x.source.n_rows <= kDirectRows) {
      multiply_direct(source, x, columns);
    } else {
      uint32_t* words = buffers.panel_of(x.n_blocks);
      fill_panel(source, x.n_blocks, words);
      multiply_panel<Block>(PanelSource{words}, x, columns);
    }
  }
}

void quantized_strips_simd(const QuantizedRows& x, const MatmulTarget& target, int64_t begin, int64_t end) {
  switch (target.weight.dtype) {
    case DType::kQ8_0:
      return strips<BlockQ8>(x, target, begin, end);
    case DType::kQ4_0:
      return strips<BlockQ4>(x, target, begin, end);
    case DType::kQ4_1:
      return strips<BlockQ4Min>(x, target, begin, end);
    default:
      CHECK(false, "not a quantized tensor");
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace orrery
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace orrery {

HWY_EXPORT(quantized_strips_simd);

void quantized_strips(const QuantizedRows& x, const MatmulTarget& target, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(quantized_strips_simd)(x, target, begin, end);
}

}  // namespace orrery
#endif  // HWY_ONCE
