// Attention of many queries, as in a prefill: a block holds 64 queries against the 64 keys of a page at a time, a
// thread 4 by 4 of them, so that keys and values are loaded once for all. Online softmax as in Milakov and Gimelshein
// 2018; the tiling of Dao et al. 2022 (FlashAttention).
#include "kernels/cuda/attention_pass.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr auto kPageKeys = static_cast<int32_t>(kKvPageTokens);
constexpr int32_t kSide = 16;  // threads along queries and along keys, then dimensions of values
constexpr int32_t kThreads = kSide * kSide;
constexpr int32_t kStride = kSide + 1;  // of shared rows: one more, so that columns lie in different banks
constexpr int32_t kDepth = 32;          // dimensions of keys, or values, that are in shared memory at a time
constexpr int32_t kDepthStep = 16;      // of these, how many are multiplied without a test
constexpr int32_t kMostDimChunks = 4;
static_assert(kTileQueries == 4 * kSide && kPageKeys == 4 * kSide);

struct alignas(16) Four {
  float of[4];
};

// Four elements `stride` apart; zeros where there are none.
template <typename Element>
__device__ inline Four load_four(const Element* from, int64_t stride, int32_t n) {
  Four four;
  for (int i = 0; i < 4; ++i) four.of[i] = i < n ? as_float(from[i * stride]) : 0.0f;
  return four;
}

// sums[i][j] += a[i] * b[j]
__device__ inline void add_product(const Four& a, const Four& b, float (&sums)[4][4]) {
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) sums[i][j] = fmaf(a.of[i], b.of[j], sums[i][j]);
  }
}

// The sum or maximum over the 16 threads of the same queries, which are half a warp.
__device__ inline float side_max(float value) {
  for (uint32_t offset = kSide / 2; offset > 0; offset /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kWholeWarp, value, offset));
  }
  return value;
}
__device__ inline float side_sum(float value) {
  for (uint32_t offset = kSide / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kWholeWarp, value, offset);
  return value;
}

// The block's part of the keys' dimensions [first, first + kDepth): queries and keys, four side by side.
template <typename Element, typename Fours, typename Offsets>
__device__ void stage_keys(const AttentionPass& a, const Element* keys, Offsets& q_at, int32_t first, Fours& asked,
                           Fours& staged) {
  for (auto i = static_cast<int32_t>(threadIdx.x); i < kDepth * kSide; i += kThreads) {
    const int32_t depth = i % kDepth, quad = i / kDepth, d = first + depth;
    const bool there = d < a.d_head_k;
    Four four;
    for (int j = 0; j < 4; ++j) {
      const int64_t at = q_at[quad * 4 + j];
      four.of[j] = there && at >= 0 ? a.q[at + d] * a.scale : 0.0f;
    }
    asked[depth * kStride + quad] = four;
    staged[depth * kStride + quad] = load_four(keys + int64_t{quad} * 4 * a.d_head_k + d, a.d_head_k, there ? 4 : 0);
  }
}

// Adds the weighted values of a page. kWhole: every query sees every key of it.
template <bool kWhole, typename Element, int kDimChunks, typename Weights, typename Fours>
__device__ void add_values(const Element* values, int32_t d_head, int32_t stride, int32_t first_dim, Weights& weights,
                           Fours& staged, float (&sums)[kDimChunks][4][4]) {
  const auto thread = static_cast<int32_t>(threadIdx.x);
  const int32_t column = thread % kSide, row = thread / kSide;
  ORRERY_UNROLL for (int chunk = 0; chunk < kDimChunks; ++chunk) {
    for (int32_t first = 0; first < kPageKeys; first += kDepth) {
      __syncthreads();
      for (int32_t i = thread; i < kDepth * kSide; i += kThreads) {
        const int32_t key = i / kSide, d = first_dim + (chunk * kSide + i % kSide) * 4;
        staged[key * kStride + i % kSide] = load_four(values + int64_t{first + key} * stride + d, 1, d_head - d);
      }
      __syncthreads();
      for (int32_t key = 0; key < kDepth; ++key) {
        const Four weight = weights[(first + key) * kStride + row], value = staged[key * kStride + column];
        if constexpr (kWhole) {
          add_product(weight, value, sums[chunk]);
        } else {
          for (int i = 0; i < 4; ++i) {
            if (weight.of[i] == 0.0f) continue;  // a value that is not seen may be anything
            for (int j = 0; j < 4; ++j) sums[chunk][i][j] = fmaf(weight.of[i], value.of[j], sums[chunk][i][j]);
          }
        }
      }
    }
  }
}

// A block per tile (x), key/value head (y), and split and slice of the values' dimensions (z). Thread (row, column) has
// queries 4 row + i; keys 4 column + j of a page; dimensions 64 chunk + 4 column + j of a value.
template <typename Element, int kDimChunks>
__global__ void __launch_bounds__(kThreads) attention_tile_kernel(AttentionPass a) {
  ORRERY_SHARED(Four, asked, kDepth * kStride);       // [dimension, query / 4]
  ORRERY_SHARED(Four, staged, kDepth * kStride);      // keys: [dimension, key / 4]; values: [key, dimension / 4]
  ORRERY_SHARED(Four, weights, kPageKeys * kStride);  // [key, query / 4]
  ORRERY_SHARED(int64_t, q_at, kTileQueries);         // where a query begins; -1: there is none
  ORRERY_SHARED(int32_t, key_begin, kTileQueries);    // the keys that it sees: none, where there is none
  ORRERY_SHARED(int32_t, key_end, kTileQueries);
  ORRERY_SHARED(int64_t, score_at, kTileQueries);  // where its score of key 0 would go
  ORRERY_SHARED(int32_t, row_of, kTileQueries);
  const QueryTile tile = a.tiles[blockIdx.x];
  const auto kv_head = static_cast<int32_t>(blockIdx.y), split = static_cast<int32_t>(blockIdx.z) % a.n_splits;
  const int32_t slice = static_cast<int32_t>(blockIdx.z) / a.n_splits;
  const auto thread = static_cast<int32_t>(threadIdx.x);
  const int32_t column = thread % kSide, row = thread / kSide;

  if (thread < kTileQueries) {
    const Query query = query_of(a, tile, kv_head, thread);
    q_at[thread] = query.exists() ? query.row * a.q_stride + int64_t{query.head} * a.d_head_k : int64_t{-1};
    key_begin[thread] = query.keys.begin;
    key_end[thread] = query.keys.end;
    score_at[thread] = query.exists() ? scores_at(a, query) : int64_t{0};
    row_of[thread] = query.row;
  }
  SoftmaxSum softmax[4];
  for (SoftmaxSum& one : softmax) one = {-infinity(), 0.0f};
  float values[kDimChunks][4][4] = {};
  const int32_t first_dim = slice * kDimChunks * kSide * 4;

  const int32_t page_end = (tile.key_end + kPageKeys - 1) / kPageKeys;
  for (int32_t page = page_of_split(tile.key_begin / kPageKeys, split, a.n_splits); page < page_end;
       page += a.n_splits) {
    const PagePair pair = a.pages[tile.pages_at + page];
    float scores[4][4] = {};
    for (int32_t first = 0; first < a.d_head_k; first += kDepth) {
      __syncthreads();
      stage_keys(a, reinterpret_cast<const Element*>(pair.keys) + int64_t{kv_head} * kPageKeys * a.d_head_k, q_at,
                 first, asked, staged);
      __syncthreads();
      for (int32_t part = 0; part < kDepth && first + part < a.d_head_k; part += kDepthStep) {
        for (int32_t d = part; d < part + kDepthStep; ++d) {
          add_product(asked[d * kStride + row], staged[d * kStride + column], scores);
        }
      }
    }
    for (int i = 0; i < 4; ++i) {
      const int32_t first_key = page * kPageKeys + column * 4;
      const int32_t begin = key_begin[row * 4 + i] - first_key, end = key_end[row * 4 + i] - first_key;  // of j
      Four score;
      float most = softmax[i].greatest;
      for (int j = 0; j < 4; ++j) {
        score.of[j] = capped(scores[i][j], a.score_cap);
        if (j < begin || j >= end) continue;
        score.of[j] = row_score(a, row_of[row * 4 + i], first_key + j, score.of[j]);
        most = fmaxf(most, score.of[j]);
      }
      if (a.scores != nullptr && slice == 0 && begin < 4 && end > 0) {
        *reinterpret_cast<Four*>(a.scores + score_at[row * 4 + i] + first_key) = score;
      }
      most = side_max(most);
      const float factor = rescale(softmax[i].greatest, most);
      float sum = 0.0f;
      for (int j = 0; j < 4; ++j) {
        scores[i][j] = j >= begin && j < end ? weight_of(score.of[j], most) : 0.0f;
        sum += scores[i][j];
      }
      softmax[i] = {most, fmaf(softmax[i].sum, factor, side_sum(sum))};
      for (auto& chunk : values) {
        for (float& value : chunk[i]) value *= factor;
      }
    }
    for (int j = 0; j < 4; ++j) {
      weights[(column * 4 + j) * kStride + row] = Four{scores[0][j], scores[1][j], scores[2][j], scores[3][j]};
    }
    const auto* of_head = reinterpret_cast<const Element*>(pair.values) + int64_t{kv_head} * kPageKeys * a.value_stride;
    if (page * kPageKeys >= tile.all_begin && (page + 1) * kPageKeys <= tile.all_end) {
      add_values<true>(of_head, a.d_head_v, a.value_stride, first_dim, weights, staged, values);
    } else {
      add_values<false>(of_head, a.d_head_v, a.value_stride, first_dim, weights, staged, values);
    }
  }

  for (int i = 0; i < 4; ++i) {
    const Query query = query_of(a, tile, kv_head, row * 4 + i);
    if (!query.exists()) continue;
    const int64_t at = split_at(a, query, split);
    if (column == 0 && slice == 0) a.sums[at] = softmax[i];
    ORRERY_UNROLL for (int chunk = 0; chunk < kDimChunks; ++chunk) {
      for (int j = 0; j < 4; ++j) {
        const int32_t d = first_dim + (chunk * kSide + column) * 4 + j;
        if (d < a.d_head_v) a.values[at * a.d_head_v + d] = values[chunk][i][j];
      }
    }
  }
}

template <typename Element, int kDimChunks>
void push_tile(const AttentionPass& pass, int64_t n_tiles, CommandStream& stream) {
  const uint32_t n_slices = blocks_for(pass.d_head_v, kDimChunks * kSide * 4);
  const Extent grid{.x = static_cast<uint32_t>(n_tiles),
                    .y = static_cast<uint32_t>(pass.n_kv_heads),
                    .z = static_cast<uint32_t>(pass.n_splits) * n_slices};
  stream.push(make_launch("attention_tile", attention_tile_kernel<Element, kDimChunks>, grid, {.x = kThreads}, pass));
}

template <typename Element>
void push_tile(const AttentionPass& pass, int64_t n_tiles, CommandStream& stream) {
  const int32_t n_dim_chunks = (pass.d_head_v + kSide * 4 - 1) / (kSide * 4);
  if (n_dim_chunks <= 1) return push_tile<Element, 1>(pass, n_tiles, stream);
  if (n_dim_chunks <= 2) return push_tile<Element, 2>(pass, n_tiles, stream);
  push_tile<Element, kMostDimChunks>(pass, n_tiles, stream);
}

}  // namespace

void push_attention_tile(const AttentionPass& pass, DType kv_dtype, int64_t n_tiles, CommandStream& stream) {
  if (kv_dtype == DType::kF16) {
    push_tile<uint16_t>(pass, n_tiles, stream);
  } else {
    push_tile<float>(pass, n_tiles, stream);
  }
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
