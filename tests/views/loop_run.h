// A made-up looped model: layer 1 of 3 up to 5 times, with a gate or without. Every number follows from step and
// iteration (from 0); a token leaves after 2 to 5 of them.
#pragma once

#include <cstdint>

#include "tests/views/sample_run.h"

namespace orrery {

struct LoopRun {
  bool has_gate = true;

  RunInfo info() const;
  static int32_t depth(int64_t step) { return static_cast<int32_t>(2 + step % 4); }
  // NaN for iterations that the token was not in; the cosine's first, too.
  static float step_size(int64_t step, int32_t iteration);
  static float cosine(int64_t step, int32_t iteration);
  static float exit(int64_t step, int32_t iteration);

  void add_step(FrameHistory& history, int64_t step) const;
  FrameHistory history(int64_t n_steps) const;
};

}  // namespace orrery
