// attention.top: the 32 largest weights of a row with their keys; attention.rest: the sum of the others.
#include "probes/definitions.h"
#include "probes/head_scalar.h"
#include "probes/model_axes.h"

namespace orrery {

std::span<const Probe> attention_top_probes() {
  static const std::vector<Probe> kProbes{
      {
          .name = "attention.top",
          .description = "The 32 keys that a head weighs most, largest first, with their weights.",
          .unit = "",
          .quantity = Quantity::kAttentionTop,
          .level = Level::kStandard,
          .dtype = DType::kF32,
          .exact = true,
          .lossless = false,
          .padding = Padding::kNone,
          .axes = {Axis::kStep, Axis::kLayer, Axis::kHead, Axis::kTop, Axis::kField},
          .fields = {"key", "weight"},
          .layers = attention_layers,
          .inner_shape =
              [](const ModelConfig& config, int64_t) {
                return std::vector<int64_t>{longest(config, attention_heads_in), kAttentionTopKeys, 2};
              },
          .width =
              [](const ModelConfig& config) {
                return FieldWidth{.fixed = longest(config, attention_heads_in) * kAttentionTopKeys * 2};
              },
          .size_in = attention_heads_in,
          .fraction_bits = kWeightFractionBits,
      },
      head_scalar("attention.rest", "The sum of a head's weights outside its 32 largest.", "", Quantity::kAttentionRest,
                  Level::kStandard),
  };
  return kProbes;
}

}  // namespace orrery
