// The unit of parallel work of attention: some rows of one sequence, and query heads that share one key/value head.
// Its three steps, scores, weights, weighted values, may each be cut into parts, for few tiles that see many keys. A
// step's parts are computed alike whoever runs them, and every step begins when all of the one before is done.
// Internal to attention.
#pragma once

#include <hwy/aligned_allocator.h>

#include <cstdint>
#include <vector>

#include "kernels/attention.h"

namespace orrery {

struct AttentionTile {
  int64_t row_begin = 0, row_end = 0;  // rows of one sequence
  int32_t kv_head = 0;
  int32_t head_begin = 0, head_end = 0;  // query heads that read kv_head

  int64_t n_queries() const { return (row_end - row_begin) * (head_end - head_begin); }
};

// Aligned floats that grow and are kept.
class AttentionBuffer {
 public:
  float* at_least(int64_t n) {
    if (n > size_) {
      data_ = hwy::AllocateAligned<float>(static_cast<size_t>(n));
      size_ = n;
    }
    return data_.get();
  }
  float* data() const { return data_.get(); }

 private:
  hwy::AlignedFreeUniquePtr<float[]> data_;
  int64_t size_ = 0;
};

// What the steps of a tile hand on. A tile's "queries" are its (row, head) pairs.
struct AttentionTileWork {
  struct Query {
    int64_t row = 0;
    int32_t head = 0;
    int64_t key_begin = 0, key_end = 0;
  };

  AttentionTile tile;
  std::vector<Query> queries;
  int64_t page_begin = 0, page_end = 0;  // that any of them sees
  AttentionBuffer q;                     // [n_queries, padded d_head_k] scaled, zeros beyond the head
  AttentionBuffer weights;               // [n_queries, n_keys] scores, then weights; n_keys from page_begin to page_end
  AttentionBuffer out;                   // [n_queries, padded d_head_v]

  int64_t first_key() const { return page_begin * kKvPageTokens; }
  int64_t n_keys() const { return (page_end - page_begin) * kKvPageTokens; }
};

// Numbers of a value that are a part of the last step: a cache line of halves.
inline constexpr int64_t kAttentionValuePart = 32;

void begin_attention_tile(const AttentionArgs& args, const AttentionTile& tile, AttentionTileWork& work);
// Of the pages [begin, end), absolute.
void attention_scores(const AttentionArgs& args, int64_t begin, int64_t end, AttentionTileWork& work);
// And statistics; of the queries [begin, end).
void attention_weights(const AttentionArgs& args, const AttentionStats& stats, int64_t begin, int64_t end,
                       AttentionTileWork& work);
// Of the numbers [begin, end) of the values, begin a multiple of kAttentionValuePart, end as well or d_head_v.
void attention_values(const AttentionArgs& args, int64_t begin, int64_t end, AttentionTileWork& work);

}  // namespace orrery
