#include "engine/blocks/residual_block.h"

namespace orrery {

void ResidualBlock::forward(const Step& step, Matrix<float> x) const {
  const Workspace::Scope scope(step.workspace);
  const auto normed = step.workspace.matrix(x.n_rows, x.n_cols);
  const auto delta = step.workspace.matrix(x.n_rows, x.n_cols);
  const auto add_part = [&](const auto* part, const TensorView& before, const TensorView& after) {
    if (part == nullptr) return;
    if (!before.empty()) step.backend.rms_norm(x, before, norms_.epsilon, normed);
    part->forward(step, before.empty() ? x : normed, delta);
    if (!after.empty()) step.backend.rms_norm(delta, after, norms_.epsilon, delta);
    step.backend.add(x, delta, norms_.residual_scale);
  };
  add_part(mixer_.get(), norms_.before_mixer, norms_.after_mixer);
  add_part(feed_forward_.get(), norms_.before_ffn, norms_.after_ffn);
}

void ResidualBlock::remember(const Step& step, Matrix<const float> x) const {
  if (mixer_ == nullptr) return;
  if (norms_.before_mixer.empty()) return mixer_->remember(step, x);
  const Workspace::Scope scope(step.workspace);
  const auto normed = step.workspace.matrix(x.n_rows, x.n_cols);
  step.backend.rms_norm(x, norms_.before_mixer, norms_.epsilon, normed);
  mixer_->remember(step, normed);
}

}  // namespace orrery
