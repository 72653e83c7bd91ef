// Mamba2Mixer: [z; xBC; dt] = in x; xBC = silu(conv(xBC)); step = clamp(softplus(dt + bias)); per head
// S <- exp(step A) S + step x B^T, y = S C + D x; then a gate silu(z) and a norm in the order that the architecture
// has; out. Source: Dao and Gu 2024, sections 6 and 7; reference classes Mamba2Mixer, BambaMixer, FalconH1Mixer,
// NemotronHMamba2Mixer, Zamba2MambaMixer.
#pragma once

#include <array>
#include <vector>

#include "engine/block.h"

namespace orrery {

enum class GatedNorm : uint8_t {
  kGateThenNorm,  // norm(y * silu(z))
  kNormThenGate,  // norm(y) * silu(z)
  kGateAlone,     // y * silu(z)
};

struct Mamba2Config {
  ConvConfig conv;  // over d_inner + 2 * n_groups * d_key channels: x, B, C
  MatrixStateConfig state;
  SoftplusRange time_steps;
  GatedNorm gated_norm = GatedNorm::kGateThenNorm;
  int32_t n_norm_groups = 1;  // of the columns of y, each normed by itself
  float norm_epsilon = 0.0f;
  // What the parts of the inner projection and the input are multiplied with (Falcon-H1): z, x, B, C, dt.
  float in_scale = 1.0f;
  std::array<float, 5> part_scales{1.0f, 1.0f, 1.0f, 1.0f, 1.0f};

  int64_t d_inner() const { return int64_t{state.sizes.n_heads} * state.sizes.d_value; }
  int64_t key_width() const { return int64_t{state.sizes.n_groups} * state.sizes.d_key; }
};

struct Mamba2Weights {
  TensorView in, in_bias;  // [2 * d_inner + 2 * key_width + n_heads, d_model]: z, x, B, C, dt; bias as many, or empty
  TensorView taps, taps_bias;  // [n_taps, d_inner + 2 * key_width] f32, oldest first; one per channel, or empty
  TensorView time_step_bias;   // [n_heads] f32
  TensorView log_decay;        // [n_heads] f32: A = -exp(A_log)
  TensorView skip;             // [n_heads] f32: D
  TensorView norm;             // [d_inner] f32; empty where it only gates
  TensorView out, out_bias;    // [d_model, d_inner]
};

class Mamba2Mixer final : public Mixer {
 public:
  Mamba2Mixer(const Mamba2Config& config, const Mamba2Weights& weights) : config_(config), weights_(weights) {}

  std::vector<StateSpec> describe_state(DType) const override;
  void forward(const Step& step, Matrix<const float> x, Matrix<float> out) const override;

 private:
  // [n_rows, z | x B C | dt], scaled.
  void project(const Step& step, Matrix<const float> x, Matrix<float> inner) const;
  void gate_and_norm(const Step& step, Matrix<const float> z, Matrix<float> y) const;

  Mamba2Config config_;
  Mamba2Weights weights_;
};

}  // namespace orrery
