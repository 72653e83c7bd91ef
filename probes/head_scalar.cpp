#include "probes/head_scalar.h"

#include "probes/model_axes.h"

namespace orrery {

Probe head_scalar(std::string_view name, std::string_view description, std::string_view unit, Quantity quantity,
                  Level level) {
  return {
      .name = name,
      .description = description,
      .unit = unit,
      .quantity = quantity,
      .level = level,
      .dtype = DType::kF32,
      .exact = true,
      .lossless = false,
      .padding = Padding::kNone,
      .axes = {Axis::kStep, Axis::kLayer, Axis::kHead},
      .fields = {},
      .layers = attention_layers,
      .inner_shape = [](const ModelConfig& config, int64_t) { return std::vector{n_attention_heads(config)}; },
      .width = [](const ModelConfig& config) { return FieldWidth{.fixed = n_attention_heads(config)}; },
  };
}

}  // namespace orrery
