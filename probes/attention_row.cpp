// attention.row: every weight of a row, exactly as used. The only probe that grows with the square of the text; it is
// kept for spans at level full and for pinned heads, and recomputed elsewhere.
#include "probes/definitions.h"
#include "probes/model_axes.h"

namespace orrery {

std::span<const Probe> attention_row_probes() {
  static const std::vector<Probe> kProbes{{
      .name = "attention.row",
      .description = "The weight that a head gives to every key, exactly as used.",
      .unit = "",
      .quantity = Quantity::kAttentionRow,
      .level = Level::kFull,
      .dtype = DType::kF32,
      .exact = true,
      .lossless = true,
      .padding = Padding::kZero,
      .axes = {Axis::kStep, Axis::kLayer, Axis::kHead, Axis::kKey},
      .fields = {},
      .layers = attention_layers,
      .inner_shape =
          [](const ModelConfig& config, int64_t n_keys) {
            return std::vector<int64_t>{longest(config, attention_heads_in), n_keys};
          },
      .width = [](const ModelConfig& config) { return FieldWidth{.per_key = longest(config, attention_heads_in)}; },
      .size_in = attention_heads_in,
  }};
  return kProbes;
}

}  // namespace orrery
