// Rwkv7TimeMix: the mixer of RWKV-7. Six mixtures of a token with the one before it, x^c = x + mu_c (x_prev - x), give
// r, k, v = W_r x^r, W_k x^k, W_v x^v;   decay w = exp(-e^(-1/2) sigmoid(w0 + W2 tanh(W1 x^w)));
// a = sigmoid(a0 + A2 A1 x^a);   g = G2 sigmoid(G1 x^g);   v <- v + (v_first - v) sigmoid(v0 + V2 V1 x^v), where
// v_first is the first layer's v;   e = (k k_k) of length 1 head by head;   k <- k (1 + (a - 1) k_a); S <- S diag(w) -
// (S e)(a e)^T + v k^T,   y = norm(S r) + (r . (k r_k)) v head by head,   out(y g). Source: Peng et al. 2025 (RWKV-7
// "Goose"); reference class flash-linear-attention's RWKV7Attention.
#pragma once

#include <optional>
#include <vector>

#include "engine/block.h"
#include "engine/blocks/low_rank.h"

namespace orrery {

struct Rwkv7Config {
  MatrixStateConfig state;
  float unit_epsilon = 0.0f;  // in the norm that makes e, of mean squares
  float norm_epsilon = 0.0f;  // in the norm of what is read, head by head
  bool is_first = false;      // the layer whose values later ones mix in
};

// up(down x) + bias
struct Rwkv7LowRank {
  LowRank map;
  TensorView bias;  // [n_out] f32, or empty
};

struct Rwkv7Weights {
  TensorView mix;                 // [6, d_model] f32: r, w, k, v, a, g
  TensorView r, k;                // [n_heads * d_key, d_model]
  TensorView v;                   // [n_heads * d_value, d_model]
  Rwkv7LowRank decay;             // w
  Rwkv7LowRank rate;              // a
  Rwkv7LowRank value;             // v; empty in the first layer
  Rwkv7LowRank gate;              // g
  TensorView log_decay;           // [n_heads] f32: -e^(-1/2)
  TensorView erase_key;           // [n_heads * d_key] f32, as the next three: k_k
  TensorView key_rate, key_rest;  // k_a; 1 - k_a
  TensorView bonus;               // r_k
  TensorView unit;                // [d_key] f32, 1 / sqrt(d_key) each: an RMS norm with it makes length 1
  TensorView norm, norm_bias;     // [n_heads, d_value] f32
  TensorView out;                 // [d_model, n_heads * d_value]
};

class Rwkv7TimeMix final : public Mixer {
 public:
  Rwkv7TimeMix(const Rwkv7Config& config, const Rwkv7Weights& weights) : config_(config), weights_(weights) {}

  // Also what the layer's channel mix remembers.
  std::vector<StateSpec> describe_state(DType) const override;
  // The first layer fills step.carried, later ones read it.
  void forward(const Step& step, Matrix<const float> x, Matrix<float> out) const override;

 private:
  // Mixes the first layer's values into v, or keeps them.
  void mix_values(const Step& step, Matrix<const float> x, Matrix<float> v) const;

  Rwkv7Config config_;
  Rwkv7Weights weights_;
};

}  // namespace orrery
