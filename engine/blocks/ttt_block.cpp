#include "engine/blocks/ttt_block.h"

#include "engine/blocks/short_conv.h"

namespace orrery {

void TttBlock::forward(const Step& step, Matrix<float> x) const {
  {
    const Workspace::Scope scope(step.workspace);
    const auto normed = step.workspace.matrix(x.n_rows, x.n_cols);
    const auto delta = step.workspace.matrix(x.n_rows, x.n_cols);
    step.backend.rms_norm(x, weights_.norm, epsilon_, normed);
    convolve(step, conv_, weights_.taps, weights_.bias, normed, delta);
    step.backend.add(x, delta, 1.0f);
  }
  inner_->forward(step, x);
}

}  // namespace orrery
