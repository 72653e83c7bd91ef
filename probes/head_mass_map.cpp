#include "probes/head_mass_map.h"

#include <algorithm>
#include <cmath>

namespace orrery {

int64_t HeadMassMap::n_steps(int64_t index, int level) const {
  const std::vector<Row>& rows = levels_[static_cast<size_t>(level)];
  return index < 0 || index >= std::ssize(rows) ? 0 : rows[static_cast<size_t>(index)].n_steps;
}

std::span<const float> HeadMassMap::row(int64_t index, int level) const {
  if (n_steps(index, level) == 0) return {};
  return levels_[static_cast<size_t>(level)][static_cast<size_t>(index)].cells;
}

void HeadMassMap::add(const Frame& frame, int64_t begin, int64_t end) {
  const int64_t layer = frame.layer_index(layer_);
  if (layer < 0 || frame.shape.size() < 4 || head_ < 0 || head_ >= frame.shape[2]) return;
  const int64_t n_blocks = frame.shape[3];
  const auto at = static_cast<size_t>((layer * frame.shape[2] + head_) * n_blocks);
  for (int64_t step = std::max(begin, frame.step_begin); step < std::min(end, frame.step_end); ++step) {
    if (has(step)) continue;
    const int64_t n_seen = std::min(n_blocks, step / kBlock + 1);
    add_step(step, frame.step_values<float>(step).subspan(at, static_cast<size_t>(n_seen)));
  }
}

void HeadMassMap::add_step(int64_t step, std::span<const float> masses) {
  // A layer of a loop that the token had left measured nothing.
  if (masses.empty() || std::isnan(masses[0])) return;
  for (int level = 0; level < kLevels; ++level) {
    std::vector<Row>& rows = levels_[static_cast<size_t>(level)];
    const auto index = static_cast<size_t>(step >> level);
    if (index >= rows.size()) rows.resize(index + 1);
    Row& row = rows[index];
    ++row.n_steps;
    if (row.cells.size() < masses.size()) {
      n_bytes_ += (masses.size() - row.cells.size()) * sizeof(float);
      row.cells.resize(masses.size(), 0.0f);
    }
    for (size_t block = 0; block < masses.size(); ++block) {
      row.cells[block] = std::max(row.cells[block], masses[block]);
    }
  }
}

}  // namespace orrery
