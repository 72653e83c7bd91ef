// RgLru: the recurrent block of Griffin. y = act(W_y x);   u = conv(W_x x);   gates block by block of u's channels:
// i = sigmoid(G_i u), r = sigmoid(G_r u);   a = exp(-8 softplus(Lambda) r);   h <- a h + sqrt(1 - a^2) i u, every
// channel by itself;   out(h y). A sequence's first token is written whole. Source: De et al. 2024 (Griffin), eq. 1 -
// 4; reference class RecurrentGemmaRecurrentBlock.
#pragma once

#include <vector>

#include "engine/block.h"

namespace orrery {

struct RgLruConfig {
  ConvConfig conv;
  MatrixStateConfig state;  // every channel a head of one number; measured by block
  Activation activation = Activation::kGeluTanh;
};

struct RgLruWeights {
  TensorView x, x_bias;                 // [width, d_model]; [width] f32 or empty
  TensorView y, y_bias;                 // the same
  TensorView taps, taps_bias;           // [n_taps, width] f32, oldest first; [width] or empty
  std::vector<TensorView> input_gate;   // n_blocks of [width / n_blocks, width / n_blocks]: G_i
  std::vector<TensorView> forget_gate;  // the same: G_r
  TensorView input_bias, forget_bias;   // [n_blocks, width / n_blocks] f32
  TensorView log_decay;                 // [width] f32: -8 softplus(Lambda)
  TensorView one;                       // [1] f32: 1, as key and query
  TensorView out, out_bias;             // [d_model, width]; [d_model] f32 or empty
};

class RgLru final : public Mixer {
 public:
  RgLru(const RgLruConfig& config, RgLruWeights weights) : config_(config), weights_(std::move(weights)) {}

  std::vector<StateSpec> describe_state(DType) const override;
  void forward(const Step& step, Matrix<const float> x, Matrix<float> out) const override;

 private:
  RgLruConfig config_;
  RgLruWeights weights_;
};

}  // namespace orrery
