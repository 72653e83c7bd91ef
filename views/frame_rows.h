// Walking a probe's steps in order, one look-up a Frame instead of one a step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "probes/frame_history.h"

namespace orrery {

// Calls fn(const FrameRow&) for every held step of [begin, end), ascending; steps that are not held are left out.
template <typename Fn>
void for_each_row(const FrameHistory& history, const Probe& probe, int64_t begin, int64_t end, Fn&& fn) {
  FrameRow row;
  std::vector<std::pair<int64_t, int64_t>> gaps;  // asked for once, at the first step that is not held
  size_t gap = 0;
  for (int64_t step = begin; step < end; ++step) {
    if (!row || step >= row.frame->step_end) row = history.row(probe, step);
    if (row) {
      row.step = step;
      fn(static_cast<const FrameRow&>(row));
      continue;
    }
    if (gaps.empty()) gaps = history.missing(probe, step, end);
    while (gap < gaps.size() && gaps[gap].second <= step) ++gap;
    if (gap < gaps.size()) step = gaps[gap].second - 1;
  }
}

}  // namespace orrery
