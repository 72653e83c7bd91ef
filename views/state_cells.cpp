#include "views/state_cells.h"

#include <algorithm>

#include "views/half_life.h"

namespace orrery {

const char* state_probe_name(StateQuantity quantity) {
  switch (quantity) {
    case StateQuantity::kNorm:
      return "state.norm";
    case StateQuantity::kWrite:
      return "state.write";
    case StateQuantity::kKeep:
    case StateQuantity::kHalfLife:
      return "state.keep";
    case StateQuantity::kErase:
      return "state.erase";
    case StateQuantity::kRead:
      return "state.read";
  }
  return "";
}

bool erases(const LayerConfig& layer) {
  if (!layer.has(MixerKind::kMatrixState)) return false;
  switch (layer.state.recurrence) {
    case Recurrence::kGatedDelta:
    case Recurrence::kKimiDelta:
    case Recurrence::kRwkv7:
      return true;
    case Recurrence::kMamba1:
    case Recurrence::kMamba2:
    case Recurrence::kRetention:
    case Recurrence::kLightning:
    case Recurrence::kRgLru:
      break;
  }
  return false;
}

HeadQuantity head_quantity(StateQuantity quantity) {
  const bool is_half_life = quantity == StateQuantity::kHalfLife;
  const bool is_keep = quantity == StateQuantity::kKeep || is_half_life;
  return {.probe = state_probe_name(quantity),
          .kind = MixerKind::kMatrixState,
          .together = is_keep ? Together::kGeometricMean : Together::kRootOfSquares,
          .from_zero = !is_keep,
          .shown = is_half_life ? half_life : nullptr,
          .is_in = quantity == StateQuantity::kErase ? erases : nullptr};
}

StateMap state_map(const FrameHistory& history, StateQuantity quantity, std::optional<int32_t> layer, StepRange steps,
                   int max_rows, int max_cols) {
  return head_map(history, head_quantity(quantity), layer, steps, max_rows, max_cols);
}

ImpliedRow implied_row(const FrameHistory& history, const Selection& selection) {
  ImpliedRow implied;
  if (selection.step < 0 || selection.layer < 0 || selection.head < 0) return implied;
  const FrameRow row = history.row_of(*find_probe("state.row"), selection.step, selection.layer, selection.head);
  if (!row) return implied;
  const std::span<const float> values = row.layer_f32(selection.layer);
  const std::vector<int32_t>& heads = row.frame->heads;
  const auto found = std::ranges::find(heads, selection.head);
  const size_t index = heads.empty() ? static_cast<size_t>(selection.head) : static_cast<size_t>(found - heads.begin());
  const auto n_keys = static_cast<size_t>(row.inner_shape().back());
  if ((index + 1) * n_keys > values.size()) return implied;
  const size_t n_seen = std::min(n_keys, static_cast<size_t>(selection.step) + 1);
  const std::span<const float> weights = values.subspan(index * n_keys, n_seen);
  implied.weights.assign(weights.begin(), weights.end());
  implied.row = row;
  return implied;
}

}  // namespace orrery
