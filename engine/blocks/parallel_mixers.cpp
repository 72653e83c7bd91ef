#include "engine/blocks/parallel_mixers.h"

namespace orrery {

std::vector<StateSpec> ParallelMixers::describe_state(DType kv_dtype) const {
  std::vector<StateSpec> all;
  for (const ScaledMixer& one : mixers_) {
    for (const StateSpec& spec : one.mixer->describe_state(kv_dtype)) all.push_back(spec);
  }
  return all;
}

void ParallelMixers::forward(const Step& step, Matrix<const float> x, Matrix<float> out) const {
  const Workspace::Scope scope(step.workspace);
  const auto scaled = step.workspace.matrix(x.n_rows, x.n_cols);
  const auto answer = step.workspace.matrix(out.n_rows, out.n_cols);
  for (size_t i = 0; i < mixers_.size(); ++i) {
    const ScaledMixer& one = mixers_[i];
    if (one.in_scale != 1.0f) {
      step.backend.activate(Activation::kIdentity, x, scaled);
      step.backend.scale(scaled, one.in_scale);
    }
    const Matrix<float> to = i == 0 ? out : answer;
    one.mixer->forward(step, one.in_scale != 1.0f ? Matrix<const float>(scaled) : x, to);
    if (i == 0) {
      if (one.out_scale != 1.0f) step.backend.scale(out, one.out_scale);
    } else {
      step.backend.add(out, answer, one.out_scale);
    }
  }
}

}  // namespace orrery
