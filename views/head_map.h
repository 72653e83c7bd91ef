// One number per head, of layers of a kind, over steps: the cells of a map, without any drawing. What the maps of
// recurrent states and of fast weights are made of.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "probes/frame_history.h"
#include "views/view_state.h"

namespace orrery {

// What several heads are together.
enum class Together : uint8_t {
  kRootOfSquares,  // as norms of parts are that of the whole
  kGeometricMean,
  kMean,
};
const char* together_note(Together together);  // "heads together: root of the sum of squares"

struct HeadQuantity {
  std::string_view probe;  // [t, layer, head]; of one with fields the first; or [t, layer], which has no heads to show
  MixerKind kind = MixerKind::kMatrixState;
  Together together = Together::kRootOfSquares;
  bool from_zero = true;  // the scale begins at 0, else at the least value
  // What is drawn of what the heads are together; null: that itself. An infinite one is above every scale.
  float (*shown)(float together) = nullptr;
  // Which of the layers that have the probe have the quantity; null: all.
  bool (*is_in)(const LayerConfig& layer) = nullptr;
};

// Rows are layers, or heads of one layer; columns are steps.
struct HeadMap {
  std::vector<int64_t> rows;        // layer ids, or the first head of each row
  std::vector<std::string> labels;  // of rows: "7 Mamba-2"; "3", or "4–7" where a row covers several heads
  StepRange steps;                  // of very many, the first is moved to the beginning of its cell (step_cells.h)
  int64_t steps_per_col = 1;        // powers of two, so that cells keep their contents while the run grows
  int64_t heads_per_row = 1;        // of rows of heads
  int cols = 0;
  // [rows, cols]; NaN: not recorded. A column is the mean of its recorded steps, head by head, then the heads together.
  std::vector<float> values;
  float low = 0;  // least and greatest value; low is 0 where the scale begins there
  float high = 0;
  std::vector<StepRange> missing;  // columns without any recorded step, maximal, as steps
  FrameRow row;                    // the last one that was read; empty: none
};

// layer: whose heads are the rows; none: the rows are all layers that have it. At most max_rows x max_cols.
HeadMap head_map(const FrameHistory& history, const HeadQuantity& quantity, std::optional<int32_t> layer,
                 StepRange steps, int max_rows, int max_cols);
// The map of a quantity that is drawn of the same numbers, taken together alike: `map` shows them as they are.
HeadMap shown_as(HeadMap map, const HeadQuantity& quantity);

}  // namespace orrery
