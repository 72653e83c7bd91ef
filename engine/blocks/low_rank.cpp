#include "engine/blocks/low_rank.h"

namespace orrery {

void add_low_rank(const Step& step, const LowRank& weights, Matrix<const float> x, Matrix<float> out) {
  if (weights.empty()) return;
  const Workspace::Scope scope(step.workspace);
  const auto narrow = step.workspace.matrix(x.n_rows, weights.down.n_rows());
  const auto wide = step.workspace.matrix(out.n_rows, out.n_cols);
  const Product down[] = {{weights.down, {}, narrow}};
  step.backend.matmul(x, down);
  const Product up[] = {{weights.up, {}, wide}};
  step.backend.matmul(narrow, up);
  step.backend.add(out, wide, 1.0f);
}

}  // namespace orrery
