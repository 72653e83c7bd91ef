#include "engine/blocks/gated_loop.h"

#include <vector>

namespace orrery {
namespace {

// out[r, c] = x[r, c] * factors[c]. The one row of factors is looked up for every row of x.
void multiply_channels(const Step& step, const TensorView& factors, Matrix<const float> x, Matrix<float> out) {
  const Workspace::Scope scope(step.workspace);
  const auto rows = step.workspace.matrix(x.n_rows, x.n_cols);
  step.backend.embed(factors, std::vector<int32_t>(static_cast<size_t>(x.n_rows), 0), 1.0f, rows);
  step.backend.activate_multiply(Activation::kIdentity, rows, x, out);
}

}  // namespace

void GatedLoop::enter(const Step& step, Matrix<const float> entry, Matrix<float> state) const {
  const Workspace::Scope scope(step.workspace);
  const auto injected = step.workspace.matrix(state.n_rows, state.n_cols);
  multiply_channels(step, weights_.inject, entry, injected);
  multiply_channels(step, weights_.keep, state, state);
  step.backend.add(state, injected, 1.0f);
}

void GatedLoop::gate(const Step& step, Matrix<const float> state, Matrix<float> probability) const {
  const Workspace::Scope scope(step.workspace);
  const auto normed = step.workspace.matrix(state.n_rows, state.n_cols);
  const auto inner = step.workspace.matrix(state.n_rows, weights_.gate_up.n_rows());
  step.backend.rms_norm(state, weights_.gate_norm, norm_epsilon_, normed);
  const Product up[] = {{weights_.gate_up, weights_.up_bias, inner}};
  step.backend.matmul(normed, up);
  step.backend.activate(Activation::kSilu, inner, inner);
  const Product down[] = {{weights_.gate_down, weights_.down_bias, probability}};
  step.backend.matmul(inner, down);
  step.backend.activate(Activation::kSigmoid, probability, probability);
}

}  // namespace orrery
