#include "engine/blocks/channel_mix.h"

#include "engine/blocks/token_shift.h"

namespace orrery {

void ChannelMix::forward(const Step& step, Matrix<const float> x, Matrix<float> out) const {
  const Workspace::Scope scope(step.workspace);
  const auto mixed = step.workspace.matrix(x.n_rows, x.n_cols);
  shift_tokens(step, ShiftPlace::kChannelMix, weights_.mix, x, mixed);
  const auto hidden = step.workspace.matrix(x.n_rows, weights_.up.n_rows());
  const Product up[] = {{weights_.up, {}, hidden}};
  step.backend.matmul(mixed, up);
  step.backend.activate(Activation::kReluSquared, hidden, hidden);
  const Product down[] = {{weights_.down, {}, out}};
  step.backend.matmul(hidden, down);
}

}  // namespace orrery
