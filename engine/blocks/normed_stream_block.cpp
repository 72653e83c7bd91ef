#include "engine/blocks/normed_stream_block.h"

namespace orrery {

void NormedStreamBlock::forward(const Step& step, Matrix<float> x) const {
  const Workspace::Scope scope(step.workspace);
  const auto delta = step.workspace.matrix(x.n_rows, x.n_cols);
  const auto add_part = [&](const auto& part, const TensorView& norm, StreamFactors factors) {
    step.backend.rms_norm(x, norm, config_.epsilon, x);
    part.forward(step, x, delta);
    if (factors.keep != 1.0f) step.backend.scale(x, factors.keep);
    step.backend.add(x, delta, factors.add);
  };
  add_part(*mixer_, config_.mixer_norm, config_.mixer);
  add_part(*feed_forward_, config_.ffn_norm, config_.ffn);
}

}  // namespace orrery
