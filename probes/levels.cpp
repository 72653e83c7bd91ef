#include "probes/levels.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "probes/frame.h"

namespace orrery {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

constexpr int64_t cell_steps(int depth) { return steps_per_cell(level_of(Statistic::kMean, depth)); }

// A Frame of one cell, shaped like a row of `like`.
Frame cell_frame(const Frame& like, const CellSums& sums, Statistic statistic, int depth) {
  Frame cell;
  cell.run = like.run;
  cell.probe = like.probe;
  cell.level = level_of(statistic, depth);
  cell.step_begin = sums.begin();
  cell.step_end = sums.begin() + cell_steps(depth);
  cell.layers = like.layers;
  cell.shape = like.shape;
  cell.shape[0] = 1;
  cell.origin = like.origin;
  const auto n = static_cast<size_t>(like.values_per_step());
  const std::shared_ptr<float[]> values = std::make_shared_for_overwrite<float[]>(n);
  sums.write(statistic, {values.get(), n});
  cell.payload = std::shared_ptr<const std::byte>(values, reinterpret_cast<const std::byte*>(values.get()));
  cell.payload_bytes = n * sizeof(float);
  return cell;
}

}  // namespace

int depth_for(int64_t steps_per_col) {
  int depth = 0;
  while (depth < kMaxDepth && cell_steps(depth + 1) <= steps_per_col) ++depth;
  return depth;
}

bool has_levels(const Probe& probe) {
  if (probe.level >= Level::kFull) return false;
  return std::ranges::none_of(probe.axes, [](Axis axis) {
    return axis == Axis::kKey || axis == Axis::kKeyBlock || axis == Axis::kTop || axis == Axis::kChosen;
  });
}

std::vector<LevelSpan> cover(int64_t begin, int64_t end, int depth) {
  std::vector<LevelSpan> spans;
  while (begin < end) {
    int fitting = depth;
    while (fitting > 0 && (begin % cell_steps(fitting) != 0 || begin + cell_steps(fitting) > end)) --fitting;
    const int64_t to = begin + cell_steps(fitting);
    if (!spans.empty() && spans.back().depth == fitting) {
      spans.back().end = to;
    } else {
      spans.push_back({fitting, begin, to});
    }
    begin = to;
  }
  return spans;
}

void CellSums::open(int64_t begin, size_t n) {
  begin_ = begin;
  sums_.assign(n, 0.0);
  maxima_.assign(n, -std::numeric_limits<float>::infinity());
  counts_.assign(n, 0.0f);
}

template <typename T>
void CellSums::add(std::span<const T> values) {
  for (size_t i = 0; i < sums_.size(); ++i) {
    const T value = values[i];
    const bool present = std::is_floating_point_v<T> ? value == value : value >= T{0};
    sums_[i] += present ? static_cast<double>(value) : 0.0;
    maxima_[i] = present ? std::max(maxima_[i], static_cast<float>(value)) : maxima_[i];
    counts_[i] += present ? 1.0f : 0.0f;
  }
}

void CellSums::add(const CellSums& finer) {
  for (size_t i = 0; i < sums_.size(); ++i) {
    sums_[i] += finer.sums_[i];
    maxima_[i] = std::max(maxima_[i], finer.maxima_[i]);
    counts_[i] += finer.counts_[i];
  }
}

void CellSums::add(std::span<const float> means, std::span<const float> maxima, int64_t n_steps) {
  for (size_t i = 0; i < sums_.size(); ++i) {
    if (std::isnan(means[i])) continue;
    sums_[i] += static_cast<double>(means[i]) * static_cast<double>(n_steps);
    maxima_[i] = std::max(maxima_[i], maxima[i]);
    counts_[i] += static_cast<float>(n_steps);
  }
}

void CellSums::write(Statistic statistic, std::span<float> to) const {
  for (size_t i = 0; i < sums_.size(); ++i) {
    const float mean = static_cast<float>(sums_[i] / static_cast<double>(counts_[i]));
    to[i] = counts_[i] == 0.0f ? kNan : statistic == Statistic::kMean ? mean : maxima_[i];
  }
}

void LevelBuilder::start(const Frame& frame, int64_t first) {
  layers_ = frame.layers;
  n_values_ = frame.values_per_step();
  first_step_ = whole_ ? 0 : first;
  next_step_ = first;
  for (CellSums& sums : open_) sums.clear();
}

void LevelBuilder::add(const Frame& frame, const Take& take) {
  if (n_values_ != frame.values_per_step() || layers_ != frame.layers) start(frame, frame.step_begin);
  for (int64_t at = frame.step_begin; at < frame.step_end; ++at) step(frame, at, &take);
}

void LevelBuilder::resume(const Frame& means, const Frame& maxima) {
  if (n_values_ != means.values_per_step() || layers_ != means.layers) start(means, 0);
  const int depth = depth_of(means.level);
  for (int64_t at = means.step_begin; at < means.step_end; at += cell_steps(depth)) {
    if (depth == 0) {
      step(means, at, nullptr);
      continue;
    }
    const int above = depth + 1;
    next_step_ = at + cell_steps(depth);
    if (above > kMaxDepth) continue;
    CellSums& sums = open_[static_cast<size_t>(above)];
    if (sums.empty()) sums.open(at / cell_steps(above) * cell_steps(above), static_cast<size_t>(n_values_));
    sums.add(means.step_values<float>(at), maxima.step_values<float>(at), cell_steps(depth));
  }
}

void LevelBuilder::step(const Frame& frame, int64_t step, const Take* take) {
  for (int depth = 1; depth <= kMaxDepth; ++depth) {
    const CellSums& sums = open_[static_cast<size_t>(depth)];
    if (!sums.empty() && step >= sums.begin() + cell_steps(depth)) close(depth, frame, take);
  }
  CellSums& finest = open_[1];
  if (finest.empty()) finest.open(step / cell_steps(1) * cell_steps(1), static_cast<size_t>(n_values_));
  switch (frame.probe->dtype) {
    case DType::kI32:
      finest.add(frame.step_values<int32_t>(step));
      break;
    case DType::kI64:
      finest.add(frame.step_values<int64_t>(step));
      break;
    default:
      finest.add(frame.step_values<float>(step));
  }
  next_step_ = step + 1;
  for (int depth = 1; depth <= kMaxDepth && (step + 1) % cell_steps(depth) == 0; ++depth) close(depth, frame, take);
}

void LevelBuilder::close(int depth, const Frame& like, const Take* take) {
  CellSums& sums = open_[static_cast<size_t>(depth)];
  if (sums.empty()) return;
  if (take != nullptr && sums.begin() >= first_step_) {
    for (const Statistic statistic : kStatistics) (*take)(cell_frame(like, sums, statistic, depth));
  }
  if (depth < kMaxDepth) {
    CellSums& above = open_[static_cast<size_t>(depth) + 1];
    const int64_t begin = sums.begin() / cell_steps(depth + 1) * cell_steps(depth + 1);
    if (above.empty()) above.open(begin, static_cast<size_t>(n_values_));
    above.add(sums);
  }
  sums.clear();
}

}  // namespace orrery
