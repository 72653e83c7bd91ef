// Walking a probe's steps in order, one look-up a Frame instead of one a step.
#pragma once

#include <algorithm>
#include <cstdint>

#include "probes/frame_history.h"

namespace orrery {

// Calls fn(const FrameRow&) for every held step of [begin, end), ascending; steps that are not held are left out.
template <typename Fn>
void for_each_row(const FrameHistory& history, const Probe& probe, int64_t begin, int64_t end, Fn&& fn) {
  FrameRow row;
  for (int64_t step = begin; step < end; ++step) {
    if (!row || step >= row.frame->step_end) row = history.row(probe, step);
    if (!row) continue;
    row.step = step;
    fn(static_cast<const FrameRow&>(row));
  }
}

}  // namespace orrery
