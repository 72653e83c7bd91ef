#include "engine/blocks/injected_loop.h"

namespace orrery {

void InjectedLoop::begin(const Step& step, Matrix<const float>, Matrix<float> state) const {
  step.backend.truncated_normal(kSeed, step.batch.positions, deviation_, state);
}

void InjectedLoop::enter(const Step& step, Matrix<const float> entry, Matrix<float> state) const {
  const Workspace::Scope scope(step.workspace);
  const int64_t d_model = state.n_cols;
  const auto both = step.workspace.matrix(state.n_rows, 2 * d_model);
  step.backend.activate(Activation::kIdentity, state, both.cols(0, d_model));
  step.backend.activate(Activation::kIdentity, entry, both.cols(d_model, d_model));
  const Product product[] = {{weights_.adapter, weights_.adapter_bias, state}};
  step.backend.matmul(both, product);
}

}  // namespace orrery
