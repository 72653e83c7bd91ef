// DenseFfn: SwiGLU feed-forward, down(SiLU(gate x) * up x). Source: Shazeer 2020.
#pragma once

#include "engine/block.h"

namespace orrery {

struct DenseFfnWeights {
  TensorView gate, up;            // [d_ffn, d_model]
  TensorView down;                // [d_model, d_ffn]
  TensorView gate_bias, up_bias;  // [d_ffn] or empty
  TensorView down_bias;           // [d_model] or empty
};

class DenseFfn final : public FeedForward {
 public:
  explicit DenseFfn(DenseFfnWeights weights) : weights_(std::move(weights)) {}
  FeedForwardKind kind() const override { return FeedForwardKind::kDense; }
  void forward(const Step& step, Matrix<const float> x, Matrix<float> out) const override;

 private:
  DenseFfnWeights weights_;
};

}  // namespace orrery
