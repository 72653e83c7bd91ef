// The recurrence of kernels/matrix_state.h inside a layer: its state in the cache, its statistics, its implied rows.
#pragma once

#include "engine/block.h"

namespace orrery {

// The matrices [n_heads, d_value, d_key] that a layer keeps. Rates and writes per head, or rates by key channel, are
// kept with the keys where implied rows are wanted.
StateSpec describe_matrix_state(const MatrixStateConfig& config, bool rate_by_channel, bool has_rate, bool has_write);

// Runs this layer's rows through its states. args: all but `sequences`. Measures state.*.
void recur(const Step& step, const MatrixStateConfig& config, MatrixStateArgs args);

}  // namespace orrery
