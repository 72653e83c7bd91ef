#include "engine/blocks/short_conv.h"

namespace orrery {

StateSpec describe_conv_state(const ConvConfig& config) {
  StateSpec spec;
  spec.kind = StateKind::kConvolution;
  spec.shape = {config.n_taps - 1, config.n_channels};
  return spec;
}

void convolve(const Step& step, const ConvConfig& config, const TensorView& taps, const TensorView& bias,
              Matrix<const float> x, Matrix<float> out) {
  const std::vector<StateRows> sequences = state_rows(step, StateKind::kConvolution);
  CausalConvArgs args;
  args.x = x;
  args.taps = {taps.f32(), static_cast<size_t>(config.n_taps * config.n_channels)};
  if (!bias.empty()) args.bias = {bias.f32(), static_cast<size_t>(config.n_channels)};
  args.out = out;
  args.n_taps = config.n_taps;
  args.sequences = sequences;
  step.backend.causal_conv(args, step.probes.slot(Quantity::kConvTaps, step.layer));
}

std::vector<StateSpec> ShortConv::describe_state(DType) const { return {describe_conv_state(config_)}; }

void ShortConv::forward(const Step& step, Matrix<const float> x, Matrix<float> out) const {
  const Workspace::Scope scope(step.workspace);
  const int64_t n = config_.n_channels;
  const auto inner = step.workspace.matrix(x.n_rows, 3 * n);
  const Product in[] = {{weights_.in, weights_.in_bias, inner}};
  step.backend.matmul(x, in);
  const auto gate_in = inner.cols(0, n), gate_out = inner.cols(n, n), u = inner.cols(2 * n, n);
  if (const StatSlot slot = step.probes.slot(Quantity::kConvGateIn, step.layer)) {
    step.backend.mean_magnitudes(gate_in, slot);
  }
  if (const StatSlot slot = step.probes.slot(Quantity::kConvGateOut, step.layer)) {
    step.backend.mean_magnitudes(gate_out, slot);
  }
  step.backend.activate_multiply(Activation::kIdentity, gate_in, u, u);
  const auto mixed = step.workspace.matrix(x.n_rows, n);
  convolve(step, config_, weights_.taps, weights_.taps_bias, u, mixed);
  step.backend.activate_multiply(Activation::kIdentity, gate_out, mixed, mixed);
  const Product to_stream[] = {{weights_.out, weights_.out_bias, out}};
  step.backend.matmul(mixed, to_stream);
}

}  // namespace orrery
