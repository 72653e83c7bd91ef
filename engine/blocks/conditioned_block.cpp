#include "engine/blocks/conditioned_block.h"

namespace orrery {

void ConditionedBlock::forward(const Step& step, Matrix<float> x) const {
  const Workspace::Scope scope(step.workspace);
  Backend& backend = step.backend;
  const auto normed = step.workspace.matrix(x.n_rows, x.n_cols);
  const auto delta = step.workspace.matrix(x.n_rows, x.n_cols);
  const auto add_part = [&](const auto& part, const TensorView& scale, Matrix<const float> gate) {
    backend.rms_norm(x, scale, norm_epsilon_, normed);
    part.forward(step, normed, delta);
    backend.activate_multiply(Activation::kIdentity, gate, delta, delta);
    backend.add(x, delta, 1.0f);
  };
  const int32_t i = step.iteration;
  add_part(*mixer_, modulation_.mixer_scale(i), modulation_.mixer_gate(i, x.n_rows));
  add_part(*feed_forward_, modulation_.ffn_scale(i), modulation_.ffn_gate(i, x.n_rows));
}

void ConditionedBlock::remember(const Step& step, Matrix<const float> x) const {
  const Workspace::Scope scope(step.workspace);
  const auto normed = step.workspace.matrix(x.n_rows, x.n_cols);
  step.backend.rms_norm(x, modulation_.mixer_scale(step.iteration), norm_epsilon_, normed);
  mixer_->remember(step, normed);
}

}  // namespace orrery
