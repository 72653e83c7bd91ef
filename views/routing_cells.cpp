#include "views/routing_cells.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "probes/model_axes.h"
#include "views/bins.h"
#include "views/frame_rows.h"

namespace orrery {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr size_t kMostCells = size_t{1} << 24;

size_t cell(const RoutingCells& cells, size_t row, int32_t expert) {
  return row * static_cast<size_t>(cells.n_columns) + static_cast<size_t>(expert);
}

// Every expert that the layer has gets 0.
void fill_known(const RoutingCells& cells, size_t row, std::vector<float>& values) {
  std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(cell(cells, row, 0)), cells.n_experts[row], 0.0f);
}

void fill_weights(const FrameHistory& history, int64_t step, RoutingCells& cells) {
  const FrameRow experts = history.row(*find_probe("moe.experts"), step);
  const FrameRow weights = history.row(*find_probe("moe.weights"), step);
  if (!experts || !weights) return;
  cells.chosen_row = experts;
  cells.weights_row = weights;
  for (size_t row = 0; row < cells.layers.size(); ++row) {
    const std::span<const int32_t> ids = experts.layer_i32(cells.layers[row]);
    // A token that was not in the layer's iteration went to none.
    if (std::ranges::all_of(ids, [](int32_t id) { return id < 0; })) continue;
    fill_known(cells, row, cells.weights);
    const std::span<const float> values = weights.layer_f32(cells.layers[row]);
    for (size_t i = 0; i < std::min(ids.size(), values.size()); ++i) {
      if (ids[i] >= 0 && ids[i] < cells.n_experts[row]) cells.weights[cell(cells, row, ids[i])] = values[i];
    }
  }
}

void count_shares(const FrameHistory& history, RoutingCells& cells) {
  std::vector<int32_t> counts(cells.shares.size(), 0);
  for_each_row(history, *find_probe("moe.experts"), cells.counted.begin, cells.counted.end, [&](const FrameRow& found) {
    ++cells.n_tokens;
    if (!cells.chosen_row) cells.chosen_row = found;
    // As a rule a frame has the layers with experts, all and in order.
    const bool as_rows = found.frame->layers == cells.layers;
    const std::span<const int32_t> all = found.i32();
    const size_t stride = as_rows ? all.size() / cells.layers.size() : 0;
    for (size_t row = 0; row < cells.layers.size(); ++row) {
      const std::span<const int32_t> ids =
          as_rows ? all.subspan(row * stride, stride) : found.layer_i32(cells.layers[row]);
      int32_t* const of_row = counts.data() + cell(cells, row, 0);
      for (const int32_t id : ids) {
        if (id >= 0 && id < cells.n_experts[row]) ++of_row[id];
      }
    }
  });
  if (cells.n_tokens == 0) return;
  for (size_t row = 0; row < cells.layers.size(); ++row) fill_known(cells, row, cells.shares);
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] > 0) cells.shares[i] = static_cast<float>(counts[i]) / static_cast<float>(cells.n_tokens);
  }
}

}  // namespace

double RoutingCells::uniform(size_t row) const {
  return n_experts[row] == 0 ? 0 : static_cast<double>(n_chosen[row]) / static_cast<double>(n_experts[row]);
}

RoutingCells routing_cells(const FrameHistory& history, StepRange steps, int64_t step) {
  RoutingCells cells;
  const ModelConfig& config = history.info().config;
  const std::vector<int32_t> layers = moe_layers(config);
  for (const int32_t layer : layers) {
    const RouterConfig& router = config.layers[static_cast<size_t>(layer)].moe.router;
    cells.n_columns = std::max(cells.n_columns, router.n_experts);
    cells.n_experts.push_back(router.n_experts);
    cells.n_chosen.push_back(router.n_chosen);
  }
  const size_t n_cells = layers.size() * static_cast<size_t>(cells.n_columns);
  if (n_cells > kMostCells) return cells;
  cells.layers = layers;
  cells.weights.assign(n_cells, kNan);
  cells.shares.assign(n_cells, kNan);
  cells.counted.end = std::clamp(step + 1, steps.begin, steps.end);
  cells.counted.begin = std::max(steps.begin, cells.counted.end - RoutingCells::kMostSteps);
  if (n_cells == 0) return cells;
  fill_weights(history, step, cells);
  count_shares(history, cells);
  return cells;
}

std::vector<float> greatest_in_bins(const std::vector<float>& values, int64_t n, int64_t per_cell) {
  if (per_cell <= 1 || n == 0) return values;
  std::vector<float> binned;
  for (auto row = values.begin(); row != values.end(); row += static_cast<std::ptrdiff_t>(n)) {
    for (int64_t begin = 0; begin < n; begin += per_cell) {
      float most = kNan;
      for (int64_t i = begin; i < std::min(begin + per_cell, n); ++i) {
        if (!(row[i] <= most) && !std::isnan(row[i])) most = row[i];
      }
      binned.push_back(most);
    }
  }
  return binned;
}

float weight_of(std::span<const int32_t> experts, std::span<const float> weights, int32_t expert) {
  const auto found = static_cast<size_t>(std::ranges::find(experts, expert) - experts.begin());
  if (found == experts.size()) return experts.empty() ? kNan : 0;
  return found < weights.size() ? weights[found] : kNan;
}

std::vector<ChosenExpert> chosen_experts(const FrameHistory& history, int32_t layer, int64_t step) {
  std::vector<ChosenExpert> chosen;
  const FrameRow experts = history.row(*find_probe("moe.experts"), step);
  if (!experts) return chosen;
  const FrameRow weights = history.row(*find_probe("moe.weights"), step);
  const std::span<const float> values = weights ? weights.layer_f32(layer) : std::span<const float>{};
  const std::span<const int32_t> ids = experts.layer_i32(layer);
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0) chosen.push_back({ids[i], i < values.size() ? values[i] : kNan});
  }
  return chosen;
}

}  // namespace orrery
