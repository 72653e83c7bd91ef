// What the kernels of attention share: the work of a pass, cut into tiles of queries and splits of keys.
// Internal to attention.
//
// A "query" is a (row, head) pair. A tile is some consecutive queries of one sequence that share a key/value head;
// split s of a tile takes the pages p with p % n_splits == s, whatever the tile, so that what a row gets from a split
// does not depend on the rows beside it. The splits of a query are merged by attention_merge.
#pragma once

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/cuda/command_stream.h"
#include "kernels/cuda/language.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

// Where page p of a sequence lies: entry QueryTile::pages_at + p of the table.
struct PagePair {
  const std::byte* keys = nullptr;
  const std::byte* values = nullptr;
};

// The keys that a row sees.
struct RowKeys {
  int32_t begin = 0;
  int32_t end = 0;
};

// How a row's scores become those of the softmax, where that is not the usual way.
struct RowScores {
  float bias = 0.0f;
  int32_t words_at = -1;  // where its mask's words begin; -1: it sees all its keys
};

// Queries [query_begin, query_end) of a run of rows of one sequence: query i is row first_row + i / group and the
// (i % group)-th head of those that share a key/value head.
struct QueryTile {
  int32_t first_row = 0;
  int32_t query_begin = 0;
  int32_t query_end = 0;
  int32_t pages_at = 0;   // may be negative: pages before the sequence's first are not in the table
  int32_t key_begin = 0;  // keys that some row of the tile sees
  int32_t key_end = 0;
  int32_t all_begin = 0;  // keys that all of them see; empty where all_begin >= all_end
  int32_t all_end = 0;
};

// The greatest score of some keys, and the sum of exp(score - greatest) over them; (-inf, 0) for no keys.
struct SoftmaxSum {
  float greatest = 0.0f;
  float sum = 0.0f;
};

// The argument of the kernels that read keys and values.
struct AttentionPass {
  const float* q = nullptr;
  const RowKeys* rows = nullptr;  // [n_rows]
  const PagePair* pages = nullptr;
  const QueryTile* tiles = nullptr;
  SoftmaxSum* sums = nullptr;  // [n_rows, n_heads, n_splits]
  float* values = nullptr;     // [n_rows, n_heads, n_splits, d_head_v] sums of exp(score - greatest) * value
  float* scores = nullptr;     // [n_rows, n_heads, score_width] from the row's first page on; null where nobody asks
  const RowScores* row_scores = nullptr;  // [n_rows]; null where neither masks nor sigmoids are
  const uint64_t* mask_words = nullptr;
  int64_t q_stride = 0;
  int64_t score_width = 0;
  int32_t n_heads = 0;
  int32_t n_kv_heads = 0;
  int32_t d_head_k = 0;
  int32_t d_head_v = 0;
  int32_t value_stride = 0;  // numbers from a value to that of the next token
  int32_t group = 0;         // most query heads of a key/value head
  int32_t n_splits = 0;
  float scale = 0.0f;
  float score_cap = 0.0f;
  AttentionNormaliser normaliser = AttentionNormaliser::kSoftmax;
  uint8_t unused[3] = {};
};

// The kernels that read keys and values, for tiles of at most n_queries queries: the step's for few, the tile's for
// kTileQueries. Both write pass.sums, pass.values and pass.scores.
inline constexpr int32_t kTileQueries = 64;
// The most queries that a tile of attention_step should have, where the longest run of a sequence has n_queries: 1, 4
// or 8.
int32_t step_queries(const AttentionPass& pass, int64_t n_queries);
void push_attention_step(const AttentionPass& pass, DType kv_dtype, int64_t n_tiles, int32_t n_queries,
                         CommandStream& stream);
void push_attention_tile(const AttentionPass& pass, DType kv_dtype, int64_t n_tiles, CommandStream& stream);

// Statistics of rows whose scores are known: scores [n_rows, n_heads, width] become weights.
struct AttentionScores {
  float* scores = nullptr;
  const SoftmaxSum* sums = nullptr;  // [n_rows, n_heads] over all keys of a row, and the head's sink
  const RowKeys* rows = nullptr;
  int64_t width = 0;
  int64_t n_rows = 0;
  int32_t n_heads = 0;
  uint32_t unused = 0;
};
void push_attention_stats(const AttentionScores& scores, const AttentionStats& stats, CommandStream& stream);

__device__ inline int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }
__device__ inline int32_t greatest(int32_t a, int32_t b) { return a > b ? a : b; }

__device__ inline float as_float(uint16_t bits) { return half_to_float(bits); }
__device__ inline float as_float(float value) { return value; }

// exp(from - to) for a greatest score that rises: 1 where both are -inf.
__device__ inline float rescale(float from, float to) { return from == to ? 1.0f : expf(from - to); }

__device__ inline float capped(float score, float cap) { return cap > 0.0f ? cap * tanhf(score / cap) : score; }

// The score of a key that a row may see, as it goes into the softmax: -inf where its mask hides the key; the logarithm
// of its sigmoid, whose exponential is the sigmoid's weight.
__device__ inline float row_score(const AttentionPass& pass, int32_t row, int32_t key, float score) {
  if (pass.row_scores == nullptr) return score;
  const RowScores how = pass.row_scores[row];
  if (how.words_at >= 0) {
    const uint64_t word = pass.mask_words[how.words_at + (key - pass.rows[row].begin / kKvPageTokens * kKvPageTokens) /
                                                             static_cast<int32_t>(kKvPageTokens)];
    if ((word >> (key % static_cast<int32_t>(kKvPageTokens)) & 1u) == 0) return -infinity();
  }
  if (pass.normaliser == AttentionNormaliser::kSoftmax) return score;
  const float x = score + how.bias;
  return fminf(x, 0.0f) - log1pf(expf(-fabsf(x)));
}

// exp(score - most), and 0 for a key that is hidden, even where all are.
__device__ inline float weight_of(float score, float most) { return score == -infinity() ? 0.0f : expf(score - most); }

struct Query {
  int32_t row = -1;  // -1: the tile has no such query
  int32_t head = 0;
  RowKeys keys;

  __device__ bool exists() const { return row >= 0; }
  __device__ bool sees(int32_t key) const { return key >= keys.begin && key < keys.end; }
};

// Query i of a tile for one key/value head. Heads h with h * n_kv_heads / n_heads == kv_head read it.
__device__ inline Query query_of(const AttentionPass& pass, const QueryTile& tile, int32_t kv_head, int32_t i) {
  Query query;
  const int32_t at = tile.query_begin + i;
  const int64_t n_heads = pass.n_heads, n_kv_heads = pass.n_kv_heads;
  const auto head_begin = static_cast<int32_t>((kv_head * n_heads + n_kv_heads - 1) / n_kv_heads);
  const auto head_end = static_cast<int32_t>(((kv_head + 1) * n_heads + n_kv_heads - 1) / n_kv_heads);
  query.head = head_begin + at % pass.group;
  if (at >= tile.query_end || query.head >= head_end) return query;
  query.row = tile.first_row + at / pass.group;
  query.keys = pass.rows[query.row];
  return query;
}

// The place of a query's split among sums; times d_head_v, among values.
__device__ inline int64_t split_at(const AttentionPass& pass, const Query& query, int32_t split) {
  return (int64_t{query.row} * pass.n_heads + query.head) * pass.n_splits + split;
}

// The place among pass.scores where a query's score of key 0 would be, though its first page is the first that is
// there.
__device__ inline int64_t scores_at(const AttentionPass& pass, const Query& query) {
  return (int64_t{query.row} * pass.n_heads + query.head) * pass.score_width -
         query.keys.begin / kKvPageTokens * kKvPageTokens;
}

// The first page of a split from `page` on.
__device__ inline int32_t page_of_split(int32_t page, int32_t split, int32_t n_splits) {
  return page + (split + n_splits - page % n_splits) % n_splits;
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
