// attention.output: how much a head hands on, before the output projection mixes the heads.
#include "probes/definitions.h"
#include "probes/model_axes.h"

namespace orrery {

std::span<const Probe> attention_output_probes() {
  static const std::vector<Probe> kProbes{{
      .name = "attention.output",
      .description = "L2 norm of the head's slice of the output projection's input.",
      .unit = "",
      .quantity = Quantity::kAttentionOutput,
      .level = Level::kStandard,
      .dtype = DType::kF32,
      .exact = true,
      .lossless = false,
      .padding = Padding::kNone,
      .axes = {Axis::kStep, Axis::kLayer, Axis::kHead},
      .fields = {},
      .layers = attention_layers,
      .inner_shape = [](const ModelConfig& config, int64_t) { return std::vector{n_attention_heads(config)}; },
      .width = [](const ModelConfig& config) { return FieldWidth{.fixed = n_attention_heads(config)}; },
  }};
  return kProbes;
}

}  // namespace orrery
