#include "engine/blocks/dense_ffn.h"

namespace orrery {

void DenseFfn::forward(const Step& step, Matrix<const float> x, Matrix<float> out) const {
  const Workspace::Scope scope(step.workspace);
  const int64_t d_ffn = weights_.gate.n_rows();
  const auto gate = step.workspace.matrix(x.n_rows, d_ffn);
  const auto up = step.workspace.matrix(x.n_rows, d_ffn);
  const Product inner[] = {{weights_.gate, weights_.gate_bias, gate}, {weights_.up, weights_.up_bias, up}};
  step.backend.matmul(x, inner);
  step.backend.silu_multiply(gate, up, gate);
  const Product outer[] = {{weights_.down, weights_.down_bias, out}};
  step.backend.matmul(gate, outer);
}

}  // namespace orrery
