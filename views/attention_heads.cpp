#include "views/attention_heads.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace orrery {

AttentionHeads::AttentionHeads(SceneBuilder& builder, const SceneInput& input, const Selection& now)
    : b_(builder),
      history_(input.history),
      state_(input.state),
      now_(now),
      scalar_(find_head_scalar(input.state.head_scalar)),
      cells_(head_cells(input.history, scalar_, now.step)) {}

float AttentionHeads::draw(const Rect& area) {
  if (cells_.layers.empty()) return 0;
  const float lh = b_.label();
  const float most_width = std::clamp(area.width * 0.3f + 20, 150.0f, 520.0f);
  const float gutter = std::min(b_.names_width(history_.info(), cells_.layers), most_width * 0.5f) + 6;
  const float foot = lh + 6 + b_.scale_bar_height();
  const float widest_cell = b_.width("00.00", TextSize::kLabel) + 8;
  Rect plot{area.x + gutter, area.y + b_.heading_height(), 0, area.height - b_.heading_height() - foot};
  plot.width = std::min(most_width - gutter, widest_cell * static_cast<float>(cells_.n_heads));
  plot.height = std::min(plot.height, 64.0f * static_cast<float>(cells_.layers.size()));
  if (plot.empty() || plot.height < 24) return 0;
  b_.label(
      {area.x, area.y + lh / 2},
      "layers × heads: " + std::string(scalar_.title) + (scalar_.unit.empty() ? "" : ", " + std::string(scalar_.unit)),
      gutter + plot.width);

  const int scale = b_.scene.add_scale({.low = 0, .high = std::max(cells_.high, 1e-6f)});
  SceneAxis rows = layer_rows(history_.info(), cells_.layers);
  SceneAxis cols{.name = "head", .means = SceneAxis::Means::kHead, .end = cells_.n_heads};
  if (cells_.row && history_.info().config.loop.any()) {
    b_.map_ground(plot, history_.info().config, cells_.values);
  } else {
    b_.hatch(plot);
  }
  const int tile = b_.scene.add(Tile{.name = "heads",
                                     .rect = plot,
                                     .rows = static_cast<int>(cells_.layers.size()),
                                     .cols = cells_.n_heads,
                                     .values = cells_.values,
                                     .scale = scale,
                                     .probe = std::string(scalar_.name),
                                     .unit = std::string(scalar_.unit)});
  b_.row_names(rows, plot, gutter - 6, now_.layer);
  cols.ticks = b_.axis({.plot = plot,
                        .high = static_cast<double>(cells_.n_heads),
                        .ticks = round_ticks(0, cells_.n_heads - 1, std::min(cells_.n_heads, 10), true),
                        .grid = false,
                        .cells = true});
  const int row_axis = b_.scene.add_axis(std::move(rows));
  const int col_axis = b_.scene.add_axis(std::move(cols));
  std::get<Tile>(b_.scene.items[static_cast<size_t>(tile)]).row_axis = row_axis;
  std::get<Tile>(b_.scene.items[static_cast<size_t>(tile)]).col_axis = col_axis;
  numbers(plot, scale);
  for (const PinnedHead& pinned : state_.pins) mark_pin(plot, pinned);
  mark_head(plot, state_.hovered.layer, state_.hovered.head, Paint::of(ColourRole::kHover));
  mark_head(plot, now_.layer, now_.head, Paint::of(ColourRole::kAccent));
  b_.scale_bar({plot.x, plot.bottom() + lh + 8, plot.width, 0}, scale, scalar_.unit, format_value);
  b_.scene.regions.push_back({.rect = plot,
                              .rows = static_cast<int>(cells_.layers.size()),
                              .cols = cells_.n_heads,
                              .row_axis = row_axis,
                              .col_axis = col_axis,
                              .tile_item = tile});
  if (!cells_.row) b_.note(std::string(scalar_.name) + " is not recorded at this step.");
  return gutter + plot.width;
}

// The value with as many decimals as fit, never a cut one; empty where none does.
std::string AttentionHeads::number_within(float width, double value) const {
  std::string number = format_value(value);
  for (int decimals = 2; decimals >= 0 && b_.width(number, TextSize::kLabel) > width; --decimals) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.*f", decimals, value);
    number = text;
  }
  return b_.width(number, TextSize::kLabel) > width ? std::string() : number;
}

void AttentionHeads::numbers(const Rect& plot, int scale) {
  const float w = plot.width / static_cast<float>(cells_.n_heads);
  const float h = plot.height / static_cast<float>(cells_.layers.size());
  if (h < b_.label() || w < b_.width("0.00", TextSize::kLabel) + 4) return;
  for (size_t i = 0; i < cells_.values.size(); ++i) {
    const float value = cells_.values[i];
    if (std::isnan(value)) continue;
    const std::string number = number_within(w - 2, static_cast<double>(value));
    if (number.empty()) continue;
    const auto row = static_cast<float>(i / static_cast<size_t>(cells_.n_heads));
    const auto col = static_cast<float>(i % static_cast<size_t>(cells_.n_heads));
    b_.cell_number({plot.x + (col + 0.5f) * w, plot.y + (row + 0.5f) * h}, number, scale, value);
  }
}

std::optional<Rect> AttentionHeads::cell(const Rect& plot, int32_t layer, int32_t head) const {
  const auto found = std::ranges::find(cells_.layers, layer);
  if (found == cells_.layers.end() || head < 0 || head >= cells_.n_heads) return std::nullopt;
  const float w = plot.width / static_cast<float>(cells_.n_heads);
  const float h = plot.height / static_cast<float>(cells_.layers.size());
  const auto row = static_cast<float>(found - cells_.layers.begin());
  return Rect{plot.x + static_cast<float>(head) * w, plot.y + row * h, w, h};
}

void AttentionHeads::mark_head(const Rect& plot, int32_t layer, int32_t head, Paint paint) {
  if (const auto at = cell(plot, layer, head)) b_.box(*at, Paint::none(), paint, 2);
}

// A square in the corner of a pinned head's cell.
void AttentionHeads::mark_pin(const Rect& plot, const PinnedHead& pinned) {
  const auto at = cell(plot, pinned.layer, pinned.head);
  if (!at) return;
  const float side = std::clamp(std::min(at->width, at->height) * 0.4f, 3.0f, 7.0f);
  b_.box({at->right() - side - 1, at->y + 1, side, side}, Paint::of(ColourRole::kAccent),
         Paint::of(ColourRole::kGround));
}

}  // namespace orrery
