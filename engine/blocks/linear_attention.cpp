#include "engine/blocks/linear_attention.h"

#include "engine/blocks/recurrence.h"

namespace orrery {

std::vector<StateSpec> LinearAttention::describe_state(DType) const {
  return {describe_matrix_state(config_.state, {})};
}

void LinearAttention::forward(const Step& step, Matrix<const float> x, Matrix<float> out) const {
  const Workspace::Scope scope(step.workspace);
  const MatrixStateSizes& sizes = config_.state.sizes;
  const auto q = step.workspace.matrix(x.n_rows, config_.key_width());
  const auto k = step.workspace.matrix(x.n_rows, config_.key_width());
  const auto v = step.workspace.matrix(x.n_rows, config_.value_width());
  const bool has_gate = !weights_.gate.empty();
  const auto gate = step.workspace.matrix(x.n_rows, has_gate ? config_.value_width() : 0);
  const Product projections[] = {
      {weights_.q, {}, q}, {weights_.k, {}, k}, {weights_.v, {}, v}, {weights_.gate, {}, gate}};
  step.backend.matmul(x, std::span(projections).first(has_gate ? 4 : 3));
  for (const Matrix<float>& input : {q, k, v}) {
    if (config_.input_activation) step.backend.activate(*config_.input_activation, input, input);
  }
  if (!config_.rope.inverse_frequencies.empty()) {
    step.backend.rope(q, step.batch.positions, step.batch.length, config_.rope, sizes.d_key);
    step.backend.rope(k, step.batch.positions, step.batch.length, config_.rope, sizes.d_key);
  }

  MatrixStateArgs args;
  args.q = q;
  args.k = k;
  args.v = v;
  args.decay.log_decay = {weights_.log_decay.f32(), static_cast<size_t>(sizes.n_heads)};
  args.read_scale = config_.read_scale;
  args.out = v;
  recur(step, config_.state, args);
  if (!weights_.norm.empty()) {
    const int64_t width = weights_.norm.n_cols();
    const Matrix<float> normed(v.data, v.n_rows * v.n_cols / width, width);
    step.backend.rms_norm(normed, weights_.norm, config_.norm_epsilon, normed);
  }
  if (has_gate) step.backend.activate_multiply(config_.gate_activation, gate, v, v);
  const Product to_stream[] = {{weights_.out, {}, out}};
  step.backend.matmul(v, to_stream);
}

}  // namespace orrery
