// What pictures of many steps are read from: every step while they are few, else cells of several (probes/levels.h).
// The stretch of steps alone decides, so that what is wanted does not depend on how large the picture is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "views/frame_rows.h"
#include "views/view.h"

namespace orrery {

// Cells are as long as leaves about this many, up to twice as many and at least half: few enough to be taken in at
// every frame, enough for a map half a window wide. At most four times as many steps are read one by one.
inline constexpr int kCells = 256;

struct StepCells {
  StepRange steps;  // as asked for, from the beginning of its first cell on
  int depth = 0;
  Statistic statistic = Statistic::kMean;

  int64_t cell_steps() const { return steps_per_cell(level_of(statistic, depth)); }
  // Of the steps that were processed: whole cells, and behind the last one what is left, of finer ones.
  std::vector<LevelSpan> spans(int64_t n_processed) const;
};

// `probe` may have no coarse levels: then it is every step.
StepCells step_cells(const Probe& probe, StepRange steps, Statistic statistic = Statistic::kMean);

void want(std::vector<Wanted>& list, const Probe& probe, const StepCells& cells, int64_t n_processed);

// The held cells of a span, and where one is not held the finer ones that are.
template <typename Fn>
void for_each_cell_of(const FrameHistory& history, const Probe& probe, Statistic statistic, const LevelSpan& span,
                      Fn&& fn) {
  const int32_t level = level_of(statistic, span.depth);
  const auto cells = [&](int64_t begin, int64_t end) {
    for_each_row(
        history, probe, begin, end, [&](const FrameRow& row) { fn(row, steps_per_cell(level)); }, level);
  };
  int64_t at = span.begin;
  if (span.depth > 0) {
    for (const auto& [begin, end] : history.missing(probe, span.begin, span.end, level)) {
      cells(at, begin);
      for_each_cell_of(history, probe, statistic, {span.depth - 1, begin, end}, fn);
      at = end;
    }
  }
  cells(at, span.end);
}

// Calls fn(const FrameRow&, int64_t n_steps) for what is held of them, ascending.
template <typename Fn>
void for_each_cell(const FrameHistory& history, const Probe& probe, const StepCells& cells, Fn&& fn) {
  for (const LevelSpan& span : cells.spans(history.n_processed())) {
    for_each_cell_of(history, probe, cells.statistic, span, fn);
  }
}

// "mean of 16 steps"
std::string cells_note(Statistic statistic, int64_t n_steps);

}  // namespace orrery
