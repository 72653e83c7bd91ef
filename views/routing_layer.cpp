#include "views/routing_layer.h"

#include <algorithm>
#include <cmath>

#include "views/bins.h"
#include "views/token_lines.h"
#include "views/token_scalars.h"

namespace orrery {
namespace {

constexpr size_t kMostNamed = 8;  // experts of a token that are named in words
constexpr float kLaneHeight = 12;
constexpr float kLeastCell = 1.5f;

}  // namespace

RoutingLayer::RoutingLayer(SceneBuilder& builder, const SceneInput& input, const Selection& now,
                           const RoutingCells& cells)
    : b_(builder),
      input_(input),
      history_(input.history),
      state_(input.state),
      now_(now),
      cells_(cells),
      row_(static_cast<size_t>(std::ranges::find(cells.layers, now.layer) - cells.layers.begin())) {}

void RoutingLayer::shares(const Rect& area) {
  const float lh = b_.label();
  const std::string name = layer_name(history_.info(), now_.layer);
  if (row_ == cells_.layers.size()) {
    b_.label({area.x, area.y + lh / 2}, "Layer " + name + " has no experts: choose another layer.", area.width);
    return;
  }
  b_.label({area.x, area.y + lh / 2},
           name + ", share by expert; line: equal shares, " + format_percent(cells_.uniform(row_)) + " (" +
               std::to_string(cells_.n_chosen[row_]) + " of " + std::to_string(cells_.n_experts[row_]) + ")",
           area.width);
  b_.label({area.x, area.y + lh + 2 + lh / 2}, "this token: " + chosen_text(), area.width, Align::kLeft,
           Paint::of(ColourRole::kForeground));
  const int32_t n_experts = cells_.n_experts[row_];
  const Rect plot = area.inset(b_.width("100.0 %", TextSize::kLabel) + 6, b_.heading_height() + lh + 2, 2, lh + 4);
  if (plot.width < 20 || plot.height < 16 || n_experts == 0) return;
  if (cells_.n_tokens == 0) return b_.hatch(plot);
  const std::span<const float> shares =
      std::span(cells_.shares).subspan(row_ * static_cast<size_t>(cells_.n_columns), static_cast<size_t>(n_experts));
  const double uniform = cells_.uniform(row_);
  const double high = std::max(static_cast<double>(std::ranges::max(shares)), uniform) * 1.05;
  b_.axis({.plot = plot,
           .vertical = true,
           .high = high,
           .ticks = round_ticks(0, high, std::max(2, static_cast<int>(plot.height / 36)), false),
           .format = format_percent});
  SceneAxis experts{.name = "expert", .means = SceneAxis::Means::kExpert, .end = n_experts};
  experts.ticks = b_.axis({.plot = plot,
                           .high = static_cast<double>(n_experts),
                           .ticks = round_ticks(0, static_cast<double>(n_experts - 1),
                                                std::clamp(static_cast<int>(plot.width / 40), 1, n_experts), true),
                           .grid = false,
                           .cells = true});
  bars(shares, plot, high);
  const float y = plot.bottom() - static_cast<float>(uniform / high) * plot.height;
  b_.rule({plot.x, y}, {plot.right(), y}, Paint::of(ColourRole::kForeground));
  Series series{.name = "share of tokens by expert", .probe = "moe.experts", .unit = "", .x_name = "expert"};
  for (size_t i = 0; i < shares.size(); ++i) {
    series.x.push_back(static_cast<double>(i));
    series.y.push_back(static_cast<double>(shares[i]));
  }
  b_.scene.series.push_back(std::move(series));
  HitRegion region{.rect = plot, .rows = 1, .cols = n_experts, .col_axis = b_.scene.add_axis(std::move(experts))};
  region.base.layer = now_.layer;
  b_.scene.regions.push_back(std::move(region));
}

// "experts 17 (0.42), 3 (0.31); margin to the runner-up 0.012; entropy 1.2"
std::string RoutingLayer::chosen_text() const {
  std::string text;
  const std::vector<ChosenExpert> chosen = chosen_experts(history_, now_.layer, now_.step);
  for (size_t i = 0; i < std::min(chosen.size(), kMostNamed); ++i) {
    text += i == 0 ? (chosen.size() == 1 ? "expert " : "experts ") : ", ";
    text += std::to_string(chosen[i].expert) + " (" + format_value(static_cast<double>(chosen[i].weight)) + ")";
  }
  if (chosen.size() > kMostNamed) text += ", …";
  if (chosen.empty()) text = "not recorded";
  for (const auto& [name, probe] :
       {std::pair{"margin to the runner-up ", "moe.margin"}, std::pair{"entropy ", "moe.entropy"}}) {
    const FrameRow row = history_.row(*find_probe(probe), now_.step);
    const std::span<const float> value = row ? row.layer_f32(now_.layer) : std::span<const float>{};
    if (!value.empty() && !std::isnan(value[0])) text += "; " + (name + format_value(static_cast<double>(value[0])));
  }
  return text;
}

// One bar an expert, or the greatest of those that share a pixel; the selected one stands out.
void RoutingLayer::bars(std::span<const float> shares, const Rect& plot, double high) {
  const auto n = static_cast<int64_t>(shares.size());
  const auto n_bars = std::min<int64_t>(n, static_cast<int64_t>(plot.width / 2));
  const float pitch = plot.width / static_cast<float>(n_bars);
  const float gap = pitch >= 5 ? 1.0f : 0.0f;
  for (int64_t i = 0; i < n_bars; ++i) {
    const int64_t begin = i * n / n_bars;
    const int64_t end = std::max((i + 1) * n / n_bars, begin + 1);
    const float most = std::ranges::max(shares.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
    const float height = static_cast<float>(static_cast<double>(most) / high) * plot.height;
    const bool is_chosen = now_.expert >= begin && now_.expert < end;
    b_.box({plot.x + static_cast<float>(i) * pitch, plot.bottom() - height, pitch - gap, height},
           Paint::of(is_chosen ? ColourRole::kAccent : ColourRole::kSeries1));
  }
}

// "tokens that went to expert 5 of 3 MoE: 41 of 212 (19.3 %; equal share 12.5 %)"
std::string RoutingLayer::expert_text() const {
  const float share = cells_.shares[row_ * static_cast<size_t>(cells_.n_columns) + static_cast<size_t>(now_.expert)];
  std::string text = "tokens that went to expert " + std::to_string(now_.expert) + " of " +
                     layer_name(history_.info(), now_.layer) + ": ";
  if (std::isnan(share)) return text + "not recorded";
  const auto n = std::llround(static_cast<double>(share) * static_cast<double>(cells_.n_tokens));
  return text + std::to_string(n) + " of " + std::to_string(cells_.n_tokens) + " (" +
         format_percent(static_cast<double>(share)) + "; equal share " + format_percent(cells_.uniform(row_)) + ")";
}

void RoutingLayer::tokens_of_expert(const Rect& area) {
  if (row_ == cells_.layers.size()) return;
  const float lh = b_.label();
  if (now_.expert < 0) {
    b_.label({area.x, area.y + lh / 2}, "click an expert: the tokens that went to it, and the text coloured by it",
             area.width);
    return;
  }
  const int scale = b_.scene.add_scale({.map = ColourMapId::kTint, .low = 0, .high = 1});
  b_.label({area.x, area.y + lh / 2}, expert_text(), area.width, Align::kLeft, Paint::of(ColourRole::kAccent));
  const Rect plot{area.x, area.y + lh + 4, area.width - 2, kLaneHeight};
  if (plot.bottom() + lh + 4 > area.bottom() || plot.width < 40) return;
  lane(plot, scale);
  TokenTint tint{.title = "weight that each token gives it", .scale = scale};
  tint.series = {.name = "weight of the selected expert", .probe = "moe.weights"};
  tint.values = [this](StepRange seen) {
    return token_values(find_token_scalar("moe.expert"), history_, seen.begin, seen.end, place_of(now_, state_));
  };
  const float top = plot.bottom() + lh + 8;
  TokenLines(b_, input_, now_).draw({area.x, top, area.width, area.bottom() - top}, tint);
}

// The greatest weight of each column of steps.
void RoutingLayer::lane(const Rect& plot, int scale) {
  StepRange steps = visible_range(state_.steps, history_.n_processed());
  steps.begin = std::max(steps.begin, steps.end - RoutingCells::kMostSteps);
  const std::vector<float> weights =
      token_values(find_token_scalar("moe.expert"), history_, steps.begin, steps.end, place_of(now_, state_));
  const int64_t per_cell = bin_size(std::max<int64_t>(steps.size(), 1), static_cast<int>(plot.width / kLeastCell));
  const std::vector<float> values = greatest_in_bins(weights, steps.size(), per_cell);
  const auto n_cols = static_cast<int>(values.size());
  if (n_cols == 0) return;
  b_.box(plot, Paint::none(), Paint::of(ColourRole::kGrid));
  const float cell = plot.width / static_cast<float>(n_cols);
  for (int i = 0; i < n_cols; ++i) {
    if (!std::isnan(values[static_cast<size_t>(i)])) continue;
    int end = i + 1;
    while (end < n_cols && std::isnan(values[static_cast<size_t>(end)])) ++end;
    b_.hatch({plot.x + static_cast<float>(i) * cell, plot.y, static_cast<float>(end - i) * cell, plot.height});
    i = end;
  }
  const int col_axis = b_.scene.add_axis(b_.step_axis(plot, steps, per_cell, steps.begin + n_cols * per_cell));
  const int tile = b_.scene.add(Tile{.name = "tokens of the selected expert",
                                     .rect = plot,
                                     .rows = 1,
                                     .cols = n_cols,
                                     .values = values,
                                     .scale = scale,
                                     .col_axis = col_axis,
                                     .probe = "moe.weights"});
  b_.scene.regions.push_back(
      {.rect = plot, .rows = 1, .cols = n_cols, .col_axis = col_axis, .tile_item = tile, .wheel_zooms_steps = true});
  if (now_.step < steps.begin || now_.step >= steps.end) return;
  const float x = plot.x + (static_cast<float>(now_.step - steps.begin) + 0.5f) * cell / static_cast<float>(per_cell);
  b_.rule({x, plot.y}, {x, plot.bottom()}, Paint::of(ColourRole::kAccent));
}

}  // namespace orrery
