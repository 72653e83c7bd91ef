#include "engine/blocks/sandwich_block.h"

namespace orrery {

void SandwichBlock::forward(const Step& step, Matrix<float> x) const {
  const Workspace::Scope scope(step.workspace);
  Backend& backend = step.backend;
  const auto normed = step.workspace.matrix(x.n_rows, x.n_cols);
  const auto delta = step.workspace.matrix(x.n_rows, x.n_cols);
  const auto add_part = [&](const auto& part, const TensorView& before, const TensorView& after) {
    backend.rms_norm(x, before, norms_.epsilon, normed);
    part.forward(step, normed, delta);
    backend.add(x, delta, 1.0f);
    backend.rms_norm(x, after, norms_.epsilon, x);
  };
  if (!norms_.entry.empty()) backend.rms_norm(x, norms_.entry, norms_.epsilon, x);
  add_part(*mixer_, norms_.before_mixer, norms_.after_mixer);
  add_part(*feed_forward_, norms_.before_ffn, norms_.after_ffn);
}

void SandwichBlock::remember(const Step& step, Matrix<const float> x) const {
  const Workspace::Scope scope(step.workspace);
  const auto normed = step.workspace.matrix(x.n_rows, x.n_cols);
  if (!norms_.entry.empty()) {
    step.backend.rms_norm(x, norms_.entry, norms_.epsilon, normed);
    x = normed;
  }
  step.backend.rms_norm(x, norms_.before_mixer, norms_.epsilon, normed);
  mixer_->remember(step, normed);
}

}  // namespace orrery
