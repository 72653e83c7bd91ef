// The numbers behind the loop view, without any drawing.
#pragma once

#include <cstdint>
#include <vector>

#include "probes/frame_history.h"
#include "views/view_state.h"

namespace orrery {

// A quantity of a loop: rows are its iterations (one row for what a token has once, its depth), columns are steps.
struct LoopMap {
  StepRange steps;
  int64_t steps_per_col = 1;  // powers of two, so that cells keep their contents while the run grows
  int rows = 0;
  int cols = 0;
  // [rows, cols]; a column is as its last recorded step. NaN: not recorded, or not there: the token had left.
  std::vector<float> values;
  float high = 0;                  // greatest value
  std::vector<StepRange> missing;  // columns without any recorded step, maximal, as steps
  FrameRow row;                    // the last one that was read; empty: none
};
LoopMap loop_map(const FrameHistory& history, const Probe& probe, StepRange steps, int max_cols);

// The depths that a what-if gives, one row. What is not known is among the missing; `row` is of what they come from.
LoopMap what_if_map(const FrameHistory& history, const WhatIf& what, StepRange steps, int max_cols);

// What the model would say after each iteration of a step, read after one layer of the loop: the visits of that layer.
struct LoopLens {
  struct Top {
    int32_t id = -1;
    float probability = 0;
  };
  std::vector<int32_t> layers;         // visits, by iteration
  std::vector<std::vector<Top>> tops;  // by iteration, likeliest first; empty where it is not held
  FrameRow row;                        // empty: nothing is held
};
// Of the selected layer where it is in the loop, else of the loop's last.
LoopLens loop_lens(const FrameHistory& history, const Selection& now);

// What a token has of a quantity, one value per iteration; empty where it is not held.
struct LoopTrace {
  std::vector<float> values;
  FrameRow row;
};
LoopTrace loop_trace(const FrameHistory& history, const Probe& probe, int64_t step);

}  // namespace orrery
