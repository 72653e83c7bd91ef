// Attention of few queries, as in a decode step: keys and values go from memory to registers once, in pieces of 16
// bytes where the heads' sizes allow it.
#include "kernels/base/check.h"
#include "kernels/cuda/attention_pass.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr int32_t kThreads = 128;
constexpr int32_t kWarps = kThreads / static_cast<int32_t>(kWarp);
constexpr auto kPageKeys = static_cast<int32_t>(kKvPageTokens);
constexpr int32_t kLanesPerKey = 8;
constexpr int32_t kKeysAtOnce = 4;  // of a thread
static_assert(kThreads / kLanesPerKey * kKeysAtOnce == kPageKeys, "a block takes a page of keys at once");
constexpr int32_t kMostQueryBytes = 32 << 10;  // of shared memory

template <typename Element, int kPiece>
struct alignas(sizeof(Element) * kPiece) Piece {
  Element elements[kPiece];
};

// A block per tile (x), key/value head (y), and split and slice of the values' dimensions (z).
template <typename Element, int kPiece, int kQueries>
__global__ void attention_step_kernel(AttentionPass a) {
  using P = Piece<Element, kPiece>;
  ORRERY_DYNAMIC_SHARED(float, q);  // [kQueries, kPiece, pieces of a key]: lanes read pieces side by side
  ORRERY_SHARED(float, weights, kQueries* kPageKeys);
  ORRERY_SHARED(float, factors, kQueries);
  ORRERY_SHARED(float, sums, kPiece* kThreads);
  const QueryTile tile = a.tiles[blockIdx.x];
  const auto kv_head = static_cast<int32_t>(blockIdx.y), split = static_cast<int32_t>(blockIdx.z) % a.n_splits;
  const int32_t slice = static_cast<int32_t>(blockIdx.z) / a.n_splits;
  const auto thread = static_cast<int32_t>(threadIdx.x);
  const int32_t warp = thread / static_cast<int32_t>(kWarp), lane = thread % static_cast<int32_t>(kWarp);

  const int32_t page_end = (tile.key_end + kPageKeys - 1) / kPageKeys;
  int32_t page = page_of_split(tile.key_begin / kPageKeys, split, a.n_splits);
  if (page >= page_end) {
    const Query query = thread < kQueries ? query_of(a, tile, kv_head, thread) : Query{};
    if (query.exists() && slice == 0) a.sums[split_at(a, query, split)] = {-infinity(), 0.0f};
    return;
  }

  const int32_t n_key_pieces = a.d_head_k / kPiece;
  for (int32_t i = 0; i < kQueries; ++i) {
    const Query query = query_of(a, tile, kv_head, i);
    const float* const from =
        query.exists() ? a.q + query.row * a.q_stride + int64_t{query.head} * a.d_head_k : nullptr;
    for (int32_t d = thread; d < a.d_head_k; d += kThreads) {
      q[(i * kPiece + d % kPiece) * n_key_pieces + d / kPiece] = from == nullptr ? 0.0f : from[d] * a.scale;
    }
  }

  // Softmax: warp w has queries w, w + kWarps, ...
  constexpr int kOwn = (kQueries + kWarps - 1) / kWarps;
  Query own[kOwn];
  SoftmaxSum softmax[kOwn];
  int64_t own_scores[kOwn] = {};
  for (int i = 0; i < kOwn; ++i) {
    if (warp + i * kWarps < kQueries) own[i] = query_of(a, tile, kv_head, warp + i * kWarps);
    if (own[i].exists()) own_scores[i] = scores_at(a, own[i]);
    softmax[i] = {-infinity(), 0.0f};
  }
  // Values: this thread has one piece of a value's dimensions and every n_teams-th key.
  const int32_t first_piece = slice * kThreads;
  const int32_t n_pieces = least(kThreads, a.d_head_v / kPiece - first_piece);
  const int32_t n_teams = kThreads / n_pieces, team = thread / n_pieces, piece = thread % n_pieces;
  float values[kQueries][kPiece] = {};

  for (; page < page_end; page += a.n_splits) {
    const PagePair pair = a.pages[tile.pages_at + page];
    __syncthreads();  // q is written; weights are read
    {
      const auto* keys = reinterpret_cast<const P*>(pair.keys) + int64_t{kv_head} * kPageKeys * n_key_pieces;
      const int32_t first_key = warp * (kPageKeys / kWarps) + lane / kLanesPerKey;
      constexpr int32_t kStep = static_cast<int32_t>(kWarp) / kLanesPerKey;
      float scores[kKeysAtOnce][kQueries] = {};
      for (int32_t at = lane % kLanesPerKey; at < n_key_pieces; at += kLanesPerKey) {
        P key[kKeysAtOnce];
        for (int j = 0; j < kKeysAtOnce; ++j) key[j] = keys[(first_key + j * kStep) * n_key_pieces + at];
        for (int e = 0; e < kPiece; ++e) {
          for (int i = 0; i < kQueries; ++i) {
            const float asked = q[(i * kPiece + e) * n_key_pieces + at];
            for (int j = 0; j < kKeysAtOnce; ++j) {
              scores[j][i] = fmaf(asked, as_float(key[j].elements[e]), scores[j][i]);
            }
          }
        }
      }
      for (int j = 0; j < kKeysAtOnce; ++j) {
        for (int i = 0; i < kQueries; ++i) {
          float score = scores[j][i];
          for (uint32_t offset = kLanesPerKey / 2; offset > 0; offset /= 2) {
            score += __shfl_xor_sync(kWholeWarp, score, offset);
          }
          if (lane % kLanesPerKey == 0) weights[i * kPageKeys + first_key + j * kStep] = capped(score, a.score_cap);
        }
      }
    }
    __syncthreads();
    for (int i = 0; i < kOwn; ++i) {
      const int32_t of = warp + i * kWarps;
      if (of >= kQueries) continue;
      float score[2];
      bool sees[2];
      float most = softmax[i].greatest;
      for (int j = 0; j < 2; ++j) {
        const int32_t at = lane + j * static_cast<int32_t>(kWarp);
        score[j] = weights[of * kPageKeys + at];
        sees[j] = own[i].exists() && own[i].sees(page * kPageKeys + at);
        if (!sees[j]) continue;
        score[j] = row_score(a, own[i].row, page * kPageKeys + at, score[j]);
        most = fmaxf(most, score[j]);
        if (a.scores != nullptr && slice == 0) a.scores[own_scores[i] + page * kPageKeys + at] = score[j];
      }
      most = warp_max(most);
      const float factor = rescale(softmax[i].greatest, most);
      float sum = 0.0f;
      for (int j = 0; j < 2; ++j) {
        const float weight = sees[j] ? weight_of(score[j], most) : 0.0f;
        weights[of * kPageKeys + lane + j * static_cast<int32_t>(kWarp)] = weight;
        sum += weight;
      }
      softmax[i] = {most, fmaf(softmax[i].sum, factor, warp_sum(sum))};
      if (lane == 0) factors[of] = factor;
    }
    __syncthreads();
    if (team < n_teams) {
      for (int i = 0; i < kQueries; ++i) {
        const float factor = factors[i];
        for (float& value : values[i]) value *= factor;
      }
      const auto* from = reinterpret_cast<const P*>(pair.values) +
                         int64_t{kv_head} * kPageKeys * (a.value_stride / kPiece) + first_piece + piece;
      const int32_t begin = greatest(0, tile.key_begin - page * kPageKeys);
      const int32_t end = least(kPageKeys, tile.key_end - page * kPageKeys);
      for (int32_t key = begin + team; key < end; key += n_teams) {
        const P value = from[key * (a.value_stride / kPiece)];
        for (int i = 0; i < kQueries; ++i) {
          const float weight = weights[i * kPageKeys + key];
          if (weight == 0.0f) continue;  // a value that is not seen may be anything
          for (int e = 0; e < kPiece; ++e) values[i][e] = fmaf(weight, as_float(value.elements[e]), values[i][e]);
        }
      }
    }
  }

  for (int i = 0; i < kOwn; ++i) {
    if (own[i].exists() && lane == 0 && slice == 0) a.sums[split_at(a, own[i], split)] = softmax[i];
  }
  // Sums over the teams.
  for (int i = 0; i < kQueries; ++i) {
    const Query query = query_of(a, tile, kv_head, i);
    __syncthreads();
    for (int e = 0; e < kPiece; ++e) sums[e * kThreads + thread] = values[i][e];
    __syncthreads();
    if (!query.exists()) continue;
    float* const out = a.values + split_at(a, query, split) * a.d_head_v + int64_t{first_piece} * kPiece;
    for (int32_t d = thread; d < n_pieces * kPiece; d += kThreads) {
      float sum = 0.0f;
      for (int32_t t = 0; t < n_teams; ++t) sum += sums[d % kPiece * kThreads + t * n_pieces + d / kPiece];
      out[d] = sum;
    }
  }
}

template <typename Element, int kPiece, int kQueries>
void push_step(const AttentionPass& pass, int64_t n_tiles, CommandStream& stream) {
  const uint32_t n_slices = blocks_for(pass.d_head_v / kPiece, kThreads);
  const Extent grid{.x = static_cast<uint32_t>(n_tiles),
                    .y = static_cast<uint32_t>(pass.n_kv_heads),
                    .z = static_cast<uint32_t>(pass.n_splits) * n_slices};
  stream.push(make_launch("attention_step", attention_step_kernel<Element, kPiece, kQueries>, grid, {.x = kThreads},
                          pass, static_cast<size_t>(kQueries) * static_cast<size_t>(pass.d_head_k) * sizeof(float)));
}

template <typename Element, int kPiece>
void push_step(const AttentionPass& pass, int64_t n_tiles, int32_t n_queries, CommandStream& stream) {
  switch (n_queries) {
    case 1:
      return push_step<Element, kPiece, 1>(pass, n_tiles, stream);
    case 4:
      return push_step<Element, kPiece, 4>(pass, n_tiles, stream);
    default:
      return push_step<Element, kPiece, 8>(pass, n_tiles, stream);
  }
}

template <typename Element>
void push_step(const AttentionPass& pass, int64_t n_tiles, int32_t n_queries, CommandStream& stream) {
  constexpr int kPiece = 16 / sizeof(Element);
  if (pass.d_head_k % kPiece == 0 && pass.d_head_v % kPiece == 0) {
    push_step<Element, kPiece>(pass, n_tiles, n_queries, stream);
  } else {
    push_step<Element, 1>(pass, n_tiles, n_queries, stream);
  }
}

}  // namespace

int32_t step_queries(const AttentionPass& pass, int64_t n_queries) {
  const auto fits = [&](int64_t n) { return n * pass.d_head_k * int64_t{sizeof(float)} <= kMostQueryBytes; };
  if (n_queries > 4 && fits(8)) return 8;
  return n_queries > 1 && fits(4) ? 4 : 1;
}

void push_attention_step(const AttentionPass& pass, DType kv_dtype, int64_t n_tiles, int32_t n_queries,
                         CommandStream& stream) {
  if (kv_dtype == DType::kF16) {
    push_step<uint16_t>(pass, n_tiles, n_queries, stream);
  } else {
    push_step<float>(pass, n_tiles, n_queries, stream);
  }
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
