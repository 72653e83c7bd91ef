#include "views/step_cells.h"

#include <algorithm>

#include "views/bins.h"

namespace orrery {

std::vector<LevelSpan> StepCells::spans(int64_t n_processed) const {
  return cover(steps.begin, std::min(steps.end, std::max(n_processed, steps.begin)), depth);
}

StepCells step_cells(const Probe& probe, StepRange steps, Statistic statistic) {
  StepCells cells{.steps = steps, .depth = 0, .statistic = statistic};
  cells.depth = depth_for(bin_size(std::max<int64_t>(steps.size(), 1), kCells));
  if (!has_level(probe, level_of(statistic, cells.depth))) cells.depth = 0;
  if (cells.depth > 0) cells.steps.begin -= cells.steps.begin % cells.cell_steps();
  return cells;
}

void want(std::vector<Wanted>& list, const Probe& probe, const StepCells& cells, int64_t n_processed) {
  for (const LevelSpan& span : cells.spans(n_processed)) {
    list.push_back({&probe, span.begin, span.end, level_of(cells.statistic, span.depth)});
  }
}

std::string cells_note(Statistic statistic, int64_t n_steps) {
  return std::string(statistic == Statistic::kMean ? "mean" : "largest") + " of " + std::to_string(n_steps) + " steps";
}

}  // namespace orrery
