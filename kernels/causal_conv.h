// Depthwise causal convolution over the rows of sequences, which remember their last rows:
// out[t, c] = bias[c] + sum_i taps[i, c] * x[t - L + 1 + i, c], i = 0 .. L - 1, x before the beginning being 0.
// Sources: Gu and Dao 2023 (Mamba), section 3.4; LFM2's operator.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/stat_slot.h"
#include "kernels/base/tensor.h"
#include "kernels/state_rows.h"

namespace orrery {

class ThreadPool;

struct CausalConvArgs {
  Matrix<const float> x;        // [n_rows, n_channels]
  std::span<const float> taps;  // [L, n_channels], oldest first
  std::span<const float> bias;  // [n_channels] or empty
  Matrix<float> out;            // [n_rows, n_channels]; must not overlap x
  int32_t n_taps = 0;           // L >= 1
  // Their states: [L - 1, n_channels] f32, the rows of x before the first one, oldest first; then those after the last.
  std::span<const StateRows> sequences;
};

// mean over channels of |taps[i, c] * x[t - L + 1 + i, c]|: [L] of every row, oldest first. Null: not wanted.
void causal_conv(const CausalConvArgs& args, StatSlot tap_means, ThreadPool& pool);
// The same in plain scalar code with double sums.
void causal_conv_reference(const CausalConvArgs& args, StatSlot tap_means);

}  // namespace orrery
