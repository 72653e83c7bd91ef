#include "engine/blocks/dense_ffn.h"

namespace orrery {

void DenseFfn::forward(const Step& step, Matrix<const float> x, Matrix<float> out) const {
  const Workspace::Scope scope(step.workspace);
  const int64_t d_ffn = weights_.up.n_rows();
  const auto up = step.workspace.matrix(x.n_rows, d_ffn);
  const Product to_up{weights_.up, weights_.up_bias, up};
  if (weights_.gate.empty()) {
    step.backend.matmul(x, {&to_up, 1});
    add_low_rank(step, weights_.up_adapter, x, up);
    step.backend.activate(activation_, up, up);
  } else {
    const auto gate = step.workspace.matrix(x.n_rows, d_ffn);
    const Product inner[] = {{weights_.gate, weights_.gate_bias, gate}, to_up};
    step.backend.matmul(x, inner);
    add_low_rank(step, weights_.gate_adapter, x, gate);
    add_low_rank(step, weights_.up_adapter, x, up);
    if (scales_.gate != 1.0f) step.backend.scale(gate, scales_.gate);
    step.backend.activate_multiply(activation_, gate, up, up);
  }
  const Product outer[] = {{weights_.down, weights_.down_bias, out}};
  step.backend.matmul(up, outer);
  if (scales_.out != 1.0f) step.backend.scale(out, scales_.out);
}

}  // namespace orrery
