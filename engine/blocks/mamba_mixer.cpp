#include "engine/blocks/mamba_mixer.h"

#include "engine/blocks/recurrence.h"
#include "engine/blocks/short_conv.h"

namespace orrery {

std::vector<StateSpec> MambaMixer::describe_state(DType) const {
  return {describe_conv_state(conv_), describe_matrix_state(state_, {.has_rate = true, .has_write = true})};
}

Matrix<const float> MambaMixer::part(const Step& step, Matrix<const float> columns, const TensorView& norm) const {
  if (norm.empty()) return columns;
  const auto normed = step.workspace.matrix(columns.n_rows, columns.n_cols);
  step.backend.rms_norm(columns, norm, norm_epsilon_, normed);
  return normed;
}

void MambaMixer::forward(const Step& step, Matrix<const float> x, Matrix<float> out) const {
  const Workspace::Scope scope(step.workspace);
  const int64_t d_inner = conv_.n_channels, d_key = state_.sizes.d_key, rank = weights_.time_step.n_cols();
  const auto inner = step.workspace.matrix(x.n_rows, 2 * d_inner);
  const Product in[] = {{weights_.in, weights_.in_bias, inner}};
  step.backend.matmul(x, in);
  const auto u = step.workspace.matrix(x.n_rows, d_inner);
  convolve(step, conv_, weights_.taps, weights_.taps_bias, inner.cols(0, d_inner), u);
  step.backend.activate(Activation::kSilu, u, u);

  const auto projected = step.workspace.matrix(x.n_rows, rank + 2 * d_key);
  const Product project[] = {{weights_.project, {}, projected}};
  step.backend.matmul(u, project);
  const Matrix<const float> delta = part(step, projected.cols(0, rank), weights_.delta_norm);
  const auto time_step = step.workspace.matrix(x.n_rows, d_inner);
  const Product widen[] = {{weights_.time_step, {}, time_step}};
  step.backend.matmul(delta, widen);
  step.backend.softplus(time_step, weights_.time_step_bias, {}, time_step);

  MatrixStateArgs args;
  args.k = part(step, projected.cols(rank, d_key), weights_.b_norm);
  args.q = part(step, projected.cols(rank + d_key, d_key), weights_.c_norm);
  args.v = u;
  args.decay = {.rate = time_step, .log_decay = {weights_.log_decay.f32(), static_cast<size_t>(d_inner * d_key)}};
  args.write = time_step;
  args.skip = {weights_.skip.f32(), static_cast<size_t>(d_inner)};
  args.out = u;
  recur(step, state_, args);
  step.backend.activate_multiply(Activation::kSilu, inner.cols(d_inner, d_inner), u, u);
  const Product to_stream[] = {{weights_.out, weights_.out_bias, out}};
  step.backend.matmul(u, to_stream);
}

}  // namespace orrery
