// moe.experts, .weights, .margin, .entropy: where a router sends a token, and how sure it is. kernels/moe computes
// them.
#include "probes/definitions.h"
#include "probes/head_scalar.h"
#include "probes/model_axes.h"

namespace orrery {
namespace {

Probe chosen(std::string_view name, std::string_view description, Quantity quantity, DType dtype) {
  return {
      .name = name,
      .description = description,
      .unit = "",
      .quantity = quantity,
      .level = Level::kLight,
      .dtype = dtype,
      .exact = true,
      .lossless = dtype == DType::kI32,
      .padding = Padding::kNone,
      .axes = {Axis::kStep, Axis::kLayer, Axis::kChosen},
      .fields = {},
      .layers = moe_layers,
      .inner_shape = [](const ModelConfig& config, int64_t) { return std::vector{longest(config, chosen_experts_in)}; },
      .width = [](const ModelConfig& config) { return FieldWidth{.fixed = longest(config, chosen_experts_in)}; },
      .size_in = chosen_experts_in,
  };
}

}  // namespace

std::span<const Probe> moe_probes() {
  static const std::vector<Probe> kProbes{
      chosen("moe.experts", "The experts that the token is sent to, heaviest first.", Quantity::kMoeExperts,
             DType::kI32),
      chosen("moe.weights", "What their answers are multiplied with, as applied.", Quantity::kMoeWeights, DType::kF32),
      layer_scalar("moe.margin",
                   "Ranking score of the last expert chosen minus that of the best one not chosen; missing where all "
                   "are chosen.",
                   "", Quantity::kMoeMargin, Level::kLight, moe_layers),
      layer_scalar("moe.entropy", "How undecided the router is: entropy of its scores over all experts.", "nats",
                   Quantity::kMoeEntropy, Level::kLight, moe_layers),
  };
  return kProbes;
}

}  // namespace orrery
