// The numbers behind the state view, without any drawing.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "probes/frame_history.h"
#include "views/head_map.h"
#include "views/view_state.h"

namespace orrery {

// kHalfLife: in tokens, of kKeep; infinite where nothing decays. kErase: of the recurrences that erase.
enum class StateQuantity : uint8_t { kNorm, kWrite, kKeep, kErase, kHalfLife, kRead };
inline constexpr int kStateQuantities = 6;
const char* state_probe_name(StateQuantity quantity);  // "state.norm"
// Whether a layer's recurrence takes away what it holds at a key before it writes there.
bool erases(const LayerConfig& layer);

HeadQuantity head_quantity(StateQuantity quantity);

// One quantity of recurrences. Of several heads together: the norm of all (root of the sum of squares), as of one
// matrix; what is kept, by their geometric mean, and the half-life is of that. Scales begin at 0 but for kKeep and
// kHalfLife.
using StateMap = HeadMap;

// layer: whose heads are the rows; none: the rows are all layers with a recurrent state. At most max_rows x max_cols.
StateMap state_map(const FrameHistory& history, StateQuantity quantity, std::optional<int32_t> layer, StepRange steps,
                   int max_rows, int max_cols);

// The implied attention row of one head at a step: [step + 1] signed; empty where it is not held.
struct ImpliedRow {
  std::vector<float> weights;
  FrameRow row;
};
ImpliedRow implied_row(const FrameHistory& history, const Selection& selection);

}  // namespace orrery
