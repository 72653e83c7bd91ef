// attention.mass: a row's weights summed per block of 64 keys, the pages of the key/value cache.
#include "probes/definitions.h"
#include "probes/head_scalar.h"
#include "probes/model_axes.h"

namespace orrery {

std::span<const Probe> attention_mass_probes() {
  static const std::vector<Probe> kProbes{{
      .name = "attention.mass",
      .description = "A head's weights summed per block of 64 keys.",
      .unit = "",
      .quantity = Quantity::kAttentionMass,
      .level = Level::kStandard,
      .dtype = DType::kF32,
      .exact = true,
      .lossless = false,
      .padding = Padding::kZero,
      .axes = {Axis::kStep, Axis::kLayer, Axis::kHead, Axis::kKeyBlock},
      .fields = {},
      .layers = attention_layers,
      .inner_shape =
          [](const ModelConfig& config, int64_t n_keys) {
            return std::vector<int64_t>{longest(config, attention_heads_in),
                                        (n_keys + kKvPageTokens - 1) / kKvPageTokens};
          },
      .width = [](const ModelConfig& config) { return FieldWidth{.per_block = longest(config, attention_heads_in)}; },
      .size_in = attention_heads_in,
      .fraction_bits = kWeightFractionBits,
  }};
  return kProbes;
}

}  // namespace orrery
