// state.norm, .write, .erase, .read, .keep, .row: what a recurrence's matrix S holds and does with a token, per head.
// kernels/matrix_state defines the recurrence and computes them where S is. Mamba-1 has a matrix of one row per
// channel: its channels are taken together in 16 groups (model_axes.h).
#include "probes/definitions.h"
#include "probes/head_scalar.h"
#include "probes/model_axes.h"

namespace orrery {
namespace {

constexpr int64_t kKeepFields = 3;

Probe norm() {
  Probe probe = head_scalar("state.norm", "Frobenius norm of the recurrent state, after the token.", "",
                            Quantity::kStateNorm, Level::kLight, kStateHeads);
  probe.lossless = true;
  return probe;
}

Probe keep() {
  return {
      .name = "state.keep",
      .description =
          "How much of the recurrent state the token leaves in place: the decay factors over the head's "
          "channels. The half-life in tokens is ln 2 / -ln of it.",
      .unit = "",
      .quantity = Quantity::kStateKeep,
      .level = Level::kLight,
      .dtype = DType::kF32,
      .exact = true,
      .lossless = false,
      .padding = Padding::kNone,
      .axes = {Axis::kStep, Axis::kLayer, Axis::kHead, Axis::kField},
      .fields = {"geometric mean", "least", "greatest"},
      .layers = state_layers,
      .inner_shape =
          [](const ModelConfig& config, int64_t) {
            return std::vector<int64_t>{longest(config, state_heads_in), kKeepFields};
          },
      .width =
          [](const ModelConfig& config) { return FieldWidth{.fixed = longest(config, state_heads_in) * kKeepFields}; },
      .size_in = state_heads_in,
  };
}

// Grows with the square of the text and costs a sweep back over it, so no level keeps it.
Probe row() {
  return {
      .name = "state.row",
      .description =
          "The implied attention row, signed: how much each earlier token's write counts in what a head "
          "reads; of Mamba-1, the mean over a group's channels.",
      .unit = "",
      .quantity = Quantity::kStateRow,
      .level = Level::kRecomputed,
      .dtype = DType::kF32,
      .exact = true,
      .lossless = true,
      .padding = Padding::kZero,
      .axes = {Axis::kStep, Axis::kLayer, Axis::kHead, Axis::kKey},
      .fields = {},
      .layers = state_layers,
      .inner_shape =
          [](const ModelConfig& config, int64_t n_keys) {
            return std::vector<int64_t>{longest(config, state_heads_in), n_keys};
          },
      .width = [](const ModelConfig& config) { return FieldWidth{.per_key = longest(config, state_heads_in)}; },
      .size_in = state_heads_in,
  };
}

}  // namespace

std::span<const Probe> state_probes() {
  static const std::vector<Probe> kProbes{
      norm(),
      head_scalar("state.write", "How strong the token's write into the recurrent state is: norm of v times k.", "",
                  Quantity::kStateWrite, Level::kLight, kStateHeads),
      head_scalar("state.erase", "Norm of what the token erases from the recurrent state (0 where nothing is erased).",
                  "", Quantity::kStateErase, Level::kLight, kStateHeads),
      head_scalar("state.read", "How much the token's query brings back: norm of S q over norm of q.", "",
                  Quantity::kStateRead, Level::kLight, kStateHeads),
      keep(),
      row(),
  };
  return kProbes;
}

}  // namespace orrery
