#include "views/conv_cells.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "probes/model_axes.h"
#include "views/bins.h"
#include "views/frame_rows.h"

namespace orrery {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

const Probe& taps_probe() { return *find_probe("conv.taps"); }

size_t n_taps_of(const FrameHistory& history, int32_t layer) {
  const std::vector<LayerConfig>& layers = history.info().config.layers;
  if (layer < 0 || static_cast<size_t>(layer) >= layers.size()) return 0;
  return static_cast<size_t>(std::max(conv_taps_in(layers[static_cast<size_t>(layer)]), 0));
}

// The layer's own taps of a row, without what pads layers that have fewer.
std::span<const float> own_taps(const FrameRow& row, int32_t layer, size_t n_taps) {
  const std::span<const float> values = row.layer_f32(layer);
  return values.first(std::min(values.size(), n_taps));
}

}  // namespace

TapMap tap_map(const FrameHistory& history, int32_t layer, StepRange steps, int max_cols) {
  TapMap map;
  map.steps = steps;
  const int64_t n_steps = std::max<int64_t>(steps.size(), 0);
  map.steps_per_col = bin_size(n_steps, max_cols);
  map.cols = static_cast<int>(ceil_div(n_steps, map.steps_per_col));
  const size_t n_taps = n_taps_of(history, layer);
  map.rows = static_cast<int>(n_taps);
  const auto n_cols = static_cast<size_t>(map.cols);
  map.values.assign(n_taps * n_cols, kNan);
  std::vector<bool> held(n_cols, false);
  for_each_row(history, taps_probe(), steps.begin, steps.end, [&](const FrameRow& row) {
    const auto col = static_cast<size_t>((row.step - steps.begin) / map.steps_per_col);
    const std::span<const float> taps = own_taps(row, layer, n_taps);
    if (taps.empty()) return;
    held[col] = true;
    map.row = row;
    for (size_t tap = 0; tap < taps.size(); ++tap) map.values[tap * n_cols + col] = taps[tap];
  });
  for (const float value : map.values) map.high = value > map.high ? value : map.high;
  for (size_t col = 0; col < n_cols; ++col) {
    if (held[col]) continue;
    const int64_t begin = steps.begin + static_cast<int64_t>(col) * map.steps_per_col;
    if (map.missing.empty() || map.missing.back().end != begin) map.missing.push_back({begin, begin});
    map.missing.back().end = begin + map.steps_per_col;
  }
  return map;
}

TapTable tap_table(const FrameHistory& history, int64_t step) {
  TapTable table;
  const ModelConfig& config = history.info().config;
  table.layers = taps_probe().layers(config);
  table.cols = static_cast<int>(longest(config, conv_taps_in));
  const auto n_cols = static_cast<size_t>(table.cols);
  table.values.assign(table.layers.size() * n_cols, kNan);
  if (step >= 0) table.row = history.row(taps_probe(), step);
  if (!table.row) return table;
  for (size_t i = 0; i < table.layers.size(); ++i) {
    const size_t n_taps = n_taps_of(history, table.layers[i]);
    const std::span<const float> taps = own_taps(table.row, table.layers[i], n_taps);
    for (size_t tap = 0; tap < taps.size(); ++tap) {
      table.values[i * n_cols + n_cols - n_taps + tap] = taps[tap];
      if (taps[tap] > table.high) table.high = taps[tap];
    }
  }
  return table;
}

Taps taps_at(const FrameHistory& history, int32_t layer, int64_t step) {
  Taps taps;
  if (step < 0 || layer < 0) return taps;
  const FrameRow row = history.row(taps_probe(), step);
  if (!row) return taps;
  const std::span<const float> values = own_taps(row, layer, n_taps_of(history, layer));
  taps.values.assign(values.begin(), values.end());
  if (!taps.values.empty()) taps.row = row;
  return taps;
}

std::string tap_name(int back) { return back == 0 ? "t" : "t-" + std::to_string(back); }

}  // namespace orrery
