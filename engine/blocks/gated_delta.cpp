#include "engine/blocks/gated_delta.h"

#include <cmath>

#include "engine/blocks/recurrence.h"
#include "engine/blocks/short_conv.h"

namespace orrery {

namespace {
constexpr float kLengthEpsilon = 1e-6f;  // added to a squared length, as the reference has it
}

std::vector<StateSpec> GatedDelta::describe_state(DType) const {
  const bool rate_by_channel = weights_.rate.n_rows() != config_.state.sizes.n_heads;
  return {
      describe_conv_state(config_.conv),
      describe_matrix_state(config_.state, {.rate_by_channel = rate_by_channel, .has_rate = true, .has_write = true})};
}

Matrix<const float> GatedDelta::unit_heads(const Step& step, Matrix<const float> columns) const {
  const auto heads = step.workspace.matrix(columns.n_rows, columns.n_cols);
  step.backend.activate(Activation::kSilu, columns, heads);
  const int64_t d_key = config_.state.sizes.d_key;
  const Matrix<float> normed(heads.data, heads.n_rows * heads.n_cols / d_key, d_key);
  step.backend.rms_norm(normed, weights_.unit, kLengthEpsilon / static_cast<float>(d_key), normed);
  return heads;
}

GatedDelta::Inputs GatedDelta::project(const Step& step, Matrix<const float> x) const {
  const int64_t key_width = config_.key_width(), value_width = config_.value_width();
  Inputs inputs;
  inputs.channels = step.workspace.matrix(x.n_rows, config_.conv.n_channels);
  inputs.gate = step.workspace.matrix(x.n_rows, value_width);
  inputs.write = step.workspace.matrix(x.n_rows, config_.state.sizes.n_heads);
  inputs.rate = step.workspace.matrix(x.n_rows, weights_.rate.n_rows());
  const bool narrow_gate = !weights_.gate_down.empty(), narrow_rate = !weights_.rate_down.empty();
  const auto of_gate = step.workspace.matrix(x.n_rows, narrow_gate ? weights_.gate_down.n_rows() : 0);
  const auto of_rate = step.workspace.matrix(x.n_rows, narrow_rate ? weights_.rate_down.n_rows() : 0);
  const Product projections[] = {
      {weights_.q, {}, inputs.channels.cols(0, key_width)},
      {weights_.k, {}, inputs.channels.cols(key_width, key_width)},
      {weights_.v, {}, inputs.channels.cols(2 * key_width, value_width)},
      {narrow_gate ? weights_.gate_down : weights_.gate, {}, narrow_gate ? of_gate : inputs.gate},
      {weights_.write, {}, inputs.write},
      {narrow_rate ? weights_.rate_down : weights_.rate, {}, narrow_rate ? of_rate : inputs.rate}};
  step.backend.matmul(x, projections);
  const Product gate[] = {{weights_.gate, {}, inputs.gate}}, rate[] = {{weights_.rate, {}, inputs.rate}};
  if (narrow_gate) step.backend.matmul(of_gate, gate);
  if (narrow_rate) step.backend.matmul(of_rate, rate);
  return inputs;
}

void GatedDelta::forward(const Step& step, Matrix<const float> x, Matrix<float> out) const {
  const Workspace::Scope scope(step.workspace);
  const MatrixStateSizes& sizes = config_.state.sizes;
  const int64_t key_width = config_.key_width(), value_width = config_.value_width();
  const auto [channels, gate, write, rate] = project(step, x);
  const auto mixed = step.workspace.matrix(x.n_rows, channels.n_cols);
  convolve(step, config_.conv, weights_.taps, weights_.taps_bias, channels, mixed);
  step.backend.activate(Activation::kSigmoid, write, write);
  if (config_.write_scale != 1.0f) step.backend.scale(write, config_.write_scale);
  step.backend.softplus(rate, weights_.rate_bias, {}, rate);

  const auto values = step.workspace.matrix(x.n_rows, value_width);
  step.backend.activate(Activation::kSilu, mixed.cols(2 * key_width, value_width), values);
  MatrixStateArgs args;
  args.q = unit_heads(step, mixed.cols(0, key_width));
  args.k = unit_heads(step, mixed.cols(key_width, key_width));
  args.v = values;
  args.decay = {.rate = rate, .log_decay = {weights_.log_decay.f32(), static_cast<size_t>(sizes.n_heads)}};
  args.write = write;
  args.erase = StateErase::kDelta;
  args.read_scale = 1.0f / std::sqrt(static_cast<float>(sizes.d_key));
  args.out = values;
  recur(step, config_.state, args);
  const Matrix<float> heads(values.data, x.n_rows * sizes.n_heads, sizes.d_value);
  step.backend.rms_norm(heads, weights_.norm, config_.norm_epsilon, heads);
  step.backend.activate_multiply(config_.gate_activation, gate, values, values);
  const Product to_stream[] = {{weights_.out, {}, out}};
  step.backend.matmul(values, to_stream);
}

}  // namespace orrery
