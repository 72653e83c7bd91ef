// residual.norm: the length of the residual stream after each layer.
#include "probes/definitions.h"
#include "probes/model_axes.h"

namespace orrery {

std::span<const Probe> residual_norm_probes() {
  static const std::vector<Probe> kProbes{{
      .name = "residual.norm",
      .description = "L2 norm of the residual stream after the layer.",
      .unit = "",
      .quantity = Quantity::kResidualNorm,
      .level = Level::kLight,
      .dtype = DType::kF32,
      .exact = true,
      .lossless = true,
      .padding = Padding::kNone,
      .axes = {Axis::kStep, Axis::kLayer},
      .fields = {},
      .layers = all_layers,
      .inner_shape = [](const ModelConfig&, int64_t) { return std::vector<int64_t>{}; },
      .width = [](const ModelConfig&) { return FieldWidth{.fixed = 1}; },
  }};
  return kProbes;
}

}  // namespace orrery
