// DenseFfn: gated feed-forward, down(activation(gate x) * up x): SwiGLU with SiLU, GeGLU with GELU. Source: Shazeer
// 2020. Without a gate: down(activation(up x)).
#pragma once

#include "engine/block.h"
#include "engine/blocks/low_rank.h"

namespace orrery {

struct DenseFfnWeights {
  TensorView gate;                   // [d_ffn, d_model], or empty: not gated
  TensorView up;                     // [d_ffn, d_model]
  TensorView down;                   // [d_model, d_ffn]
  TensorView gate_bias, up_bias;     // [d_ffn] or empty
  TensorView down_bias;              // [d_model] or empty
  LowRank gate_adapter, up_adapter;  // added to the two, or empty
};

// Factors that an architecture has inside (Falcon-H1): activation(gate_scale * gate x), out_scale * down(...).
struct DenseFfnScales {
  float gate = 1.0f;
  float out = 1.0f;
};

class DenseFfn final : public FeedForward {
 public:
  DenseFfn(Activation activation, const DenseFfnWeights& weights, const DenseFfnScales& scales = {})
      : activation_(activation), weights_(weights), scales_(scales) {}
  void forward(const Step& step, Matrix<const float> x, Matrix<float> out) const override;

 private:
  Activation activation_;
  DenseFfnWeights weights_;
  DenseFfnScales scales_;
};

}  // namespace orrery
