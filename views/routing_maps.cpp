#include "views/routing_maps.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "views/bins.h"

namespace orrery {
namespace {

constexpr float kLeastTwoMaps = 560;  // of the area's width, for the two maps to stand side by side
constexpr float kLeastStacked = 200;  // of its height, for them to stand one below the other
constexpr float kLeastBeside = 300;   // of a low area's width, for them to stand side by side with one gutter
constexpr float kLeastBalance = 380;  // of a map's width, for its layers' balance to stand beside it
constexpr float kMostPitch = 30;      // of a layer's row
constexpr float kLeastCell = 2;
constexpr float kGap = 18;
constexpr const char* kNowHeading = "layers × experts, this token: weight of those it goes to";
constexpr std::array<const char*, 3> kBalanceNames{"most", "idle", "e^H/N"};

}  // namespace

RoutingMaps::RoutingMaps(SceneBuilder& builder, const SceneInput& input, const Selection& now,
                         const RoutingCells& cells)
    : b_(builder),
      history_(input.history),
      state_(input.state),
      now_(now),
      cells_(cells),
      balance_(balance_of(cells)),
      row_(static_cast<size_t>(std::ranges::find(cells.layers, now.layer) - cells.layers.begin())) {}

float RoutingMaps::experts_height(float width) const {
  const float each = b_.heading_height() + foot(true) + kMostPitch * static_cast<float>(cells_.layers.size());
  return width >= kLeastTwoMaps ? each : 2 * each + 8;
}

void RoutingMaps::experts(const Rect& area) {
  const float gutter = gutter_width(area.width);
  if (area.width >= kLeastTwoMaps) {
    const float width = (area.width - kGap) / 2;
    now_map({area.x, area.y, width, area.height}, gutter, kNowHeading);
    counted_map({area.x + width + kGap, area.y, width, area.height}, gutter, counted_text());
  } else if (area.height >= kLeastStacked) {
    const float height = (area.height - 8) / 2;
    now_map({area.x, area.y, area.width, height}, gutter, kNowHeading);
    counted_map({area.x, area.y + height + 8, area.width, height}, gutter, counted_text());
  } else if (area.width >= kLeastBeside) {
    // Side by side, the layers named once.
    const float width = (area.width - gutter - 12) / 2;
    now_map({area.x, area.y, gutter + width, area.height}, gutter, "experts of this token");
    counted_map({area.x + gutter + width + 12, area.y, width, area.height}, 0,
                "of " + std::to_string(cells_.n_tokens) + "; " + uniform_text());
  } else {
    now_map(area, gutter, kNowHeading);
  }
  for (size_t column = 0; column < kBalanceNames.size(); ++column) {
    static constexpr std::array<const char*, 3> kSeries{"greatest load / ideal load by layer",
                                                        "idle share of experts by layer", "exp(entropy) / N by layer"};
    Series series{.name = kSeries[column], .probe = "moe.experts", .unit = "", .x_name = "layer"};
    for (size_t row = 0; row < balance_.size(); ++row) {
      const LayerBalance& one = balance_[row];
      series.x.push_back(cells_.layers[row]);
      series.y.push_back(std::array{one.greatest_load, one.idle_share, one.evenness}[column]);
    }
    b_.scene.series.push_back(std::move(series));
  }
}

void RoutingMaps::now_map(const Rect& area, float gutter, const std::string& text) {
  map(area, gutter, cells_.weights,
      {.text = text, .probe = "moe.weights", .tile = "this token", .scale_name = "weight"});
}

void RoutingMaps::counted_map(const Rect& area, float gutter, const std::string& text) {
  const bool has_balance = gutter > 0 && area.width >= kLeastBalance + balance_width();
  const Rect left = area.inset(0, 0, has_balance ? balance_width() + 6 : 0, 0);
  const Rect plot =
      map(left, gutter, cells_.shares,
          {.text = text, .probe = "moe.experts", .tile = "cumulative", .scale_name = uniform_text(), .is_share = true});
  if (has_balance && !plot.empty()) balance(area, plot);
}

std::string RoutingMaps::counted_text() const {
  return "layers × experts, steps " + std::to_string(cells_.counted.begin) + "–" +
         std::to_string(cells_.counted.end - 1) + ": share of " + std::to_string(cells_.n_tokens) +
         (cells_.n_tokens == 1 ? " token" : " tokens") + " sent to each expert";
}

std::string RoutingMaps::uniform_text() const {
  double least = cells_.uniform(0);
  double most = least;
  for (size_t row = 1; row < cells_.layers.size(); ++row) {
    least = std::min(least, cells_.uniform(row));
    most = std::max(most, cells_.uniform(row));
  }
  return "equal shares: " + format_percent(least) + (most > least ? " to " + format_percent(most) : "");
}

float RoutingMaps::gutter_width(float width) const {
  return std::min(b_.names_width(history_.info(), cells_.layers), width * 0.35f) + 8;
}

// Returns where the cells are; empty where they do not fit.
Rect RoutingMaps::map(const Rect& area, float gutter, const std::vector<float>& values, const Drawn& drawn) {
  const float lh = b_.label();
  const bool has_bar = area.height >= 110;
  Rect plot = area.inset(gutter, b_.heading_height(), 2, foot(has_bar));
  if (plot.width < 20 || plot.height < 10) return {};
  plot.height = std::min(plot.height, kMostPitch * static_cast<float>(cells_.layers.size()));
  b_.label({gutter > 0 ? area.x : plot.x, area.y + lh / 2}, drawn.text, area.width);
  float high = 0;
  for (const float value : values) high = value > high ? value : high;
  const int scale = b_.scene.add_scale({.low = 0, .high = high > 0 ? high : 1, .transfer = Transfer::kSquareRoot});
  b_.map_ground(plot, history_.info().config, values);
  const bool any = std::ranges::any_of(values, [](float value) { return !std::isnan(value); });
  if (!any) b_.hatch(plot);
  tile(plot, gutter, values, drawn, scale);
  if (has_bar) {
    b_.scale_bar({plot.x, plot.bottom() + lh + 7, plot.width, 0}, scale, drawn.scale_name,
                 drawn.is_share ? format_percent : format_value);
  }
  return plot;
}

SceneAxis RoutingMaps::layer_axis(const Rect& plot, float gutter) {
  SceneAxis rows = layer_rows(history_.info(), cells_.layers);
  b_.row_names(rows, plot, gutter - 6, now_.layer);
  return rows;
}

void RoutingMaps::tile(const Rect& plot, float gutter, const std::vector<float>& values, const Drawn& drawn,
                       int scale) {
  SceneAxis rows = layer_axis(plot, gutter);
  const int64_t per_cell = bin_size(cells_.n_columns, static_cast<int>(plot.width / kLeastCell));
  const auto n_cols = static_cast<int>(ceil_div(cells_.n_columns, per_cell));
  if (per_cell > 1) b_.note("Each cell shows the greatest of " + std::to_string(per_cell) + " experts.");
  SceneAxis cols{.name = "expert", .means = SceneAxis::Means::kExpert, .end = cells_.n_columns, .per_cell = per_cell};
  cols.ticks = b_.axis({.plot = plot,
                        .high = static_cast<double>(n_cols * per_cell),
                        .ticks = round_ticks(0, static_cast<double>(cells_.n_columns - 1),
                                             std::clamp(static_cast<int>(plot.width / 40), 1, cells_.n_columns), true),
                        .grid = false,
                        .cells = true});
  const int row_axis = b_.scene.add_axis(std::move(rows));
  const int col_axis = b_.scene.add_axis(std::move(cols));
  const int tile = b_.scene.add(Tile{.name = drawn.tile,
                                     .rect = plot,
                                     .rows = static_cast<int>(cells_.layers.size()),
                                     .cols = n_cols,
                                     .values = greatest_in_bins(values, cells_.n_columns, per_cell),
                                     .scale = scale,
                                     .row_axis = row_axis,
                                     .col_axis = col_axis,
                                     .probe = drawn.probe});
  b_.scene.regions.push_back({.rect = plot,
                              .rows = static_cast<int>(cells_.layers.size()),
                              .cols = n_cols,
                              .row_axis = row_axis,
                              .col_axis = col_axis,
                              .tile_item = tile});
  mark_layer(plot);
  if (row_ < cells_.layers.size()) mark_expert(plot, n_cols * per_cell);
}

void RoutingMaps::mark_layer(const Rect& plot) {
  if (row_ >= cells_.layers.size()) return;
  const float pitch = plot.height / static_cast<float>(cells_.layers.size());
  b_.box({plot.x, plot.y + static_cast<float>(row_) * pitch, plot.width, pitch}, Paint::none(),
         Paint::of(ColourRole::kAccent));
}

void RoutingMaps::mark_expert(const Rect& plot, int64_t n_columns) {
  if (now_.expert < 0) return;
  const float pitch = plot.height / static_cast<float>(cells_.layers.size());
  const float cell = plot.width / static_cast<float>(n_columns);
  b_.box({plot.x + static_cast<float>(now_.expert) * cell, plot.y + static_cast<float>(row_) * pitch,
          std::max(cell, 3.0f), pitch},
         Paint::none(), Paint::of(ColourRole::kAccent), 2);
}

// --- how evenly each layer shares its tokens out: three numbers beside its row ---
float RoutingMaps::balance_width() const { return 3 * (b_.width("100.0 %", TextSize::kLabel) + 8); }

void RoutingMaps::balance(const Rect& area, const Rect& plot) {
  const float width = balance_width() / 3;
  const float lh = b_.label();
  const float left = area.right() - balance_width();
  const float pitch = plot.height / static_cast<float>(cells_.layers.size());
  const auto every = static_cast<size_t>(std::max(1.0f, std::ceil(lh / pitch)));
  for (size_t column = 0; column < kBalanceNames.size(); ++column) {
    const float right = left + static_cast<float>(column + 1) * width;
    const float foot_y = plot.bottom() + 2 + lh / 2;
    b_.label({right, foot_y}, kBalanceNames[column], width - 4, Align::kRight);
    for (size_t row = 0; row < balance_.size(); row += every) {
      const LayerBalance& one = balance_[row];
      const std::string text = column == 0
                                   ? (std::isnan(one.greatest_load) ? "–" : format_value(one.greatest_load) + "×")
                               : column == 1 ? (std::isnan(one.idle_share) ? "–" : format_percent(one.idle_share))
                                             : (std::isnan(one.evenness) ? "–" : format_value(one.evenness));
      b_.label({right, plot.y + (static_cast<float>(row) + 0.5f) * pitch}, text, width - 4, Align::kRight,
               Paint::of(row == row_ ? ColourRole::kForeground : ColourRole::kMuted), TextRole::kValue);
    }
  }
  b_.note("most: greatest load / ideal load; idle: share of experts without a token; e^H/N: exp(entropy) / experts.");
}

// --- layers × tokens: what changes ---
void RoutingMaps::change(const Rect& area) {
  const float lh = b_.label();
  const float gutter = gutter_width(area.width);
  const Rect plot = area.inset(gutter, b_.scale_bar_height() + 4, 2, lh + 4);
  if (plot.width < 40 || plot.height < 14) return;
  const RoutingChange change = routing_change(history_, visible_range(state_.steps, history_.n_processed()),
                                              static_cast<int>(plot.width / kLeastCell));
  const int scale = b_.scene.add_scale({.low = 0, .high = 1});
  const float bar = std::min(plot.width * 0.35f, 150.0f);
  b_.label({area.x, area.y + lh / 2}, "layers × tokens: share of the experts that the token before did not go to",
           area.width - bar - 8, Align::kLeft, Paint::of(ColourRole::kForeground));
  b_.scale_bar({plot.right() - bar, area.y + 1, bar, 0}, scale, "", format_percent);
  b_.map_ground(plot, history_.info().config, change.values);
  const int64_t end = change.steps.begin + static_cast<int64_t>(change.cols) * change.steps_per_col;
  const float per_step = plot.width / static_cast<float>(std::max<int64_t>(end - change.steps.begin, 1));
  for (const StepRange& gap : change.missing) {
    b_.hatch({plot.x + static_cast<float>(gap.begin - change.steps.begin) * per_step, plot.y,
              static_cast<float>(gap.size()) * per_step, plot.height});
  }
  if (change.cols == 0) return;
  SceneAxis rows = layer_axis(plot, gutter);
  SceneAxis cols = b_.step_axis(plot, change.steps, change.steps_per_col, end);
  const int row_axis = b_.scene.add_axis(std::move(rows)), col_axis = b_.scene.add_axis(std::move(cols));
  const int tile = b_.scene.add(Tile{.name = "change",
                                     .rect = plot,
                                     .rows = static_cast<int>(change.layers.size()),
                                     .cols = change.cols,
                                     .values = change.values,
                                     .scale = scale,
                                     .row_axis = row_axis,
                                     .col_axis = col_axis,
                                     .probe = "moe.experts"});
  b_.scene.regions.push_back({.rect = plot,
                              .rows = static_cast<int>(change.layers.size()),
                              .cols = change.cols,
                              .row_axis = row_axis,
                              .col_axis = col_axis,
                              .tile_item = tile,
                              .wheel_zooms_steps = true});
  mark_layer(plot);
  for (const auto& [step, paint] : {std::pair{state_.hovered.step, Paint::of(ColourRole::kHover, 0.7f)},
                                    std::pair{now_.step, Paint::of(ColourRole::kAccent)}}) {
    if (step < change.steps.begin || step >= change.steps.end) continue;
    const float x = plot.x + (static_cast<float>(step - change.steps.begin) + 0.5f) * per_step;
    b_.rule({x, plot.y}, {x, plot.bottom()}, paint);
  }
  if (change.steps_per_col > 1) {
    b_.note("Each column shows the last of its " + std::to_string(change.steps_per_col) + " steps.");
  }
  if (!change.missing.empty()) b_.note("Hatched: not recorded, or not held.");
}

// --- experts × experts of the selected layer ---
void RoutingMaps::together(const Rect& area) {
  if (row_ >= cells_.layers.size()) return;
  const float lh = b_.label();
  const CoActivation pairs = co_activation(history_, now_.layer, cells_.counted);
  const float gutter = b_.width("000", TextSize::kLabel) + 8;
  Rect plot = area.inset(gutter, b_.scale_bar_height() + 4, 2, lh + 4);
  if (plot.width < 40 || plot.height < 40 || pairs.n_experts < 2) return;
  plot.width = plot.height = std::min(plot.width, plot.height);
  float most = 0;
  for (const float share : pairs.shares) most = share > most ? share : most;
  const int scale = b_.scene.add_scale({.low = 0, .high = most > 0 ? most : 1, .transfer = Transfer::kSquareRoot});
  const float bar = std::min(area.width * 0.35f, 120.0f);
  b_.label({area.x, area.y + lh / 2}, "experts chosen together, share of tokens", area.width - bar - 8, Align::kLeft,
           Paint::of(ColourRole::kForeground));
  b_.scale_bar({area.right() - bar, area.y + 1, bar, 0}, scale, "", format_percent);
  b_.box(plot, Paint::none(), Paint::of(ColourRole::kGrid));
  if (pairs.n_tokens == 0) return b_.hatch(plot);
  const int64_t per_cell = bin_size(pairs.n_experts, static_cast<int>(plot.width / kLeastCell));
  const auto n = static_cast<int>(ceil_div(pairs.n_experts, per_cell));
  SceneAxis axis{.name = "expert", .means = SceneAxis::Means::kExpert, .end = pairs.n_experts, .per_cell = per_cell};
  const auto high = static_cast<double>(n * per_cell);
  const std::vector<double> ticks =
      round_ticks(0, pairs.n_experts - 1, std::clamp(static_cast<int>(plot.width / 40), 1, pairs.n_experts), true);
  SceneAxis other{.name = "with expert", .end = pairs.n_experts, .per_cell = per_cell};
  other.ticks = b_.axis({.plot = plot, .high = high, .ticks = ticks, .grid = false, .cells = true});
  axis.ticks = b_.axis(
      {.plot = plot, .vertical = true, .downwards = true, .high = high, .ticks = ticks, .grid = false, .cells = true});
  const int row_axis = b_.scene.add_axis(std::move(axis)), col_axis = b_.scene.add_axis(std::move(other));
  const int tile = b_.scene.add(Tile{.name = "chosen together",
                                     .rect = plot,
                                     .rows = n,
                                     .cols = n,
                                     .values = greatest_in_squares(pairs.shares, pairs.n_experts, per_cell),
                                     .scale = scale,
                                     .row_axis = row_axis,
                                     .col_axis = col_axis,
                                     .probe = "moe.experts"});
  HitRegion region{.rect = plot, .rows = n, .cols = n, .row_axis = row_axis, .col_axis = col_axis, .tile_item = tile};
  region.base.layer = now_.layer;
  b_.scene.regions.push_back(std::move(region));
}

}  // namespace orrery
