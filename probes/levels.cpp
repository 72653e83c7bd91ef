#include "probes/levels.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "kernels/attention.h"
#include "probes/frame.h"

namespace orrery {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kLowest = -std::numeric_limits<float>::infinity();
constexpr int kFinestOfBlocks = 2;

constexpr int64_t cell_steps(int depth) { return steps_per_cell(level_of(Statistic::kMean, depth)); }

bool has_blocks(const Probe& probe) { return probe.has_axis(Axis::kKeyBlock); }

size_t width_at(const Probe& probe, int64_t step) { return static_cast<size_t>(n_blocks_at(probe, step)); }

// How the row of a frame lies that ends with `step`.
Lines lines_at(const Frame& frame, int64_t step) {
  if (!has_blocks(*frame.probe)) return {};
  return {.stride = static_cast<size_t>(frame.shape.back()), .width = width_at(*frame.probe, step)};
}

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
  if (has_blocks(*like.probe)) cell.shape.back() = static_cast<int64_t>(sums.width());
  cell.origin = like.origin;
  const auto n = static_cast<size_t>(cell.n_values());
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
  return std::ranges::none_of(
      probe.axes, [](Axis axis) { return axis == Axis::kKey || axis == Axis::kTop || axis == Axis::kChosen; });
}

bool has_level(const Probe& probe, int32_t level) {
  if (!is_level(level)) return false;
  if (level == 0) return true;
  const bool has_statistic = std::ranges::count(statistics_of(probe), statistic_of(level)) > 0;
  return has_levels(probe) && has_statistic && depth_of(level) >= finest_depth(probe);
}

int finest_depth(const Probe& probe) { return has_blocks(probe) ? kFinestOfBlocks : 1; }

std::span<const Statistic> statistics_of(const Probe& probe) {
  static constexpr std::array kGreatest{Statistic::kMax};
  if (has_blocks(probe)) return kGreatest;
  return kStatistics;
}

int64_t key_blocks_at(int64_t step) { return step / kKvPageTokens + 1; }

int64_t n_blocks_at(const Probe& probe, int64_t step) { return has_blocks(probe) ? key_blocks_at(step) : 1; }

std::vector<LevelSpan> cover(int64_t begin, int64_t end, int depth, int finest) {
  std::vector<LevelSpan> spans;
  while (begin < end) {
    int fitting = depth;
    while (fitting > 0 && (begin % cell_steps(fitting) != 0 || begin + cell_steps(fitting) > end)) --fitting;
    if (fitting < finest) fitting = 0;
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

void CellSums::open(int64_t begin, size_t n_lines, size_t width, bool has_means) {
  begin_ = begin;
  n_lines_ = n_lines;
  width_ = width;
  maxima_.assign(n_lines * width, kLowest);
  sums_.assign(has_means ? maxima_.size() : 0, 0.0);
  counts_.assign(sums_.size(), 0.0f);
}

// Calls fn(to, from, n) for the runs of values that lie side by side both here and there: one where the widths agree,
// else line by line.
template <typename Fn>
void CellSums::each_run(Lines lines, Fn&& fn) const {
  if (lines.stride == width_ && lines.width == width_) return fn(size_t{0}, size_t{0}, n_lines_ * width_);
  const size_t n = std::min(lines.width, width_);
  for (size_t line = 0; line < n_lines_; ++line) fn(line * width_, line * lines.stride, n);
}

template <typename T>
void CellSums::add(std::span<const T> values, Lines lines) {
  const auto is_present = [](T value) { return std::is_floating_point_v<T> ? value == value : value >= T{0}; };
  each_run(lines, [&](size_t to, size_t from, size_t n) {
    const T* const x = values.data() + from;
    float* const most = maxima_.data() + to;
    for (size_t i = 0; i < n; ++i) most[i] = is_present(x[i]) ? std::max(most[i], static_cast<float>(x[i])) : most[i];
    if (sums_.empty()) return;
    for (size_t i = 0; i < n; ++i) {
      sums_[to + i] += is_present(x[i]) ? static_cast<double>(x[i]) : 0.0;
      counts_[to + i] += is_present(x[i]) ? 1.0f : 0.0f;
    }
  });
}

void CellSums::add(const CellSums& finer) {
  each_run({.stride = finer.width_, .width = finer.width_}, [&](size_t to, size_t from, size_t n) {
    for (size_t i = 0; i < n; ++i) maxima_[to + i] = std::max(maxima_[to + i], finer.maxima_[from + i]);
    if (sums_.empty()) return;
    for (size_t i = 0; i < n; ++i) {
      sums_[to + i] += finer.sums_[from + i];
      counts_[to + i] += finer.counts_[from + i];
    }
  });
}

void CellSums::add(std::span<const float> means, std::span<const float> maxima, Lines lines, int64_t n_steps) {
  each_run(lines, [&](size_t to, size_t from, size_t n) {
    for (size_t i = 0; i < n; ++i) {
      if (std::isnan(maxima[from + i])) continue;
      maxima_[to + i] = std::max(maxima_[to + i], maxima[from + i]);
      if (sums_.empty()) continue;
      sums_[to + i] += static_cast<double>(means[from + i]) * static_cast<double>(n_steps);
      counts_[to + i] += static_cast<float>(n_steps);
    }
  });
}

void CellSums::write(Statistic statistic, std::span<float> to) const {
  for (size_t i = 0; i < to.size(); ++i) {
    const bool is_measured = counts_.empty() ? maxima_[i] != kLowest : counts_[i] > 0;
    to[i] = !is_measured                   ? kNan
            : statistic == Statistic::kMax ? maxima_[i]
                                           : static_cast<float>(sums_[i] / static_cast<double>(counts_[i]));
  }
}

int64_t LevelBuilder::n_lines(const Frame& frame) {
  return frame.values_per_step() / (has_blocks(*frame.probe) ? std::max<int64_t>(frame.shape.back(), 1) : 1);
}

void LevelBuilder::start(const Frame& frame, int64_t first) {
  layers_ = frame.layers;
  n_lines_ = n_lines(frame);
  first_step_ = whole_ ? 0 : first;
  next_step_ = first;
  for (CellSums& sums : open_) sums.clear();
}

void LevelBuilder::add(const Frame& frame, const Take& take) {
  if (n_lines_ != n_lines(frame) || layers_ != frame.layers) start(frame, frame.step_begin);
  for (int64_t at = frame.step_begin; at < frame.step_end; ++at) step(frame, at, &take);
}

// The cell of this depth that the step lies in.
CellSums& LevelBuilder::open_cell(int depth, const Probe& probe, int64_t step) {
  CellSums& sums = open_[static_cast<size_t>(depth)];
  if (!sums.empty()) return sums;
  const int64_t begin = step / cell_steps(depth) * cell_steps(depth);
  const bool has_means = statistics_of(probe).size() == kStatistics.size();
  sums.open(begin, static_cast<size_t>(n_lines_), width_at(probe, begin + cell_steps(depth) - 1), has_means);
  return sums;
}

void LevelBuilder::resume(const Frame& means, const Frame& maxima) {
  if (n_lines_ != n_lines(means) || layers_ != means.layers) start(means, 0);
  const int depth = depth_of(means.level);
  for (int64_t at = means.step_begin; at < means.step_end; at += cell_steps(depth)) {
    if (depth == 0) {
      step(means, at, nullptr);
      continue;
    }
    next_step_ = at + cell_steps(depth);
    if (depth == kMaxDepth) continue;
    CellSums& above = open_cell(depth + 1, *means.probe, at);
    above.add(means.step_values<float>(at), maxima.step_values<float>(at), lines_at(maxima, next_step_ - 1),
              cell_steps(depth));
  }
}

void LevelBuilder::step(const Frame& frame, int64_t step, const Take* take) {
  const int finest = finest_depth(*frame.probe);
  for (int depth = finest; depth <= kMaxDepth; ++depth) {
    const CellSums& sums = open_[static_cast<size_t>(depth)];
    if (!sums.empty() && step >= sums.begin() + cell_steps(depth)) close(depth, frame, take);
  }
  CellSums& cell = open_cell(finest, *frame.probe, step);
  const Lines lines = lines_at(frame, step);
  switch (frame.probe->dtype) {
    case DType::kI32:
      cell.add(frame.step_values<int32_t>(step), lines);
      break;
    case DType::kI64:
      cell.add(frame.step_values<int64_t>(step), lines);
      break;
    default:
      cell.add(frame.step_values<float>(step), lines);
  }
  next_step_ = step + 1;
  for (int depth = finest; depth <= kMaxDepth && (step + 1) % cell_steps(depth) == 0; ++depth)
    close(depth, frame, take);
}

void LevelBuilder::close(int depth, const Frame& like, const Take* take) {
  CellSums& sums = open_[static_cast<size_t>(depth)];
  if (sums.empty()) return;
  if (take != nullptr && sums.begin() >= first_step_) {
    for (const Statistic statistic : statistics_of(*like.probe)) (*take)(cell_frame(like, sums, statistic, depth));
  }
  if (depth < kMaxDepth) open_cell(depth + 1, *like.probe, sums.begin()).add(sums);
  sums.clear();
}

}  // namespace orrery
