#include "views/loop_cells.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "views/bins.h"
#include "views/frame_rows.h"
#include "views/what_if.h"

namespace orrery {
namespace {

std::vector<float> values_of(const FrameRow& row) {
  if (row.frame->probe->dtype == DType::kI32) return {row.i32().begin(), row.i32().end()};
  return {row.f32().begin(), row.f32().end()};
}

// Calls fn(column, row) with the last recorded step of every column that has one.
template <typename Fn>
void for_each_last(const FrameHistory& history, const Probe& probe, const LoopMap& map, Fn&& fn) {
  for (const int64_t step : last_steps(history, probe, map.steps, map.steps_per_col)) {
    if (step >= 0) fn(static_cast<size_t>((step - map.steps.begin) / map.steps_per_col), history.row(probe, step));
  }
}

// Columns that hold nothing, as maximal ranges of steps.
std::vector<StepRange> missing_columns(const std::vector<std::vector<float>>& columns, const LoopMap& map) {
  std::vector<StepRange> missing;
  for (size_t col = 0; col < columns.size(); ++col) {
    if (!columns[col].empty()) continue;
    const int64_t begin = map.steps.begin + static_cast<int64_t>(col) * map.steps_per_col;
    if (missing.empty() || missing.back().end != begin) missing.push_back({begin, begin});
    missing.back().end = begin + map.steps_per_col;
  }
  return missing;
}

}  // namespace

LoopMap loop_map(const FrameHistory& history, const Probe& probe, StepRange steps, int max_cols) {
  LoopMap map;
  map.steps = steps;
  const int64_t n_steps = std::max<int64_t>(steps.size(), 0);
  map.steps_per_col = bin_size(n_steps, max_cols);
  map.cols = static_cast<int>(ceil_div(n_steps, map.steps_per_col));
  map.rows = probe.has_axis(Axis::kIteration) ? history.info().config.loop.n_iterations : 1;
  std::vector<std::vector<float>> columns(static_cast<size_t>(map.cols));
  for_each_last(history, probe, map, [&](size_t col, const FrameRow& row) {
    columns[col] = values_of(row);
    map.row = row;
  });
  map.values.assign(static_cast<size_t>(map.rows) * columns.size(), std::numeric_limits<float>::quiet_NaN());
  for (size_t col = 0; col < columns.size(); ++col) {
    const size_t n = std::min(columns[col].size(), static_cast<size_t>(map.rows));
    for (size_t i = 0; i < n; ++i) {
      map.values[i * columns.size() + col] = columns[col][i];
      if (columns[col][i] > map.high) map.high = columns[col][i];
    }
  }
  map.missing = missing_columns(columns, map);
  return map;
}

LoopMap what_if_map(const FrameHistory& history, const WhatIf& what, StepRange steps, int max_cols) {
  LoopMap map;
  map.steps = steps;
  map.rows = 1;
  map.steps_per_col = bin_size(std::max<int64_t>(steps.size(), 0), max_cols);
  map.cols = static_cast<int>(ceil_div(std::max<int64_t>(steps.size(), 0), map.steps_per_col));
  std::vector<std::vector<float>> columns(static_cast<size_t>(map.cols));
  const LoopConfig& loop = history.info().config.loop;
  for_each_last(history, *find_probe(what_if_probe(what.rule)), map, [&](size_t col, const FrameRow& row) {
    const int32_t depth = depth_if(what, loop, row.f32());
    if (depth > 0) columns[col].push_back(static_cast<float>(depth));
    map.row = row;
  });
  for (const std::vector<float>& column : columns) {
    map.values.push_back(column.empty() ? std::numeric_limits<float>::quiet_NaN() : column.front());
    if (!column.empty()) map.high = std::max(map.high, column.front());
  }
  map.missing = missing_columns(columns, map);
  return map;
}

LoopLens loop_lens(const FrameHistory& history, const Selection& now) {
  LoopLens lens;
  const ModelConfig& config = history.info().config;
  if (!config.loop.any() || now.step < 0) return lens;
  const bool in_loop = now.layer >= 0 && visit_in(config, now.layer, 0) != visit_in(config, now.layer, 1);
  const int32_t layer = in_loop ? now.layer : config.loop.end - 1;
  const FrameRow row = history.row(*find_probe("lens.top"), now.step);
  for (int32_t i = 0; i < config.loop.n_iterations; ++i) {
    lens.layers.push_back(visit_in(config, layer, i));
    lens.tops.emplace_back();
    if (!row) continue;
    const std::span<const float> values = row.layer_f32(lens.layers.back());
    for (size_t k = 0; k + 1 < values.size(); k += 2) {
      if (values[k] >= 0) lens.tops.back().push_back({static_cast<int32_t>(values[k]), values[k + 1]});
    }
    lens.row = row;
  }
  return lens;
}

LoopTrace loop_trace(const FrameHistory& history, const Probe& probe, int64_t step) {
  LoopTrace trace;
  if (step < 0) return trace;
  trace.row = history.row(probe, step);
  if (trace.row) trace.values = values_of(trace.row);
  return trace;
}

}  // namespace orrery
