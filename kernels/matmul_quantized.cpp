// Strips of outputs from quantized weights by integer dot products.
//
// Lanes are outputs: 16 weight rows are turned, block by block (quantized_blocks-inl.h), into vectors whose lane o
// holds 4 consecutive elements of row o as bytes; four bytes of x are broadcast against them (VPDPBUSD where there is
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

#include "kernels/quantized_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void quantized_strips_simd(const QuantizedRows& x, const MatmulTarget& target, int64_t begin, int64_t end) {
  reference_strips(x.source, target, begin, end);
}

#else

constexpr int64_t kDirectRows = 4;  // rows of x up to which blocks are turned anew for each

// acc + the four products of each lane: w bytes of a weight (as F has them), s signed bytes from -127. Exact.
template <class F>
HWY_INLINE VI dot4(VI acc, VU w, VI s) {
#if HWY_TARGET == HWY_AVX3_DL
  return VI{_mm512_dpbusd_epi32(acc.raw, w.raw, s.raw)};
#elif HWY_TARGET == HWY_AVX3
  // Sums of two products fit 16 bits: 2 * 63 * 127, and 2 * 128 * 127 once the weight's sign is on s.
  __m512i unsigned_w = w.raw, signed_s = s.raw;
  if constexpr (F::kWide) {
    unsigned_w = _mm512_abs_epi8(w.raw);
    signed_s = _mm512_mask_sub_epi8(s.raw, _mm512_movepi8_mask(w.raw), _mm512_setzero_si512(), s.raw);
  }
  const __m512i pairs = _mm512_maddubs_epi16(unsigned_w, signed_s);
  return hn::Add(acc, VI{_mm512_madd_epi16(pairs, _mm512_set1_epi16(1))});
#elif HWY_TARGET == HWY_AVX2
  const __m256i unsigned_w = F::kWide ? _mm256_abs_epi8(w.raw) : w.raw;
  const __m256i signed_s = F::kWide ? _mm256_sign_epi8(s.raw, w.raw) : s.raw;
  const __m256i pairs = _mm256_maddubs_epi16(unsigned_w, signed_s);
  return hn::Add(acc, VI{_mm256_madd_epi16(pairs, _mm256_set1_epi16(1))});
#else
  // Bytes of narrow forms are below 128, so that all may be taken as signed.
  const VI signed_w = hn::BitCast(DI(), w);
  const auto product = [=](auto up) HWY_ATTR {  // of the byte that `up` bits reach the top
    return hn::Mul(hn::ShiftRight<24>(hn::ShiftLeft<decltype(up)::value>(signed_w)),
                   hn::ShiftRight<24>(hn::ShiftLeft<decltype(up)::value>(s)));
  };
  const VI even = hn::Add(product(std::integral_constant<int, 24>()), product(std::integral_constant<int, 8>()));
  const VI odd = hn::Add(product(std::integral_constant<int, 16>()), product(std::integral_constant<int, 0>()));
  return hn::Add(acc, hn::Add(even, odd));
#endif
}

// Turns blocks as they are needed, from the weights themselves.
template <class Block>
struct DirectSource {
  static constexpr int64_t kParts = Block::kParts;
  const uint8_t* rows;  // of kLanes rows
  size_t stride;
  VI offsets;           // byte offset of each row
  const uint8_t* next;  // the strip after this one, fetched meanwhile; null where there is none

  HWY_INLINE void load(int64_t b, TurnedBlock* HWY_RESTRICT parts) const {
    if (next != nullptr) {
      // Rows of a strip follow each other in memory: in step with the blocks, fetch the next strip from end to end.
      constexpr size_t kStep = static_cast<size_t>(kLanes) * Block::kBytes;
      for (size_t i = 0; i < kStep; i += 64) hwy::Prefetch(next + static_cast<size_t>(b) * kStep + i);
    }
    Block::turn({rows + static_cast<size_t>(b) * Block::kBytes, stride, offsets}, parts);
  }
};

// Parts turned beforehand: of each the quads, d and m.
template <class F>
struct PanelSource {
  static constexpr int64_t kParts = 1;
  static constexpr int64_t kVectors = kQuads + F::kScales * (F::kMin ? 2 : 1);
  static constexpr int64_t kWords = kVectors * kLanes;  // per part
  uint32_t* words;

  HWY_INLINE void load(int64_t b, TurnedBlock* HWY_RESTRICT part) const {
    const DU du;
    const uint32_t* at = words + b * kWords;
    for (int64_t i = 0; i < kQuads; ++i, at += kLanes) part->quads[i] = hn::Load(du, at);
    for (int64_t i = 0; i < F::kScales; ++i, at += kLanes) part->d[i] = hn::BitCast(DF(), hn::Load(du, at));
    if constexpr (F::kMin) {
      for (int64_t i = 0; i < F::kScales; ++i, at += kLanes) part->m[i] = hn::BitCast(DF(), hn::Load(du, at));
    }
  }
  HWY_INLINE void store(int64_t b, const TurnedBlock& part) const {
    const DU du;
    uint32_t* at = words + b * kWords;
    for (int64_t i = 0; i < kQuads; ++i, at += kLanes) hn::Store(part.quads[i], du, at);
    for (int64_t i = 0; i < F::kScales; ++i, at += kLanes) hn::Store(hn::BitCast(du, part.d[i]), du, at);
    if constexpr (F::kMin) {
      for (int64_t i = 0; i < F::kScales; ++i, at += kLanes) hn::Store(hn::BitCast(du, part.m[i]), du, at);
    }
  }
};

template <class Block>
void fill_panel(const DirectSource<Block>& source, int64_t n_blocks, const PanelSource<typename Block::Form>& panel) {
  for (int64_t b = 0; b < n_blocks; ++b) {
    TurnedBlock parts[Block::kParts];
    source.load(b, parts);
    for (int64_t part = 0; part < Block::kParts; ++part) panel.store(b * Block::kParts + part, parts[part]);
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

// The scaled products of elements [kBegin, kEnd) of a part with those of x, whose sums are `of`.
template <class F, int64_t kBegin, int64_t kEnd>
HWY_INLINE VF add_products(VF sum, const TurnedBlock& part, const QuantizedBlock& x, const QuantizedSums& of) {
  const DF df;
  const DI di;
  constexpr int64_t kScale = kBegin / (kBlockElements / F::kScales);
  VI high = hn::Zero(di), low = hn::Zero(di);
  if constexpr (F::kOffset) low = hn::ShiftLeft<F::kOffsetBits>(hn::Set(di, of.minus_sum));
#pragma GCC unroll 8
  for (int64_t i = kBegin / 4; i < kEnd / 4; ++i) {
    high = dot4<F>(high, part.quads[i], broadcast_quad(x.q + 4 * i));
    low = dot4<F>(low, part.quads[i], broadcast_quad(x.low + 4 * i));
  }
  const VI products = hn::Add(hn::Sub(hn::ShiftLeft<8>(high), high), low);
  sum = hn::MulAdd(hn::ConvertTo(df, products), hn::Mul(part.d[kScale], hn::Set(df, x.step)), sum);
  if constexpr (F::kMin) sum = hn::MulAdd(part.m[kScale], hn::Set(df, of.step_sum), sum);
  return sum;
}

// Outputs of kRows rows of x from `row` on, all of one tile of rows.
template <class F, int64_t kRows, class Source>
HWY_INLINE void multiply_rows(const Source& source, const QuantizedRows& x, int64_t row, const Columns& columns) {
  const QuantizedBlock* HWY_RESTRICT inputs = x.blocks.data() + x.index(row, 0);
  VF sums[kRows];
  for (int64_t r = 0; r < kRows; ++r) sums[r] = hn::Zero(DF());
  for (int64_t b = 0; b < x.n_blocks / Source::kParts; ++b) {
    TurnedBlock parts[Source::kParts];
    source.load(b, parts);
    for (int64_t part = 0; part < Source::kParts; ++part, inputs += kTileRows) {
#pragma GCC unroll 8
      for (int64_t r = 0; r < kRows; ++r) {
        const QuantizedBlock& in = inputs[r];
        if constexpr (F::kHalves) {
          sums[r] = add_products<F, 0, kBlockElements / 2>(sums[r], parts[part], in, in.halves[0]);
          sums[r] = add_products<F, kBlockElements / 2, kBlockElements>(sums[r], parts[part], in, in.halves[1]);
        } else {
          sums[r] = add_products<F, 0, kBlockElements>(sums[r], parts[part], in, in.whole);
        }
      }
    }
  }
  for (int64_t r = 0; r < kRows; ++r) columns.store(sums[r], row + r);
}

template <class Block>
void multiply_direct(const DirectSource<Block>& source, const QuantizedRows& x, const Columns& columns) {
  using F = typename Block::Form;
  switch (x.source.n_rows) {
    case 1:
      return multiply_rows<F, 1>(source, x, 0, columns);
    case 2:
      return multiply_rows<F, 2>(source, x, 0, columns);
    case 3:
      return multiply_rows<F, 3>(source, x, 0, columns);
    default:
      return multiply_rows<F, 4>(source, x, 0, columns);
  }
}

template <class F>
void multiply_panel(const PanelSource<F>& source, const QuantizedRows& x, const Columns& columns) {
  const int64_t n_rows = x.source.n_rows;
  int64_t row = 0;
  for (; row + 8 <= n_rows; row += 8) multiply_rows<F, 8>(source, x, row, columns);
  for (; row + 4 <= n_rows; row += 4) multiply_rows<F, 4>(source, x, row, columns);
  for (; row < n_rows; ++row) multiply_rows<F, 1>(source, x, row, columns);
}

// Buffers of a thread: a panel, and the last weight rows padded to kLanes rows.
struct StripBuffers {
  hwy::AlignedFreeUniquePtr<uint32_t[]> panel;
  size_t panel_words = 0;
  std::vector<uint8_t> last_rows;

  template <class F>
  PanelSource<F> panel_of(int64_t n_parts) {
    const size_t words = static_cast<size_t>(n_parts * PanelSource<F>::kWords);
    if (panel_words < words) {
      panel = hwy::AllocateAligned<uint32_t>(words);
      panel_words = words;
    }
    return {panel.get()};
  }
};

template <class Block>
void strips(const QuantizedRows& x, const MatmulTarget& target, int64_t begin, int64_t end) {
  thread_local StripBuffers buffers;
  using F = typename Block::Form;
  const int64_t n_blocks = x.n_blocks / Block::kParts;
  const size_t stride = static_cast<size_t>(n_blocks) * Block::kBytes;
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
      const PanelSource<F> panel = buffers.panel_of<F>(x.n_blocks);
      fill_panel(source, n_blocks, panel);
      multiply_panel(panel, x, columns);
    }
  }
}

void quantized_strips_simd(const QuantizedRows& x, const MatmulTarget& target, int64_t begin, int64_t end) {
  switch (target.weight.dtype) {
    case DType::kQ4_0:
      return strips<BlockQ4_0>(x, target, begin, end);
    case DType::kQ4_1:
      return strips<BlockQ4_1>(x, target, begin, end);
    case DType::kQ5_0:
      return strips<BlockQ5_0>(x, target, begin, end);
    case DType::kQ5_1:
      return strips<BlockQ5_1>(x, target, begin, end);
    case DType::kQ8_0:
      return strips<BlockQ8_0>(x, target, begin, end);
    case DType::kIQ4_NL:
      return strips<BlockIQ4_NL>(x, target, begin, end);
    case DType::kMXFP4:
      return strips<BlockMXFP4>(x, target, begin, end);
    case DType::kQ2_K:
      return strips<BlockQ2_K>(x, target, begin, end);
    case DType::kQ3_K:
      return strips<BlockQ3_K>(x, target, begin, end);
    case DType::kQ4_K:
      return strips<BlockQ4_K>(x, target, begin, end);
    case DType::kQ5_K:
      return strips<BlockQ5_K>(x, target, begin, end);
    case DType::kQ6_K:
      return strips<BlockQ6_K>(x, target, begin, end);
    case DType::kIQ4_XS:
      return strips<BlockIQ4_XS>(x, target, begin, end);
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
