// The three steps of a tile of attention: scores, softmax with statistics, weighted values.
//
// Scores: lanes are dimensions of the head, 4 keys by up to 4 queries at
// a time. Values: lanes are dimensions, keys in order. Each query's arithmetic is the same alone and among others, so a
// prefill gives what one-token steps give, bit for bit.
#include "kernels/attention_tile.h"

#include <algorithm>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention_tile.cpp"
#include <hwy/foreach_target.h>
// Highway after foreach_target.
#include <hwy/cache_control.h>

#include "kernels/attention_stats-inl.h"

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

// All in one step, by the reference.
void begin_simd(const AttentionArgs&, const AttentionTile& tile, AttentionTileWork& work) { work.tile = tile; }
void scores_simd(const AttentionArgs&, int64_t, int64_t, AttentionTileWork&) {}
void values_simd(const AttentionArgs&, int64_t, int64_t, AttentionTileWork&) {}

void weights_simd(const AttentionArgs& args, const AttentionStats& stats, int64_t begin, int64_t,
                  AttentionTileWork& work) {
  const AttentionTile& tile = work.tile;
  if (begin > 0 || tile.head_begin > 0) return;  // the reference takes all heads of its rows at once
  AttentionArgs part = args;
  const int64_t n = tile.row_end - tile.row_begin;
  part.q = args.q.rows(tile.row_begin, n);
  part.out = args.out.rows(tile.row_begin, n);
  part.rows = args.rows.subspan(static_cast<size_t>(tile.row_begin), static_cast<size_t>(n));
  AttentionStats moved = stats;
  for (StatSlot* slot : {&moved.entropy, &moved.first, &moved.previous, &moved.distance, &moved.top, &moved.rest,
                         &moved.mass, &moved.rows}) {
    if (*slot) slot->data = slot->row(tile.row_begin);
  }
  attention_reference(part, moved);
}

#else

constexpr int64_t kQueriesAtOnce = 4, kKeysAtOnce = 4, kChunksAtOnce = 4;

HWY_INLINE VF load_element(const float* at) { return hn::LoadU(DF(), at); }
HWY_INLINE VF load_element(const hwy::float16_t* at) {
  return hn::PromoteTo(DF(), hn::LoadU(hn::Rebind<hwy::float16_t, DF>(), at));
}

int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

using Query = AttentionTileWork::Query;

// One page of keys or values of one head, as floats of type T, rows `stride` apart, readable in whole vectors.
template <typename T>
struct PageView {
  const T* data;
  int64_t stride;
  const T* next = nullptr;  // where the next page's begins, if that is to be fetched meanwhile
};

// Fetches the numbers [0, n) of row `key` of the next page: the processor's own prefetching ends with a page of memory.
template <typename T>
HWY_INLINE void fetch_next(const PageView<T>& page, int64_t key, int64_t n) {
  if (page.next == nullptr) return;
  constexpr int64_t kLine = 64 / sizeof(T);
  for (int64_t i = 0; i < n; i += kLine) hwy::Prefetch(page.next + key * page.stride + i);
}

// Sums of a, b, c, e across lanes, in this order.
HWY_INLINE void store_four_sums(VF a, VF b, VF c, VF e, float* HWY_RESTRICT out) {
  const DF df;
  const hn::Repartition<double, DF> dd;
  const VF ab = hn::Add(hn::InterleaveLower(df, a, b), hn::InterleaveUpper(df, a, b));
  const VF ce = hn::Add(hn::InterleaveLower(df, c, e), hn::InterleaveUpper(df, c, e));
  const VF low = hn::BitCast(df, hn::InterleaveLower(dd, hn::BitCast(dd, ab), hn::BitCast(dd, ce)));
  const VF high = hn::BitCast(df, hn::InterleaveUpper(dd, hn::BitCast(dd, ab), hn::BitCast(dd, ce)));
  const VF blocks = hn::Add(low, high);  // every 128-bit block: four partial sums
#if HWY_TARGET <= HWY_AVX3
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(blocks.raw), _mm512_extractf32x8_ps(blocks.raw, 1));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
#elif HWY_TARGET == HWY_AVX2
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(blocks.raw), _mm256_extractf128_ps(blocks.raw, 1)));
#else
  HWY_ALIGN float lanes[kLanes];
  hn::Store(blocks, df, lanes);
  for (int64_t i = 0; i < 4; ++i) {
    out[i] = lanes[i];
    for (int64_t block = 4; block < kLanes; block += 4) out[i] += lanes[block + i];
  }
#endif
}

// Scores of kQueries queries against the 64 keys of a page; scores of query i at scores + i * scores_stride.
template <int64_t kQueries, typename T>
HWY_INLINE void score_page(const float* HWY_RESTRICT q, int64_t d_padded, PageView<T> keys, float* HWY_RESTRICT scores,
                           int64_t scores_stride) {
  const DF df;
  for (int64_t key = 0; key < kKvPageTokens; key += kKeysAtOnce) {
    const T* k = keys.data + key * keys.stride;
    for (int64_t j = 0; j < kKeysAtOnce; ++j) fetch_next(keys, key + j, d_padded);
    VF sums[kQueries][kKeysAtOnce];
    for (auto& row : sums) {
      for (VF& sum : row) sum = hn::Zero(df);
    }
    for (int64_t i = 0; i < d_padded; i += kLanes) {
      VF elements[kKeysAtOnce];
      for (int64_t j = 0; j < kKeysAtOnce; ++j) elements[j] = load_element(k + j * keys.stride + i);
      for (int64_t query = 0; query < kQueries; ++query) {
        const VF asked = hn::Load(df, q + query * d_padded + i);
        for (int64_t j = 0; j < kKeysAtOnce; ++j) sums[query][j] = hn::MulAdd(asked, elements[j], sums[query][j]);
      }
    }
    for (int64_t query = 0; query < kQueries; ++query) {
      store_four_sums(sums[query][0], sums[query][1], sums[query][2], sums[query][3],
                      scores + query * scores_stride + key);
    }
  }
}

template <typename T>
void score_page_all(int64_t n_queries, const float* q, int64_t d_padded, PageView<T> keys, float* scores,
                    int64_t stride) {
  int64_t i = 0;
  for (; i + kQueriesAtOnce <= n_queries; i += kQueriesAtOnce) {
    score_page<kQueriesAtOnce>(q + i * d_padded, d_padded, keys, scores + i * stride, stride);
  }
  q += i * d_padded;
  scores += i * stride;
  switch (n_queries - i) {
    case 1:
      return score_page<1>(q, d_padded, keys, scores, stride);
    case 2:
      return score_page<2>(q, d_padded, keys, scores, stride);
    case 3:
      return score_page<3>(q, d_padded, keys, scores, stride);
    default:
      return;
  }
}

// Scores x to cap * tanh(x / cap), in place. n: a multiple of 64.
HWY_INLINE void cap_scores(float* HWY_RESTRICT scores, int64_t n, float cap) {
  const DF df;
  const VF most = hn::Set(df, cap), inverse = hn::Set(df, 1.0f / cap);
  for (int64_t i = 0; i < n; i += kLanes) {
    hn::Store(hn::Mul(most, tanh_of(hn::Mul(hn::Load(df, scores + i), inverse))), df, scores + i);
  }
}

// Scores x + bias become ln sigmoid(x + bias), whose exponentials are a sigmoid's weights.
void log_sigmoid(float* HWY_RESTRICT scores, int64_t n, float bias) {
  const DF df;
  for (int64_t i = 0; i < n; i += kLanes) {
    const VF negative = hn::Neg(hn::Add(hn::Load(df, scores + i), hn::Set(df, bias)));
    hn::Store(hn::Neg(softplus_of(negative)), df, scores + i);
  }
}

// Scores of keys that a row does not see, counted from `base`, become -infinity.
void hide(float* scores, int64_t base, const AttentionRow& row) {
  for (int64_t key = row.key_begin; key < row.key_end && !row.visible.empty(); ++key) {
    const uint64_t word = row.visible[static_cast<size_t>(key / kKvPageTokens - row.key_begin / kKvPageTokens)];
    if ((word >> (key % kKvPageTokens) & 1u) == 0) scores[key - base] = -HUGE_VALF;
  }
}

// What weights are divided by.
struct Normaliser {
  AttentionNormaliser kind = AttentionNormaliser::kSoftmax;
  float sink = -HUGE_VALF;  // a further score, which takes its share of a softmax
};

// Scores to weights in place; returns the entropy where it is wanted. n: a multiple of 64.
template <bool kEntropy>
HWY_INLINE float normalise(float* HWY_RESTRICT scores, int64_t n, Normaliser normaliser) {
  const DF df;
  constexpr int64_t kSums = kKvPageTokens / kLanes;
  VF greatest[kSums], sums[kSums], weighted[kSums];
  for (int64_t j = 0; j < kSums; ++j) {
    greatest[j] = hn::Set(df, -HUGE_VALF);
    sums[j] = weighted[j] = hn::Zero(df);
  }
  for (int64_t i = 0; i < n; i += kKvPageTokens) {
    for (int64_t j = 0; j < kSums; ++j) greatest[j] = hn::Max(greatest[j], hn::Load(df, scores + i + j * kLanes));
  }
  for (int64_t j = 1; j < kSums; ++j) greatest[0] = hn::Max(greatest[0], greatest[j]);
  // Of a sigmoid's logarithms, which exp(most) undoes again: not so small that it overflows.
  const bool is_sigmoid = normaliser.kind == AttentionNormaliser::kSigmoid;
  const float least_greatest = is_sigmoid ? -80.0f : normaliser.sink;
  const VF most = hn::Max(hn::MaxOfLanes(df, greatest[0]), hn::Set(df, least_greatest));
  const VF least_exponent = hn::Set(df, -200.0f);  // exp is 0 there; keeps 0 * -inf out of the sum
  for (int64_t i = 0; i < n; i += kKvPageTokens) {
    for (int64_t j = 0; j < kSums; ++j) {
      const VF exponent = hn::Sub(hn::Load(df, scores + i + j * kLanes), most);
      const VF e = exp_of(exponent);
      hn::Store(e, df, scores + i + j * kLanes);
      sums[j] = hn::Add(sums[j], e);
      if constexpr (kEntropy) weighted[j] = hn::MulAdd(e, hn::Max(exponent, least_exponent), weighted[j]);
    }
  }
  for (int64_t j = 1; j < kSums; ++j) {
    sums[0] = hn::Add(sums[0], sums[j]);
    weighted[0] = hn::Add(weighted[0], weighted[j]);
  }
  const float sum = sum_of(sums[0]), shift = hn::GetLane(most);
  const float total = is_sigmoid ? std::exp(-shift) : sum + std::exp(normaliser.sink - shift);
  const VF factor = hn::Set(df, 1.0f / total);
  for (int64_t i = 0; i < n; i += kLanes) hn::Store(hn::Mul(hn::Load(df, scores + i), factor), df, scores + i);
  return kEntropy ? std::log(total) * (sum / total) - sum_of(weighted[0]) / total : 0.0f;
}

// out[i] += sum over keys [begin, end) of a page of weights[i][key] * values[key], for kQueries queries and kChunks
// vectors of dimensions.
template <int64_t kQueries, int64_t kChunks, typename T>
HWY_INLINE void add_values(const float* HWY_RESTRICT weights, int64_t weights_stride, PageView<T> values, int64_t begin,
                           int64_t end, float* HWY_RESTRICT out, int64_t out_stride) {
  const DF df;
  VF sums[kQueries][kChunks];
  for (int64_t query = 0; query < kQueries; ++query) {
    for (int64_t c = 0; c < kChunks; ++c) sums[query][c] = hn::Load(df, out + query * out_stride + c * kLanes);
  }
  for (int64_t key = begin; key < end; ++key) {
    fetch_next(values, key, kChunks * kLanes);
    VF elements[kChunks];
    for (int64_t c = 0; c < kChunks; ++c) elements[c] = load_element(values.data + key * values.stride + c * kLanes);
    for (int64_t query = 0; query < kQueries; ++query) {
      const VF weight = hn::Set(df, weights[query * weights_stride + key]);
      for (int64_t c = 0; c < kChunks; ++c) sums[query][c] = hn::MulAdd(weight, elements[c], sums[query][c]);
    }
  }
  for (int64_t query = 0; query < kQueries; ++query) {
    for (int64_t c = 0; c < kChunks; ++c) hn::Store(sums[query][c], df, out + query * out_stride + c * kLanes);
  }
}

// As many dimensions at once as there are left.
template <int64_t kQueries, typename T>
void add_values_all(const float* weights, int64_t weights_stride, PageView<T> values, int64_t begin, int64_t end,
                    float* out, int64_t out_stride, int64_t n_dims) {
  if (begin >= end) return;
  int64_t i = 0;
  const auto add = [&]<int64_t kChunks>() HWY_ATTR {
    for (; i + kChunks * kLanes <= n_dims; i += kChunks * kLanes) {
      const PageView<T> part{values.data + i, values.stride, values.next == nullptr ? nullptr : values.next + i};
      add_values<kQueries, kChunks>(weights, weights_stride, part, begin, end, out + i, out_stride);
    }
  };
  add.template operator()<kChunksAtOnce>();
  add.template operator()<2>();
  add.template operator()<1>();
}

// n_dims of a page's values to the sums of n <= kQueriesAtOnce queries; first_key: of the page. Keys that all of the
// queries see go together; the others, at the ends, query by query: an unseen value may be anything and is never
// touched.
template <typename T>
void add_page(std::span<const Query> queries, const float* weights, int64_t stride, PageView<T> values,
              int64_t first_key, float* out, int64_t out_stride, int64_t n_dims) {
  int64_t begin = 0, end = kKvPageTokens;
  for (const Query& query : queries) {
    begin = std::max(begin, query.key_begin - first_key);
    end = std::min(end, query.key_end - first_key);
  }
  if (begin >= end) begin = end = kKvPageTokens;  // nothing in common: all goes query by query
  const auto alone = [&](int64_t from, int64_t to) HWY_ATTR {
    for (size_t i = 0; i < queries.size(); ++i) {
      const int64_t first = std::max(from, queries[i].key_begin - first_key);
      const int64_t last = std::min(to, queries[i].key_end - first_key);
      const int64_t n = static_cast<int64_t>(i);
      add_values_all<1>(weights + n * stride, stride, values, first, last, out + n * out_stride, out_stride, n_dims);
    }
  };
  alone(0, begin);
  switch (queries.size()) {
    case 1:
      add_values_all<1>(weights, stride, values, begin, end, out, out_stride, n_dims);
      break;
    case 2:
      add_values_all<2>(weights, stride, values, begin, end, out, out_stride, n_dims);
      break;
    case 3:
      add_values_all<3>(weights, stride, values, begin, end, out, out_stride, n_dims);
      break;
    default:
      add_values_all<4>(weights, stride, values, begin, end, out, out_stride, n_dims);
      break;
  }
  alone(end, kKvPageTokens);
}

// One page of one head, n numbers of rows `stride` apart, as padded f32 rows.
PageView<float> unpack_page(const std::byte* page, DType dtype, int64_t n, int64_t stride, int64_t padded,
                            AttentionBuffer& buffer) {
  const DF df;
  float* out = buffer.at_least(kKvPageTokens * padded);
  for (int64_t key = 0; key < kKvPageTokens; ++key, out += padded) {
    int64_t i = 0;
    const auto* halves = reinterpret_cast<const hwy::float16_t*>(page) + key * stride;
    const auto* floats = reinterpret_cast<const float*>(page) + key * stride;
    for (; i + kLanes <= n; i += kLanes) {
      hn::Store(dtype == DType::kF16 ? load_element(halves + i) : load_element(floats + i), df, out + i);
    }
    for (; i < n; ++i) out[i] = dtype == DType::kF16 ? f16_to_f32(halves[i].bits) : floats[i];
    for (; i < padded; ++i) out[i] = 0.0f;
  }
  return {buffer.data(), padded};
}

// Numbers [begin, end) of the rows of a page, which are `stride` apart.
struct PagePart {
  const std::byte* page = nullptr;
  const std::byte* next = nullptr;  // page, if any
  int64_t begin = 0, end = 0;
  int64_t stride = 0;
};

// Calls use(PageView) with that part of a kv head's rows, in the stored type where whole vectors can be read and few
// queries share it, else as f32 (exact, so the results are the same).
template <typename Use>
HWY_INLINE void with_page(const AttentionArgs& args, const PagePart& part, int32_t kv_head, int64_t n_queries,
                          const Use& use) {
  thread_local AttentionBuffer unpacked;
  const int64_t n = part.end - part.begin, padded = round_up(n, kLanes);
  const size_t before =
      static_cast<size_t>(kv_head * kKvPageTokens * part.stride + part.begin) * dtype_info(args.kv_dtype).block_bytes;
  const std::byte* const first = part.page + before;
  const std::byte* const next = part.next == nullptr ? nullptr : part.next + before;
  const auto view = [&]<typename T>(T) {
    return PageView<T>{reinterpret_cast<const T*>(first), part.stride, reinterpret_cast<const T*>(next)};
  };
  if (padded == n && args.kv_dtype == DType::kF32) {
    use(view(float{}));
  } else if (padded == n && n_queries <= kQueriesAtOnce) {
    use(view(hwy::float16_t{}));
  } else {
    use(unpack_page(first, args.kv_dtype, n, part.stride, padded, unpacked));
  }
}

const KvPages& pages_of(const AttentionArgs& args, const AttentionTile& tile) {
  return args.sequences[static_cast<size_t>(args.rows[static_cast<size_t>(tile.row_begin)].sequence)];
}

void begin_simd(const AttentionArgs& args, const AttentionTile& tile, AttentionTileWork& work) {
  const int64_t k_padded = round_up(args.d_head_k, kLanes);
  work.tile = tile;
  work.queries.clear();
  int64_t key_begin = args.rows[static_cast<size_t>(tile.row_begin)].key_begin, key_end = 0;
  for (int64_t row = tile.row_begin; row < tile.row_end; ++row) {
    const AttentionRow& seen = args.rows[static_cast<size_t>(row)];
    key_begin = std::min(key_begin, seen.key_begin);
    key_end = std::max(key_end, seen.key_end);
    for (int32_t head = tile.head_begin; head < tile.head_end; ++head) {
      work.queries.push_back({row, head, seen.key_begin, seen.key_end});
    }
  }
  work.page_begin = key_begin / kKvPageTokens;
  work.page_end = round_up(key_end, kKvPageTokens) / kKvPageTokens;
  float* q = work.q.at_least(tile.n_queries() * k_padded);
  for (const Query& query : work.queries) {
    const float* from = args.q.row(query.row) + int64_t{query.head} * args.d_head_k;
    for (int64_t i = 0; i < k_padded; ++i) q[i] = i < args.d_head_k ? from[i] * args.scale : 0.0f;
    q += k_padded;
  }
  work.weights.at_least(tile.n_queries() * work.n_keys());
  work.out.at_least(tile.n_queries() * round_up(args.d_head_v, kLanes));
}

void scores_simd(const AttentionArgs& args, int64_t begin, int64_t end, AttentionTileWork& work) {
  const int64_t k_padded = round_up(args.d_head_k, kLanes);
  const int64_t n_queries = work.tile.n_queries(), n_keys = work.n_keys();
  const KvPages& pages = pages_of(args, work.tile);
  for (int64_t page = begin; page < end; ++page) {
    const PagePart all{pages.keys_of(page), page + 1 < end ? pages.keys_of(page + 1) : nullptr, 0, args.d_head_k,
                       args.d_head_k};
    float* const scores = work.weights.data() + page * kKvPageTokens - work.first_key();
    with_page(args, all, work.tile.kv_head, n_queries,
              [&](auto keys) HWY_ATTR { score_page_all(n_queries, work.q.data(), k_padded, keys, scores, n_keys); });
  }
}

void weights_simd(const AttentionArgs& args, const AttentionStats& stats, int64_t begin, int64_t end,
                  AttentionTileWork& work) {
  thread_local std::vector<TopEntry> entries;
  const int64_t base = work.first_key();
  for (int64_t i = begin; i < end; ++i) {
    const Query& query = work.queries[static_cast<size_t>(i)];
    const AttentionRow& seen = args.rows[static_cast<size_t>(query.row)];
    float* row = work.weights.data() + i * work.n_keys();
    const int64_t n = round_up(query.key_end - base, kKvPageTokens);
    if (args.score_cap > 0.0f) cap_scores(row, n, args.score_cap);
    if (args.normaliser == AttentionNormaliser::kSigmoid) log_sigmoid(row, n, seen.score_bias);
    std::fill(row, row + (query.key_begin - base), -HUGE_VALF);
    std::fill(row + (query.key_end - base), row + n, -HUGE_VALF);
    hide(row, base, seen);
    Normaliser normaliser{.kind = args.normaliser};
    if (!args.sinks.empty()) normaliser.sink = args.sinks[static_cast<size_t>(query.head)];
    if (stats.entropy) {
      stats.entropy.row(query.row)[query.head] = normalise<true>(row, n, normaliser);
    } else {
      normalise<false>(row, n, normaliser);
    }
    write_stats({row, base, query.key_begin, query.key_end}, query.row, query.head, stats, entries);
  }
}

void values_simd(const AttentionArgs& args, int64_t begin, int64_t end, AttentionTileWork& work) {
  const int64_t n_queries = work.tile.n_queries(), n_keys = work.n_keys();
  const int64_t stride = round_up(args.d_head_v, kLanes), n_dims = round_up(end - begin, kLanes);
  const KvPages& pages = pages_of(args, work.tile);
  const std::span<const Query> queries = work.queries;
  float* const out = work.out.data() + begin;
  for (int64_t i = 0; i < n_queries; ++i) std::fill(out + i * stride, out + i * stride + n_dims, 0.0f);
  for (int64_t page = work.page_begin; page < work.page_end; ++page) {
    const PagePart part{pages.values_of(page), page + 1 < work.page_end ? pages.values_of(page + 1) : nullptr, begin,
                        end, args.value_stride()};
    const float* const weights = work.weights.data() + page * kKvPageTokens - work.first_key();
    with_page(args, part, work.tile.kv_head, n_queries, [&](auto values) HWY_ATTR {
      for (int64_t i = 0; i < n_queries; i += kQueriesAtOnce) {
        const int64_t n = std::min(kQueriesAtOnce, n_queries - i);
        add_page(queries.subspan(static_cast<size_t>(i), static_cast<size_t>(n)), weights + i * n_keys, n_keys, values,
                 page * kKvPageTokens, out + i * stride, stride, n_dims);
      }
    });
  }
  for (int64_t i = 0; i < n_queries; ++i) {
    const Query& query = queries[static_cast<size_t>(i)];
    std::copy(out + i * stride, out + i * stride + (end - begin),
              args.out.row(query.row) + int64_t{query.head} * args.d_head_v + begin);
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace orrery
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace orrery {

HWY_EXPORT(begin_simd);
HWY_EXPORT(scores_simd);
HWY_EXPORT(weights_simd);
HWY_EXPORT(values_simd);

void begin_attention_tile(const AttentionArgs& args, const AttentionTile& tile, AttentionTileWork& work) {
  HWY_DYNAMIC_DISPATCH(begin_simd)(args, tile, work);
}

void attention_scores(const AttentionArgs& args, int64_t begin, int64_t end, AttentionTileWork& work) {
  HWY_DYNAMIC_DISPATCH(scores_simd)(args, begin, end, work);
}

void attention_weights(const AttentionArgs& args, const AttentionStats& stats, int64_t begin, int64_t end,
                       AttentionTileWork& work) {
  HWY_DYNAMIC_DISPATCH(weights_simd)(args, stats, begin, end, work);
}

void attention_values(const AttentionArgs& args, int64_t begin, int64_t end, AttentionTileWork& work) {
  HWY_DYNAMIC_DISPATCH(values_simd)(args, begin, end, work);
}

}  // namespace orrery
#endif  // HWY_ONCE
