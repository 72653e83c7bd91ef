// The numbers behind the convolution view, without any drawing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "probes/frame_history.h"
#include "views/view_state.h"

namespace orrery {

// conv.taps of one layer: rows are its taps, oldest first, columns are steps.
struct TapMap {
  StepRange steps;
  int64_t steps_per_col = 1;  // powers of two, so that cells keep their contents while the run grows
  int rows = 0;               // taps of the layer; 0: it has no short convolution
  int cols = 0;
  std::vector<float> values;  // [rows, cols]; NaN: not recorded. A column is as its last recorded step.
  float high = 0;
  std::vector<StepRange> missing;  // columns without any recorded step, maximal, as steps
  FrameRow row;                    // the last one that was read; empty: none
};
TapMap tap_map(const FrameHistory& history, int32_t layer, StepRange steps, int max_cols);

// conv.taps of every layer at one step. Columns are the tokens that are read, t itself last: layers with fewer taps
// than the most begin further right.
struct TapTable {
  std::vector<int32_t> layers;  // rows
  int cols = 0;                 // the most taps of any layer
  std::vector<float> values;    // [layers, cols]; NaN: not recorded, or the layer reads no token as old
  float high = 0;
  FrameRow row;  // empty: not held
};
TapTable tap_table(const FrameHistory& history, int64_t step);

// One layer at one step: [taps], oldest first; empty where it is not held.
struct Taps {
  std::vector<float> values;
  FrameRow row;
};
Taps taps_at(const FrameHistory& history, int32_t layer, int64_t step);

// What a tap reads, counted from the token itself: "t", "t-1".
std::string tap_name(int back);

}  // namespace orrery
