// The numbers behind the attention view, without any drawing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "probes/frame_history.h"
#include "views/token_scalars.h"
#include "views/view_state.h"

namespace orrery {

// One cell per layer and head at a step.
struct HeadCells {
  std::vector<int32_t> layers;  // rows
  int n_heads = 0;              // columns
  std::vector<float> values;    // [layers, n_heads], NaN: missing, or the layer has fewer heads
  float high = 0;               // largest value, or the scalar's fixed end
  FrameRow row;                 // where they come from; empty where they are not held
};
HeadCells head_cells(const FrameHistory& history, const HeadScalar& scalar, int64_t step);

// Query steps x keys of one head. Every row of cells is either exact (attention.row) or block mass with the positions
// of the largest 32 (attention.mass, attention.top), or missing; a row that covers several steps takes the largest
// value.
struct AttentionMap {
  static constexpr int64_t kBlock = 64;
  // The 32 largest are marked where a row has no more steps than this, which they would fill, and the map no more than
  // that: their lists are 64 KB a step of 256 heads.
  static constexpr int64_t kMostMarkedStepsOfARow = 4;
  static constexpr int64_t kMostMarkedSteps = 1024;

  StepRange steps;
  StepRange keys;             // begins and ends on blocks where any row is block mass
  int64_t steps_per_row = 1;  // powers of two, so that cells keep their contents while the run grows
  int64_t keys_per_col = 1;
  int rows = 0;
  int cols = 0;
  int block_cols = 0;  // blocks over `keys`
  struct Rows {        // of cells, half-open
    int begin = 0;
    int end = 0;
    int size() const { return end - begin; }
  };
  // Where both kinds are there, each has cells only from its first row to its last; else for all rows.
  Rows exact_rows;
  Rows block_rows;
  std::vector<float> exact;   // [exact_rows, cols], NaN where the row is not exact
  std::vector<float> mass;    // [block_rows, block_cols], NaN where the row is not block mass
  std::vector<float> marks;   // [block_rows, cols] weights of the 32 largest in rows of block mass; NaN: none there
  std::vector<Rows> missing;  // rows of cells without any recorded step, maximal
  float highest = 0;
  int64_t n_exact_steps = 0;
  int64_t n_block_steps = 0;
  FrameRow exact_row;  // the last of each kind, for provenance
  FrameRow mass_row;
};
// At most max_rows x max_cols cells.
AttentionMap attention_map(const FrameHistory& history, const Selection& selection, StepRange steps, StepRange keys,
                           int max_rows, int max_cols);

// The weights of one step.
struct AttentionBars {
  bool exact = false;
  std::vector<float> weights;  // exact: [n_keys]
  struct Top {
    int64_t key = 0;
    float weight = 0;
  };
  std::vector<Top> top;     // largest first; all that is known where not exact (at most 32)
  std::vector<float> mass;  // per block of 64 keys; empty where not held
  float left_out = 0;       // weight that is not in `weights` or `top`; NaN: not recorded
  FrameRow row;             // attention.row or attention.top; empty: missing
  FrameRow mass_row;
};
AttentionBars attention_bars(const FrameHistory& history, const Selection& selection);

}  // namespace orrery
