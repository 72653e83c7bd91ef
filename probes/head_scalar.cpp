#include "probes/head_scalar.h"

#include "probes/model_axes.h"

namespace orrery {
namespace {

template <int32_t (*kSizeIn)(const LayerConfig&)>
constexpr HeadAxis heads_of(std::vector<int32_t> (*layers)(const ModelConfig& config)) {
  return {.layers = layers,
          .inner_shape = [](const ModelConfig& config, int64_t) { return std::vector{longest(config, kSizeIn)}; },
          .width = [](const ModelConfig& config) { return FieldWidth{.fixed = longest(config, kSizeIn)}; },
          .size_in = kSizeIn};
}

}  // namespace

constexpr HeadAxis kAttentionHeads = heads_of<attention_heads_in>(attention_layers);
constexpr HeadAxis kStateHeads = heads_of<state_heads_in>(state_layers);
constexpr HeadAxis kFastHeads = heads_of<fast_heads_in>(fast_layers);

Probe head_scalar(std::string_view name, std::string_view description, std::string_view unit, Quantity quantity,
                  Level level, const HeadAxis& heads) {
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
      .layers = heads.layers,
      .inner_shape = heads.inner_shape,
      .width = heads.width,
      .size_in = heads.size_in,
  };
}

Probe layer_scalar(std::string_view name, std::string_view description, std::string_view unit, Quantity quantity,
                   Level level, std::vector<int32_t> (*layers)(const ModelConfig& config)) {
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
      .axes = {Axis::kStep, Axis::kLayer},
      .fields = {},
      .layers = layers,
      .inner_shape = [](const ModelConfig&, int64_t) { return std::vector<int64_t>{}; },
      .width = [](const ModelConfig&) { return FieldWidth{.fixed = 1}; },
  };
}

}  // namespace orrery
