// Attention over paged keys and values, by softmax or sigmoid, with the statistics of its rows filled where the rows
// are. out[r, h] = sum_s softmax_s(scale * q[r, h] . k[s, h / group])_s v[s, h / group], over the keys that row r may
// see; with a cap the scores x become cap * tanh(x / cap) before the softmax. Source: Vaswani et al. 2017, eq. 1;
// grouped queries as in Ainslie et al. 2023; the cap as in Gemma 2 (2024), section 2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/base/dtype.h"
#include "kernels/base/stat_slot.h"
#include "kernels/base/tensor.h"

namespace orrery {

class ThreadPool;

// Keys and values live in pages of 64 tokens: the blocks of `attention.mass`.
inline constexpr int64_t kKvPageTokens = 64;
inline constexpr int64_t kAttentionTopKeys = 32;

// The pages of one sequence in one layer, from page first_page on: those before it were dropped. Page p holds positions
// [64 p, 64 p + 64). Keys: [n_kv_heads, 64, d_head_k]; values: [n_kv_heads, 64, d_head_v], or the first d_head_v
// numbers of every key, where both are the same pages; both kF16 or kF32.
struct KvPages {
  std::span<const std::byte* const> keys;
  std::span<const std::byte* const> values;
  int64_t first_page = 0;

  const std::byte* keys_of(int64_t page) const { return keys[static_cast<size_t>(page - first_page)]; }
  const std::byte* values_of(int64_t page) const { return values[static_cast<size_t>(page - first_page)]; }
};

// One query row: which sequence it belongs to and which keys it may see, [key_begin, key_end) as absolute positions.
// The row's own position is key_end - 1.
struct AttentionRow {
  int32_t sequence = 0;
  int64_t key_begin = 0;
  int64_t key_end = 0;
  // Which of these keys are seen: bit i of word w is key 64 (key_begin / 64 + w) + i. Empty: all; else a word for each
  // page from key_begin's to that of key_end - 1, and for a softmax at least one key. The others weigh 0.
  std::span<const uint64_t> visible = {};
  float score_bias = 0.0f;  // added to the row's scores: a sigmoid's -ln(number of keys)
};

enum class AttentionNormaliser : uint8_t {
  kSoftmax,
  kSigmoid,  // each weight by itself, 1 / (1 + exp(-score)). Source: Ramapuram et al. 2024, eq. 3
};

// Statistics of the rows exactly as used (never renormalised). w: the row's weights; t: the row's own position.
struct AttentionStats {
  StatSlot entropy;   // [n_heads] nats: -sum w ln w
  StatSlot first;     // [n_heads] sum of w on keys 0..3
  StatSlot previous;  // [n_heads] w on key t - 1 (0 at t = 0)
  StatSlot distance;  // [n_heads] sum w (t - key) / sum w
  StatSlot top;       // [n_heads, 32, 2] key, weight; largest first, ties to the lower key; padded with (-1, 0)
  StatSlot rest;      // [n_heads] sum of the weights that are not in top
  StatSlot mass;      // [n_heads, n_mass_blocks] sum of w per block of 64 keys, zeros beyond the row
  int64_t n_mass_blocks = 0;
  StatSlot rows;                       // [row_heads.size(), n_row_keys] the weights, zeros outside what the row sees
  std::span<const int32_t> row_heads;  // ascending query heads whose rows are wanted
  int64_t n_row_keys = 0;
};

struct AttentionArgs {
  Matrix<const float> q;  // [n_rows, n_heads * d_head_k], rotated
  Matrix<float> out;      // [n_rows, n_heads * d_head_v]
  std::span<const AttentionRow> rows;
  std::span<const KvPages> sequences;
  DType kv_dtype = DType::kF16;
  int32_t n_heads = 0;
  int32_t n_kv_heads = 0;  // query head h reads key/value head h * n_kv_heads / n_heads
  int32_t d_head_k = 0;
  int32_t d_head_v = 0;
  bool values_in_keys = false;  // a value is the first d_head_v <= d_head_k numbers of its key (latent attention)
  float scale = 0.0f;
  float score_cap = 0.0f;  // 0: none
  AttentionNormaliser normaliser = AttentionNormaliser::kSoftmax;
  // [n_heads] or empty: a logit per head that takes its share of the softmax and has no value. Source: Agarwal et al.
  // 2025 (gpt-oss). In the backend's memory.
  std::span<const float> sinks;

  // Numbers from a value of a head to that of the next token.
  int32_t value_stride() const { return values_in_keys ? d_head_k : d_head_v; }
};

// Deterministic for any number of threads; a row's result does not depend on the other rows of the batch.
void attention(const AttentionArgs& args, const AttentionStats& stats, ThreadPool& pool);

// Plain scalar version of the same in double accumulators: the reference that the fast one is tested against.
void attention_reference(const AttentionArgs& args, const AttentionStats& stats);

}  // namespace orrery
