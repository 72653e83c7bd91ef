// TttMixer: test-time training (Sun et al. 2024) in place of attention: queries, keys and values turn each token into
// one step of learning, and what was learned is read; then a layer norm, and where there is one a gate, GELU's tanh
// form. Reference classes: TTTLinear and TTTMLP of the authors' ttt-lm-pytorch, in its primal form.
//
// Queries and keys turn (rotary) by their place in the mini-batch, neighbouring dimensions being pairs. Where they
// share a projection, each has a short convolution of its own behind it.
#pragma once

#include <vector>

#include "engine/block.h"

namespace orrery {

struct TttMixerConfig {
  FastWeightsConfig fast;
  RopeConfig rope;
  float base_rate = 1.0f;
  float norm_epsilon = 1e-6f;   // within the inner loss, and after the layer
  int64_t n_floats_before = 0;  // of the layer's convolution state, which are those of the block around (TttBlock)

  int64_t width() const { return int64_t{fast.n_heads} * fast.d_head; }
};

struct TttMixerWeights {
  TensorView q, k, v, gate;           // [width, d_model]; k is empty where keys are made of q's projection, gate may be
  TensorView q_taps, q_bias;          // [n_qk_taps, width] f32, oldest first; [width] f32; where k is empty
  TensorView k_taps, k_bias;          // the same
  TensorView rate, rate_bias;         // [n_heads, d_model], [n_heads] f32
  TensorView share;                   // [batch_size] f32, >= 0
  TensorView learned;                 // [n_heads, n_weights] f32 (FastWeightsSizes)
  TensorView norm_weight, norm_bias;  // [n_heads, d_head] f32, of the inner loss
  TensorView post_weight, post_bias;  // [width] f32
  TensorView out;                     // [d_model, width]
};

class TttMixer final : public Mixer {
 public:
  TttMixer(TttMixerConfig config, const TttMixerWeights& weights) : config_(std::move(config)), weights_(weights) {}

  std::vector<StateSpec> describe_state(DType) const override;
  void forward(const Step& step, Matrix<const float> x, Matrix<float> out) const override;

 private:
  // of_both: which of the states of queries and keys, 0 or 1.
  void convolve(const Step& step, int of_both, Matrix<const float> shared, Matrix<float> out) const;
  void learn(const Step& step, Matrix<float> q, Matrix<const float> k, Matrix<const float> v,
             Matrix<const float> rate) const;

  TttMixerConfig config_;
  TttMixerWeights weights_;
};

}  // namespace orrery
