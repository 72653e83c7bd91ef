#include "engine/block.h"

namespace orrery {

void Mixer::remember(const Step& step, Matrix<const float> x) const {
  const Workspace::Scope scope(step.workspace);
  forward(step, x, step.workspace.matrix(x.n_rows, x.n_cols));
}

void Block::remember(const Step& step, Matrix<const float> x) const {
  const Workspace::Scope scope(step.workspace);
  const auto passed_on = step.workspace.matrix(x.n_rows, x.n_cols);
  step.backend.activate(Activation::kIdentity, x, passed_on);
  forward(step, passed_on);
}

std::vector<StateRows> state_rows(const Step& step, StateKind kind) {
  std::vector<StateRows> all;
  const Batch& batch = step.batch;
  for (int64_t r = 0; r < batch.n_rows();) {
    const int32_t sequence = batch.sequences[static_cast<size_t>(r)];
    StateRows rows{.begin = r, .end = r + 1};
    while (rows.end < batch.n_rows() && batch.sequences[static_cast<size_t>(rows.end)] == sequence) ++rows.end;
    rows.state = batch.caches[static_cast<size_t>(sequence)]->state(
        {.layer = step.layer, .iteration = step.iteration, .kind = kind});
    all.push_back(rows);
    r = rows.end;
  }
  return all;
}

}  // namespace orrery
