// LinearAttention: attention without softmax, a state with fixed decays: S <- a S + v k^T, y = scale * S q, then a norm
// and a gate. RetNet: queries and keys turn (rotary), a_h = 1 - 2^(-5-h), normed head by head, times silu(gate x).
// Lightning attention: queries, keys and values pass silu, all heads are normed as one, times sigmoid(gate x).
// Sources: Sun et al. 2023 (RetNet), eq. 3; Qin et al. 2024 (Lightning Attention-2), reference class
// MiniMaxLightningAttention.
#pragma once

#include <optional>
#include <vector>

#include "engine/block.h"

namespace orrery {

struct LinearAttentionConfig {
  MatrixStateConfig state;
  std::optional<Activation> input_activation;  // of queries, keys and values
  RopeConfig rope;                             // of queries and keys; no frequencies: they do not turn
  float read_scale = 1.0f;
  Activation gate_activation = Activation::kSilu;
  float norm_epsilon = 0.0f;

  int64_t key_width() const { return int64_t{state.sizes.n_groups} * state.sizes.d_key; }
  int64_t value_width() const { return int64_t{state.sizes.n_heads} * state.sizes.d_value; }
};

struct LinearAttentionWeights {
  TensorView q, k;       // [key_width, d_model]
  TensorView v, gate;    // [value_width, d_model]; gate may be empty
  TensorView log_decay;  // [n_heads] f32, ln a
  TensorView norm;       // [d_value] f32: head by head; [value_width]: all heads as one; empty: not normed
  TensorView out;        // [d_model, value_width]
};

class LinearAttention final : public Mixer {
 public:
  LinearAttention(LinearAttentionConfig config, const LinearAttentionWeights& weights)
      : config_(std::move(config)), weights_(weights) {}

  std::vector<StateSpec> describe_state(DType) const override;
  void forward(const Step& step, Matrix<const float> x, Matrix<float> out) const override;

 private:
  LinearAttentionConfig config_;
  LinearAttentionWeights weights_;
};

}  // namespace orrery
