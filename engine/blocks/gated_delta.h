// GatedDelta: the gated delta net. [q; k; v] = silu(conv(projections of x)), q and k of unit length head by head;
// w = sigmoid(write x), a = exp(-exp(A_log) softplus(rate x + bias)) per value head;
// S <- a S, S <- S + w (v - S k) k^T, y = S q / sqrt(d_key); out(norm(y) * silu(gate x)), the norm head by head.
// Source: Yang et al. 2024 (Gated Delta Networks), eq. 10; reference classes Qwen3NextGatedDeltaNet,
// OlmoHybridGatedDeltaNet.
//
// Kimi's delta net has a rate for every channel of a head's key, S <- S diag(a), makes rates and gates through a
// narrower space, and gates by a sigmoid. Source: Kimi Team 2025 (Kimi Linear), eq. 1; reference class
// KimiLinearDeltaAttention.
#pragma once

#include <vector>

#include "engine/block.h"

namespace orrery {

struct GatedDeltaConfig {
  ConvConfig conv;  // over 2 * n_groups * d_key + n_heads * d_value channels: q, k, v
  MatrixStateConfig state;
  float write_scale = 1.0f;  // 2 where states may change their sign
  Activation gate_activation = Activation::kSilu;
  float norm_epsilon = 0.0f;

  int64_t key_width() const { return int64_t{state.sizes.n_groups} * state.sizes.d_key; }
  int64_t value_width() const { return int64_t{state.sizes.n_heads} * state.sizes.d_value; }
};

struct GatedDeltaWeights {
  TensorView q, k;         // [key_width, d_model]
  TensorView v, gate;      // [value_width, d_model]
  TensorView write, rate;  // [n_heads, d_model]; rates by channel: [n_heads * d_key, d_model]
  // [rank, d_model], or empty: x is first taken into a narrower space, and the columns of gate, or rate, are its rank.
  TensorView gate_down, rate_down;
  TensorView taps, taps_bias;  // [n_taps, channels] f32, oldest first; one per channel, or empty
  TensorView rate_bias;        // as many as rates, f32
  TensorView log_decay;        // [n_heads] f32: -exp(A_log)
  TensorView unit;             // [d_key] f32, 1 / sqrt(d_key) each: an RMS norm with it makes length 1
  TensorView norm;             // [d_value] f32
  TensorView out;              // [d_model, value_width]
};

class GatedDelta final : public Mixer {
 public:
  GatedDelta(const GatedDeltaConfig& config, const GatedDeltaWeights& weights) : config_(config), weights_(weights) {}

  std::vector<StateSpec> describe_state(DType) const override;
  void forward(const Step& step, Matrix<const float> x, Matrix<float> out) const override;

 private:
  struct Inputs {
    Matrix<float> channels;  // [n_rows, conv.n_channels] q, k, v
    Matrix<float> gate, write, rate;
  };
  Inputs project(const Step& step, Matrix<const float> x) const;
  // silu of some columns, as queries or keys of length 1.
  Matrix<const float> unit_heads(const Step& step, Matrix<const float> columns) const;

  GatedDeltaConfig config_;
  GatedDeltaWeights weights_;
};

}  // namespace orrery
