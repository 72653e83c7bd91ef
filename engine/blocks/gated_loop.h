// GatedLoop: every iteration reads keep * h + inject * e, channel by channel: what reached the loop is put in again
// before each. A small network says with which probability a token stops: sigmoid(down(SiLU(up(norm(h))))). Sources:
// input injection as in Geiping et al. 2025 (Huginn), the gate as in Banino et al. 2021 (PonderNet), equation 3.
#pragma once

#include "engine/loop_body.h"

namespace orrery {

struct GatedLoopWeights {
  TensorView keep, inject;        // [1, d_model] f32: a table of one row
  TensorView gate_norm;           // [d_model]; empty where there is no gate, as are the four below
  TensorView gate_up, gate_down;  // [d_gate, d_model], [1, d_gate]
  TensorView up_bias, down_bias;  // [d_gate], [1]
};

class GatedLoop final : public LoopBody {
 public:
  GatedLoop(const GatedLoopWeights& weights, float norm_epsilon) : weights_(weights), norm_epsilon_(norm_epsilon) {}
  void enter(const Step& step, Matrix<const float> entry, Matrix<float> state) const override;
  void gate(const Step& step, Matrix<const float> state, Matrix<float> probability) const override;

 private:
  GatedLoopWeights weights_;
  float norm_epsilon_;
};

}  // namespace orrery
