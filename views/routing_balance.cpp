#include "views/routing_balance.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "probes/model_axes.h"
#include "views/bins.h"
#include "views/frame_rows.h"

namespace orrery {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kMostPairs = int64_t{1} << 22;

LayerBalance balance(std::span<const float> shares, double uniform) {
  LayerBalance balance;
  double sum = 0;
  int64_t n_idle = 0;
  for (const float share : shares) {
    sum += static_cast<double>(share);
    n_idle += share == 0;
    balance.greatest_load = std::max(balance.greatest_load, static_cast<double>(share) / uniform);
  }
  double entropy = 0;
  for (const float share : shares) {
    const double p = static_cast<double>(share) / sum;
    if (p > 0) entropy -= p * std::log(p);
  }
  const auto n = static_cast<double>(shares.size());
  balance.idle_share = static_cast<double>(n_idle) / n;
  balance.evenness = std::exp(entropy) / n;
  return balance;
}

}  // namespace

std::vector<LayerBalance> balance_of(const RoutingCells& cells) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  std::vector<LayerBalance> rows(cells.layers.size(), {kNone, kNone, kNone});
  if (cells.n_tokens == 0) return rows;
  for (size_t row = 0; row < rows.size(); ++row) {
    const std::span<const float> shares =
        std::span(cells.shares)
            .subspan(row * static_cast<size_t>(cells.n_columns), static_cast<size_t>(cells.n_experts[row]));
    const bool any = std::ranges::any_of(shares, [](float share) { return share > 0; });
    if (any) rows[row] = balance(shares, cells.uniform(row));
  }
  return rows;
}

float change_between(std::span<const int32_t> before, std::span<const int32_t> now) {
  int n = 0, n_new = 0, n_before = 0;
  for (const int32_t id : before) n_before += id >= 0;
  for (const int32_t id : now) {
    if (id < 0) continue;
    ++n;
    n_new += std::ranges::find(before, id) == before.end();
  }
  return n == 0 || n_before == 0 ? kNan : static_cast<float>(n_new) / static_cast<float>(n);
}

RoutingChange routing_change(const FrameHistory& history, StepRange steps, int max_cols) {
  RoutingChange change;
  change.layers = moe_layers(history.info().config);
  change.steps = steps;
  const int64_t n_steps = std::max<int64_t>(steps.size(), 0);
  change.steps_per_col = bin_size(n_steps, max_cols);
  change.cols = static_cast<int>(ceil_div(n_steps, change.steps_per_col));
  const Probe& probe = *find_probe("moe.experts");
  const std::vector<int64_t> columns = last_steps(history, probe, steps, change.steps_per_col);
  change.values.assign(change.layers.size() * columns.size(), kNan);
  for (size_t col = 0; col < columns.size(); ++col) {
    const FrameRow now = columns[col] >= 0 ? history.row(probe, columns[col]) : FrameRow{};
    const FrameRow before = now && now.step > 0 ? history.row(probe, now.step - 1) : FrameRow{};
    if (now && before) {
      change.row = now;
      for (size_t row = 0; row < change.layers.size(); ++row) {
        change.values[row * columns.size() + col] =
            change_between(before.layer_i32(change.layers[row]), now.layer_i32(change.layers[row]));
      }
      continue;
    }
    if (now && now.step == 0) continue;  // there is none before the first
    const int64_t begin = steps.begin + static_cast<int64_t>(col) * change.steps_per_col;
    if (change.missing.empty() || change.missing.back().end != begin) change.missing.push_back({begin, begin});
    change.missing.back().end = begin + change.steps_per_col;
  }
  return change;
}

CoActivation co_activation(const FrameHistory& history, int32_t layer, StepRange counted) {
  CoActivation pairs;
  const LayerConfig& config = history.info().config.layers[static_cast<size_t>(layer)];
  const int64_t n = config.feed_forward == FeedForwardKind::kMoe ? config.moe.router.n_experts : 0;
  if (n == 0 || n * n > kMostPairs) return pairs;
  pairs.n_experts = static_cast<int32_t>(n);
  std::vector<int32_t> counts(static_cast<size_t>(n * n), 0);
  for_each_row(history, *find_probe("moe.experts"), counted.begin, counted.end, [&](const FrameRow& row) {
    ++pairs.n_tokens;
    const std::span<const int32_t> ids = row.layer_i32(layer);
    for (const int32_t a : ids) {
      for (const int32_t b : ids) {
        if (a >= 0 && b >= 0 && a < n && b < n && a != b) ++counts[static_cast<size_t>(a * n + b)];
      }
    }
  });
  pairs.shares.assign(counts.size(), kNan);
  if (pairs.n_tokens == 0) return pairs;
  for (int64_t a = 0; a < n; ++a) {
    for (int64_t b = 0; b < n; ++b) {
      const auto i = static_cast<size_t>(a * n + b);
      if (a != b) pairs.shares[i] = static_cast<float>(counts[i]) / static_cast<float>(pairs.n_tokens);
    }
  }
  return pairs;
}

std::vector<float> greatest_in_squares(const std::vector<float>& values, int64_t n, int64_t per_cell) {
  if (per_cell <= 1) return values;
  const int64_t cells = ceil_div(n, per_cell);
  std::vector<float> binned(static_cast<size_t>(cells * cells), kNan);
  for (int64_t i = 0; i < n * n; ++i) {
    const float value = values[static_cast<size_t>(i)];
    float& most = binned[static_cast<size_t>(i / n / per_cell * cells + i % n / per_cell)];
    if (!std::isnan(value) && !(value <= most)) most = value;
  }
  return binned;
}

}  // namespace orrery
