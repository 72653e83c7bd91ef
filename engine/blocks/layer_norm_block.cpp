#include "engine/blocks/layer_norm_block.h"

namespace orrery {

void LayerNormBlock::forward(const Step& step, Matrix<float> x) const {
  const Workspace::Scope scope(step.workspace);
  const auto normed = step.workspace.matrix(x.n_rows, x.n_cols);
  const auto delta = step.workspace.matrix(x.n_rows, x.n_cols);
  const auto norm = [&](const LayerNormWeights& weights, Matrix<float> out) {
    step.backend.layer_norm(x, weights.weight, weights.bias, config_.epsilon, out);
  };
  if (!config_.stream.weight.empty()) norm(config_.stream, x);
  norm(config_.mixer, normed);
  mixer_->forward(step, normed, delta);
  step.backend.add(x, delta, 1.0f);
  norm(config_.ffn, normed);
  feed_forward_->forward(step, normed, delta);
  step.backend.add(x, delta, 1.0f);
}

}  // namespace orrery
