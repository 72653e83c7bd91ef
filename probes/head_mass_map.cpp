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

bool HeadMassMap::is_cell(int64_t index, int level) const {
  const std::vector<Row>& rows = levels_[static_cast<size_t>(level)];
  return index < std::ssize(rows) && rows[static_cast<size_t>(index)].is_cell;
}

bool HeadMassMap::is_complete(int64_t index, int level, int64_t n_processed) const {
  return n_steps(index, level) >= std::min(int64_t{1} << level, n_processed - (index << level));
}

int HeadMassMap::shown_level(int64_t begin, int64_t end, int level, int64_t n_processed) const {
  for (int64_t step = begin; step < end; step = ((step >> level) + 1) << level) {
    if (is_complete(step >> level, level, n_processed)) continue;
    int coarser = level + 1;
    while (coarser < kLevels && !is_cell(step >> coarser, coarser)) ++coarser;
    if (coarser < kLevels) level = coarser;
  }
  return level;
}

void HeadMassMap::add(const Frame& frame, int64_t begin, int64_t end) {
  const int64_t layer = frame.layer_index(layer_);
  if (layer < 0 || frame.shape.size() < 4 || head_ < 0 || head_ >= frame.shape[2]) return;
  const int64_t n_blocks = frame.shape[3];
  const auto at = static_cast<size_t>((layer * frame.shape[2] + head_) * n_blocks);
  const int64_t row_steps = steps_per_cell(frame.level);
  for (int64_t step = std::max(begin, frame.step_begin); step < std::min(end, frame.step_end); step += row_steps) {
    const int64_t n_seen = std::min(n_blocks, key_blocks_at(step + row_steps - 1));
    const std::span<const float> masses = frame.step_values<float>(step).subspan(at, static_cast<size_t>(n_seen));
    // A layer of a loop that the token had left measured nothing.
    if (masses.empty() || std::isnan(masses[0])) continue;
    if (frame.level == 0) {
      add_step(step, masses);
    } else {
      add_cell(step, map_level_of(frame.level), masses);
    }
  }
  keep_source(frame);
}

HeadMassMap::Row& HeadMassMap::row_at(int level, int64_t index) {
  std::vector<Row>& rows = levels_[static_cast<size_t>(level)];
  if (index >= std::ssize(rows)) rows.resize(static_cast<size_t>(index) + 1);
  return rows[static_cast<size_t>(index)];
}

void HeadMassMap::raise(Row& row, std::span<const float> masses) {
  if (row.cells.size() < masses.size()) {
    n_bytes_ += (masses.size() - row.cells.size()) * sizeof(float);
    row.cells.resize(masses.size(), 0.0f);
  }
  // Blocks that no measured step of a cell sees are NaN there.
  for (size_t block = 0; block < masses.size(); ++block) row.cells[block] = std::max(row.cells[block], masses[block]);
}

void HeadMassMap::add_step(int64_t step, std::span<const float> masses) {
  if (has(step)) return;
  for (int level = 0; level < kLevels; ++level) {
    Row& row = row_at(level, step >> level);
    if (row.is_cell) return;  // it and all above it hold the step
    ++row.n_steps;
    raise(row, masses);
  }
}

void HeadMassMap::add_cell(int64_t step, int level, std::span<const float> masses) {
  const int64_t n_steps = int64_t{1} << level;
  Row& cell = row_at(level, step >> level);
  if (cell.n_steps == n_steps) return;
  const int64_t n_added = n_steps - cell.n_steps;
  cell.n_steps = n_steps;
  cell.is_cell = true;
  raise(cell, masses);
  for (int above = level + 1; above < kLevels; ++above) {
    Row& row = row_at(above, step >> above);
    if (row.is_cell) return;
    row.n_steps += n_added;
    raise(row, masses);
  }
}

void HeadMassMap::keep_source(const Frame& frame) {
  if (source_ && source_->origin == frame.origin && source_->run == frame.run) return;
  auto source = std::make_shared<Frame>(frame);
  source->payload.reset();
  source->payload_bytes = 0;
  source_ = std::move(source);
}

}  // namespace orrery
