#include "engine/blocks/ttt_mixer.h"

namespace orrery {

namespace {

FastWeightsSizes sizes_of(const FastWeightsConfig& fast) {
  return {.n_heads = fast.n_heads,
          .d_head = fast.d_head,
          .d_hidden = fast.model == FastModel::kMlp ? fast.d_hidden : 0,
          .batch_size = fast.batch_size};
}

FastWeightsStats stats_of(const Step& step) {
  FastWeightsStats stats;
  stats.loss_before = step.probes.slot(Quantity::kFastLossBefore, step.layer);
  stats.loss_after = step.probes.slot(Quantity::kFastLossAfter, step.layer);
  stats.rate = step.probes.slot(Quantity::kFastRate, step.layer);
  stats.update = step.probes.slot(Quantity::kFastUpdate, step.layer);
  stats.drift = step.probes.slot(Quantity::kFastDrift, step.layer);
  return stats;
}

std::span<const float> numbers_of(const TensorView& tensor) {
  return {tensor.f32(), static_cast<size_t>(tensor.shape.n_elements())};
}

}  // namespace

std::vector<StateSpec> TttMixer::describe_state(DType) const {
  StateSpec weights;
  weights.kind = StateKind::kFastWeights;
  weights.shape = {config_.fast.n_heads, 2, sizes_of(config_.fast).n_weights()};
  const int64_t n_taps = config_.fast.n_qk_taps;
  const int64_t n_conv = config_.n_floats_before + (n_taps > 0 ? 2 * (n_taps - 1) * config_.width() : 0);
  if (n_taps == 0 && config_.n_floats_before == 0) return {weights};
  StateSpec convolutions;
  convolutions.kind = StateKind::kConvolution;
  convolutions.shape = {n_conv};
  return {weights, convolutions};
}

void TttMixer::convolve(const Step& step, int of_both, Matrix<const float> shared, Matrix<float> out) const {
  const int64_t n_floats = (config_.fast.n_qk_taps - 1) * config_.width();
  std::vector<StateRows> sequences = state_rows(step, StateKind::kConvolution);
  for (StateRows& rows : sequences) rows.state += config_.n_floats_before + of_both * n_floats;
  CausalConvArgs args;
  args.x = shared;
  args.taps = numbers_of(of_both == 0 ? weights_.q_taps : weights_.k_taps);
  args.bias = numbers_of(of_both == 0 ? weights_.q_bias : weights_.k_bias);
  args.out = out;
  args.n_taps = config_.fast.n_qk_taps;
  args.sequences = sequences;
  step.backend.causal_conv(args, {});
}

// Leaves what was read in q.
void TttMixer::learn(const Step& step, Matrix<float> q, Matrix<const float> k, Matrix<const float> v,
                     Matrix<const float> rate) const {
  const std::vector<StateRows> sequences = state_rows(step, StateKind::kFastWeights);
  FastWeightsArgs args;
  args.sizes = sizes_of(config_.fast);
  args.q = q;
  args.k = k;
  args.v = v;
  args.rate = rate;
  args.share = numbers_of(weights_.share);
  args.learned = numbers_of(weights_.learned);
  args.norm_weight = numbers_of(weights_.norm_weight);
  args.norm_bias = numbers_of(weights_.norm_bias);
  args.base_rate = config_.base_rate;
  args.epsilon = config_.norm_epsilon;
  args.out = q;
  args.positions = step.batch.positions;
  args.sequences = sequences;
  step.backend.fast_weights(args, stats_of(step));
}

void TttMixer::forward(const Step& step, Matrix<const float> x, Matrix<float> out) const {
  const Workspace::Scope scope(step.workspace);
  const int64_t width = config_.width(), batch_size = config_.fast.batch_size;
  const bool shares_qk = weights_.k.empty(), has_gate = !weights_.gate.empty();
  const auto q = step.workspace.matrix(x.n_rows, width), k = step.workspace.matrix(x.n_rows, width);
  const auto v = step.workspace.matrix(x.n_rows, width);
  const auto shared = step.workspace.matrix(x.n_rows, shares_qk ? width : 0);
  const auto gate = step.workspace.matrix(x.n_rows, has_gate ? width : 0);
  const auto rate = step.workspace.matrix(x.n_rows, config_.fast.n_heads);

  std::vector<Product> products{
      {weights_.q, {}, shares_qk ? shared : q}, {weights_.v, {}, v}, {weights_.rate, weights_.rate_bias, rate}};
  if (!shares_qk) products.push_back({weights_.k, {}, k});
  if (has_gate) products.push_back({weights_.gate, {}, gate});
  step.backend.matmul(x, products);
  if (shares_qk) {
    convolve(step, 0, shared, q);
    convolve(step, 1, shared, k);
  }

  std::vector<int64_t> places(step.batch.positions.begin(), step.batch.positions.end());
  for (int64_t& place : places) place %= batch_size;
  step.backend.rope(q, places, batch_size, config_.rope, config_.fast.d_head);
  step.backend.rope(k, places, batch_size, config_.rope, config_.fast.d_head);
  learn(step, q, k, v, rate);

  step.backend.layer_norm(q, weights_.post_weight, weights_.post_bias, config_.norm_epsilon, q);
  if (has_gate) step.backend.activate_multiply(Activation::kGeluTanh, gate, q, q);
  const Product to_stream[] = {{weights_.out, {}, out}};
  step.backend.matmul(q, to_stream);
}

}  // namespace orrery
