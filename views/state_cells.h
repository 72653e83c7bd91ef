// The numbers behind the state view, without any drawing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "probes/frame_history.h"
#include "views/view_state.h"

namespace orrery {

enum class StateQuantity : uint8_t { kNorm, kWrite, kKeep };
inline constexpr int kStateQuantities = 3;
const char* state_probe_name(StateQuantity quantity);  // "state.norm"

// One quantity of recurrences: rows are layers, or heads of one layer; columns are steps.
struct StateMap {
  std::vector<int64_t> rows;        // layer ids, or the first head of each row
  std::vector<std::string> labels;  // of rows: "7 Mamba-2"; "3", or "4–7" where a row covers several heads
  StepRange steps;
  int64_t steps_per_col = 1;  // powers of two, so that cells keep their contents while the run grows
  int64_t heads_per_row = 1;  // of rows of heads
  int cols = 0;
  // [rows, cols]; NaN: not recorded. A column is as its last recorded step. Of several heads together: the norm of all
  // (root of the sum of squares), as of one matrix; what is kept, by their geometric mean.
  std::vector<float> values;
  float low = 0;  // least and greatest value; low is 0 but for kKeep
  float high = 0;
  std::vector<StepRange> missing;  // columns without any recorded step, maximal, as steps
  FrameRow row;                    // the last one that was read; empty: none
};

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
