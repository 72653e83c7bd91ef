// loop.depth, loop.exit, loop.step, loop.cosine: how often a token goes through a loop, and what each time changes.
// engine/looped_pass measures them.
#include "probes/definitions.h"
#include "probes/model_axes.h"

namespace orrery {
namespace {

Probe per_iteration(std::string_view name, std::string_view description, Quantity quantity,
                    bool (*is_in)(const ModelConfig& config)) {
  return {
      .name = name,
      .description = description,
      .unit = "",
      .quantity = quantity,
      .level = Level::kLight,
      .dtype = DType::kF32,
      .exact = true,
      .lossless = false,
      .padding = Padding::kNone,
      .axes = {Axis::kStep, Axis::kIteration},
      .fields = {},
      .layers = no_layers,
      .inner_shape = [](const ModelConfig& config, int64_t) { return std::vector<int64_t>{config.loop.n_iterations}; },
      .width = [](const ModelConfig& config) { return FieldWidth{.fixed = config.loop.n_iterations}; },
      .is_in = is_in,
  };
}

Probe depth() {
  return {
      .name = "loop.depth",
      .description = "Iterations of the loop that the token went through, or whose state was read.",
      .unit = "iterations",
      .quantity = Quantity::kLoopDepth,
      .level = Level::kLight,
      .dtype = DType::kI32,
      .exact = true,
      .lossless = true,
      .padding = Padding::kNone,
      .axes = {Axis::kStep},
      .fields = {},
      .layers = no_layers,
      .inner_shape = [](const ModelConfig&, int64_t) { return std::vector<int64_t>{}; },
      .width = [](const ModelConfig&) { return FieldWidth{.fixed = 1}; },
      .is_in = has_loop,
  };
}

}  // namespace

std::span<const Probe> loop_probes() {
  static const std::vector<Probe> kProbes{
      depth(),
      per_iteration(
          "loop.exit",
          "Probability of stopping after each iteration, by the learned gate; what is left of 1 is on the last.",
          Quantity::kLoopExit, has_loop_gate),
      per_iteration("loop.step", "How far an iteration moves the state, over the size that it had before.",
                    Quantity::kLoopStep, has_loop),
      per_iteration("loop.cosine", "Cosine of an iteration's change of the state with that of the one before.",
                    Quantity::kLoopCosine, has_loop),
  };
  return kProbes;
}

}  // namespace orrery
