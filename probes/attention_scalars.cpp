// attention.entropy, .first, .previous, .distance: one number per query head, of the row exactly as used (never
// renormalised). kernels/attention computes them where the weights are.
#include "probes/definitions.h"
#include "probes/model_axes.h"

namespace orrery {
namespace {

Probe scalar(std::string_view name, std::string_view description, std::string_view unit, Quantity quantity) {
  return {
      .name = name,
      .description = description,
      .unit = unit,
      .quantity = quantity,
      .level = Level::kLight,
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

}  // namespace

std::span<const Probe> attention_scalar_probes() {
  static const std::vector<Probe> kProbes{
      scalar("attention.entropy", "How spread a head's attention is: minus the sum of w ln w over its row.", "nats",
             Quantity::kAttentionEntropy),
      scalar("attention.first", "Weight on keys 0 to 3, where heads park attention that they do not need.", "",
             Quantity::kAttentionFirst),
      scalar("attention.previous", "Weight on the token just before (0 at the first).", "",
             Quantity::kAttentionPrevious),
      scalar("attention.distance", "Mean distance back to what is read: sum of w (t - key) over sum of w.", "tokens",
             Quantity::kAttentionDistance),
  };
  return kProbes;
}

}  // namespace orrery
