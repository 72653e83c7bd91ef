// Walking a probe's steps in order, one look-up a Frame instead of one a step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "probes/frame_history.h"
#include "views/bins.h"
#include "views/view_state.h"

namespace orrery {

// Calls fn(const FrameRow&) for every held step of [begin, end), ascending; steps that are not held are left out. Of a
// coarse level: for every cell, with its first step; begin and end are multiples of cells.
template <typename Fn>
void for_each_row(const FrameHistory& history, const Probe& probe, int64_t begin, int64_t end, Fn&& fn,
                  int32_t level = 0) {
  FrameRow row;
  std::vector<std::pair<int64_t, int64_t>> gaps;  // asked for once, at the first step that is not held
  size_t gap = 0;
  const int64_t row_steps = steps_per_cell(level);
  for (int64_t step = begin; step < end; step += row_steps) {
    if (!row || step >= row.frame->step_end) row = history.row(probe, step, level);
    if (row) {
      row.step = step;
      fn(static_cast<const FrameRow&>(row));
      continue;
    }
    if (gaps.empty()) gaps = history.missing(probe, step, end, level);
    while (gap < gaps.size() && gaps[gap].second <= step) ++gap;
    if (gap < gaps.size()) step = gaps[gap].second - row_steps;
  }
}

// The last held step of each column of steps_per_col steps from begin on; -1: none.
inline std::vector<int64_t> last_steps(const FrameHistory& history, const Probe& probe, StepRange steps,
                                       int64_t steps_per_col) {
  std::vector<int64_t> last(static_cast<size_t>(ceil_div(std::max<int64_t>(steps.size(), 0), steps_per_col)), -1);
  for_each_row(history, probe, steps.begin, steps.end, [&](const FrameRow& row) {
    last[static_cast<size_t>((row.step - steps.begin) / steps_per_col)] = row.step;
  });
  return last;
}

}  // namespace orrery
