// MambaMixer: the selective state space of Mamba-1. [u; z] = in x; u = silu(conv(u)); [delta; B; C] = project u, each
// normed where the architecture does; step = softplus(time_step delta + bias); every channel of u is a head with a
// state of d_key numbers: S <- exp(step A) S + step u B, y = S C + D u; out(y * silu(z)). Source: Gu and Dao 2023,
// section 3; reference classes MambaMixer, FalconMambaMixer, JambaMambaMixer.
#pragma once

#include <vector>

#include "engine/block.h"

namespace orrery {

struct MambaWeights {
  TensorView in, in_bias;                 // [2 * d_inner, d_model]: u, z
  TensorView taps, taps_bias;             // [n_taps, d_inner] f32, oldest first; [d_inner] or empty
  TensorView project;                     // [rank + 2 * d_key, d_inner]: delta, B, C
  TensorView delta_norm, b_norm, c_norm;  // [rank], [d_key], [d_key] f32; empty: not normed
  TensorView time_step, time_step_bias;   // [d_inner, rank]; [d_inner] or empty
  TensorView log_decay;                   // [d_inner, d_key] f32: A = -exp(A_log)
  TensorView skip;                        // [d_inner] f32: D
  TensorView out, out_bias;               // [d_model, d_inner]
};

class MambaMixer final : public Mixer {
 public:
  // norm_epsilon: of the norms of delta, B and C.
  MambaMixer(ConvConfig conv, MatrixStateConfig state, const MambaWeights& weights, float norm_epsilon)
      : conv_(conv), state_(state), weights_(weights), norm_epsilon_(norm_epsilon) {}

  std::vector<StateSpec> describe_state(DType) const override;
  void forward(const Step& step, Matrix<const float> x, Matrix<float> out) const override;

 private:
  // A copy of some columns, normed where there is a weight.
  Matrix<const float> part(const Step& step, Matrix<const float> columns, const TensorView& norm) const;

  ConvConfig conv_;
  MatrixStateConfig state_;
  MambaWeights weights_;
  float norm_epsilon_;
};

}  // namespace orrery
