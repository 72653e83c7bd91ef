// A made-up model with every kind of mixer, for the views of convolutions, of mixing, and of the lens: 0 a gated
// convolution (3 taps), 1 attention (2 heads, window 6), 2 Mamba-2 (3 heads, 4 taps), 3 attention (4 heads) beside
// Mamba-2 (3 heads, 4 taps). Every number follows from seed, step, layer and the rest.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/views/sample_run.h"

namespace orrery {

struct MixerRun {
  uint32_t seed = 1;
  bool exact = true;    // attention.row; else attention.mass and attention.top
  bool implied = true;  // state.row
  bool lens = true;     // lens.top
  Origin origin = Origin::kLive;

  static constexpr int64_t kWindow = 6;
  static constexpr int32_t kLensTop = 8;

  RunInfo info() const;
  float tap(int64_t step, int32_t layer, int32_t tap) const;  // oldest first
  float gate(int64_t step, bool is_in) const;                 // of layer 0
  // Sums to 1 over the keys that are seen; 0 outside the window.
  std::vector<float> weights(int64_t step, int32_t layer, int32_t head) const;
  float implied_weight(int64_t step, int32_t layer, int32_t head, int64_t key) const;
  int32_t lens_id(int64_t step, int32_t layer, int32_t place) const;
  float lens_probability(int64_t step, int32_t layer, int32_t place) const;

  // The probes of one step; the token after it becomes known as well.
  FrameBatch batch(int64_t step) const;
  FrameHistory history(int64_t n_steps) const;
};

}  // namespace orrery
