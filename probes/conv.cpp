// conv.gate_in, .gate_out, .taps: what a short convolution lets through, and how far back it looks. Taps are those of
// the gated convolution and of the one before a recurrence alike.
#include "probes/definitions.h"
#include "probes/head_scalar.h"
#include "probes/model_axes.h"

namespace orrery {
namespace {

Probe taps() {
  return {
      .name = "conv.taps",
      .description = "Mean over channels of how much each tap of the short convolution contributes, oldest first.",
      .unit = "",
      .quantity = Quantity::kConvTaps,
      .level = Level::kLight,
      .dtype = DType::kF32,
      .exact = true,
      .lossless = false,
      .padding = Padding::kNone,
      .axes = {Axis::kStep, Axis::kLayer, Axis::kTap},
      .fields = {},
      .layers = conv_layers,
      .inner_shape = [](const ModelConfig& config, int64_t) { return std::vector{longest(config, conv_taps_in)}; },
      .width = [](const ModelConfig& config) { return FieldWidth{.fixed = longest(config, conv_taps_in)}; },
      .size_in = conv_taps_in,
  };
}

}  // namespace

std::span<const Probe> conv_probes() {
  static const std::vector<Probe> kProbes{
      layer_scalar("conv.gate_in", "Mean magnitude of the gate before the short convolution.", "",
                   Quantity::kConvGateIn, Level::kLight, gated_conv_layers),
      layer_scalar("conv.gate_out", "Mean magnitude of the gate after the short convolution.", "",
                   Quantity::kConvGateOut, Level::kLight, gated_conv_layers),
      taps(),
  };
  return kProbes;
}

}  // namespace orrery
