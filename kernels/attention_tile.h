// The unit of parallel work of attention: some rows of one sequence, and query heads that share one key/value head.
// Internal to attention.
#pragma once

#include <cstdint>

#include "kernels/attention.h"

namespace orrery {

struct AttentionTile {
  int64_t row_begin = 0, row_end = 0;  // rows of one sequence
  int32_t kv_head = 0;
  int32_t head_begin = 0, head_end = 0;  // query heads that read kv_head
};

// Computes a tile: outputs and statistics of its rows and heads.
void attention_tile(const AttentionArgs& args, const AttentionStats& stats, const AttentionTile& tile);

}  // namespace orrery
