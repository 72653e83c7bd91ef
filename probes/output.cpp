// output.top, output.entropy, output.tail: the distribution over the next token, after the model's own cap or scale and
// before the samplers.
#include "probes/definitions.h"
#include "probes/model_axes.h"

namespace orrery {
namespace {

constexpr int64_t kOutputTop = 64;

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
      .axes = {Axis::kStep},
      .fields = {},
      .layers = no_layers,
      .inner_shape = [](const ModelConfig&, int64_t) { return std::vector<int64_t>{}; },
      .width = [](const ModelConfig&) { return FieldWidth{.fixed = 1}; },
  };
}

}  // namespace

std::span<const Probe> output_probes() {
  static const std::vector<Probe> kProbes{
      {
          .name = "output.top",
          .description = "The 64 likeliest next tokens with the natural logarithm of their probability.",
          .unit = "",
          .quantity = Quantity::kOutputTop,
          .level = Level::kLight,
          .dtype = DType::kF32,
          .exact = true,
          .lossless = false,
          .padding = Padding::kNone,
          .axes = {Axis::kStep, Axis::kTop, Axis::kField},
          .fields = {"id", "log probability"},
          .layers = no_layers,
          .inner_shape =
              [](const ModelConfig&, int64_t) {
                return std::vector<int64_t>{kOutputTop, 2};
              },
          .width = [](const ModelConfig&) { return FieldWidth{.fixed = kOutputTop * 2}; },
      },
      scalar("output.entropy", "How undecided the model is about the next token.", "nats", Quantity::kOutputEntropy),
      scalar("output.tail", "Probability of the next token outside the 64 likeliest.", "", Quantity::kOutputTail),
  };
  return kProbes;
}

}  // namespace orrery
