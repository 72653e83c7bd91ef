#include "engine/blocks/mamba2_mixer.h"

#include "engine/blocks/recurrence.h"
#include "engine/blocks/short_conv.h"

namespace orrery {

std::vector<StateSpec> Mamba2Mixer::describe_state(DType) const {
  return {describe_conv_state(config_.conv),
          describe_matrix_state(config_.state, {.has_rate = true, .has_write = true})};
}

void Mamba2Mixer::project(const Step& step, Matrix<const float> x, Matrix<float> inner) const {
  const Workspace::Scope scope(step.workspace);
  if (config_.in_scale != 1.0f) {
    const auto scaled = step.workspace.matrix(x.n_rows, x.n_cols);
    step.backend.activate(Activation::kIdentity, x, scaled);
    step.backend.scale(scaled, config_.in_scale);
    x = scaled;
  }
  const Product in[] = {{weights_.in, weights_.in_bias, inner}};
  step.backend.matmul(x, in);
  const int64_t d_inner = config_.d_inner(), key_width = config_.key_width(), n_heads = config_.state.sizes.n_heads;
  const int64_t widths[] = {d_inner, d_inner, key_width, key_width, n_heads};
  int64_t begin = 0;
  for (size_t i = 0; i < config_.part_scales.size(); begin += widths[i++]) {
    if (config_.part_scales[i] == 1.0f) continue;
    step.backend.scale(inner.cols(begin, widths[i]), config_.part_scales[i]);
  }
}

void Mamba2Mixer::gate_and_norm(const Step& step, Matrix<const float> z, Matrix<float> y) const {
  const auto gate = [&] { step.backend.activate_multiply(Activation::kSilu, z, y, y); };
  const auto norm = [&] {
    const int64_t width = y.n_cols / config_.n_norm_groups;
    const Matrix<float> groups(y.data, y.n_rows * config_.n_norm_groups, width);
    TensorView weight = weights_.norm;
    weight.shape = {config_.n_norm_groups, width};
    step.backend.rms_norm(groups, weight, config_.norm_epsilon, groups);
  };
  if (config_.gated_norm == GatedNorm::kNormThenGate) norm();
  gate();
  if (config_.gated_norm == GatedNorm::kGateThenNorm) norm();
}

void Mamba2Mixer::forward(const Step& step, Matrix<const float> x, Matrix<float> out) const {
  const Workspace::Scope scope(step.workspace);
  const int64_t d_inner = config_.d_inner(), key_width = config_.key_width(), n_heads = config_.state.sizes.n_heads;
  const int64_t n_channels = config_.conv.n_channels;
  const auto inner = step.workspace.matrix(x.n_rows, d_inner + n_channels + n_heads);
  project(step, x, inner);
  const auto mixed = step.workspace.matrix(x.n_rows, n_channels);
  convolve(step, config_.conv, weights_.taps, weights_.taps_bias, inner.cols(d_inner, n_channels), mixed);
  step.backend.activate(Activation::kSilu, mixed, mixed);
  const auto time_step = inner.cols(d_inner + n_channels, n_heads);
  step.backend.softplus(time_step, weights_.time_step_bias, config_.time_steps, time_step);

  const auto y = step.workspace.matrix(x.n_rows, d_inner);
  MatrixStateArgs args;
  args.v = mixed.cols(0, d_inner);
  args.k = mixed.cols(d_inner, key_width);
  args.q = mixed.cols(d_inner + key_width, key_width);
  args.decay = {.rate = time_step, .log_decay = {weights_.log_decay.f32(), static_cast<size_t>(n_heads)}};
  args.write = time_step;
  args.skip = {weights_.skip.f32(), static_cast<size_t>(n_heads)};
  args.out = y;
  recur(step, config_.state, args);
  gate_and_norm(step, inner.cols(0, d_inner), y);
  const Product to_stream[] = {{weights_.out, weights_.out_bias, out}};
  step.backend.matmul(y, to_stream);
}

}  // namespace orrery
