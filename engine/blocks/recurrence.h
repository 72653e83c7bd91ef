// The recurrence of kernels/matrix_state.h inside a layer: its state in the cache, its statistics, its implied rows.
#pragma once

#include "engine/block.h"

namespace orrery {

// What is kept of a token, beside its keys, where implied rows are wanted.
struct HistoryParts {
  bool rate_by_channel = false;  // of the key; else by head
  bool has_rate = false;
  bool has_write = false;
  bool erases_by_pair = false;
};

// The matrices [n_heads, d_value, d_key] that a layer keeps.
StateSpec describe_matrix_state(const MatrixStateConfig& config, const HistoryParts& history);

// Runs this layer's rows through its states. args: all but `sequences`. Measures state.*.
void recur(const Step& step, const MatrixStateConfig& config, MatrixStateArgs args);

}  // namespace orrery
