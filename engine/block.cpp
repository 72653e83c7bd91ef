#include "engine/block.h"

namespace orrery {

PreNormBlock::PreNormBlock(TensorView mixer_norm, std::unique_ptr<Mixer> mixer, TensorView ffn_norm,
                           std::unique_ptr<FeedForward> feed_forward, float epsilon)
    : mixer_norm_(mixer_norm),
      mixer_(std::move(mixer)),
      ffn_norm_(ffn_norm),
      feed_forward_(std::move(feed_forward)),
      epsilon_(epsilon) {}

void PreNormBlock::forward(const Step& step, Matrix<float> x) const {
  const Workspace::Scope scope(step.workspace);
  const auto normed = step.workspace.matrix(x.n_rows, x.n_cols);
  const auto delta = step.workspace.matrix(x.n_rows, x.n_cols);
  step.backend.rms_norm(x, mixer_norm_, epsilon_, normed);
  mixer_->forward(step, normed, delta);
  step.backend.add(x, delta);
  step.backend.rms_norm(x, ffn_norm_, epsilon_, normed);
  feed_forward_->forward(step, normed, delta);
  step.backend.add(x, delta);
}

}  // namespace orrery
