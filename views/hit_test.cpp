// The pointer over a scene: which region it is in, and what a click, hovering and the wheel mean there.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "views/scene.h"
#include "views/what_if.h"

namespace orrery {
namespace {

constexpr float kZoomPerNotch = 0.8f;
constexpr int64_t kFewestZoomed = 8;

// A place along an axis: the cell, and the value under the pointer, which is finer than the cell where cells are bins.
struct AxisPlace {
  const SceneAxis* axis = nullptr;
  int64_t cell = 0;
  int64_t value = 0;
};

AxisPlace place_on(const Scene& scene, int axis_index, int n_cells, float fraction) {
  if (axis_index < 0 || n_cells <= 0) return {};
  const SceneAxis& axis = scene.axes[static_cast<size_t>(axis_index)];
  const float at = std::clamp(fraction, 0.0f, 0.999999f) * static_cast<float>(n_cells);
  AxisPlace place{.axis = &axis, .cell = static_cast<int64_t>(at)};
  place.value = axis.value_of(place.cell);
  if (axis.ids.empty() && axis.per_cell > 1) {
    place.value = axis.begin + static_cast<int64_t>(at * static_cast<float>(axis.per_cell));
  }
  if (axis.ids.empty()) place.value = std::min(place.value, std::max(axis.end - 1, axis.begin));
  return place;
}

void put(Selection& selection, const AxisPlace& place) {
  if (place.axis == nullptr) return;
  switch (place.axis->means) {
    case SceneAxis::Means::kNothing:
      break;
    case SceneAxis::Means::kStep:
      selection.step = place.value;
      break;
    case SceneAxis::Means::kKey:
      selection.key = place.value;
      break;
    case SceneAxis::Means::kLayer:
      selection.layer = static_cast<int32_t>(place.value);
      break;
    case SceneAxis::Means::kHead:
      selection.head = static_cast<int32_t>(place.value);
      break;
    case SceneAxis::Means::kIteration:
      selection.iteration = static_cast<int32_t>(place.value) - 1;
      break;
    case SceneAxis::Means::kExpert:
      selection.expert = static_cast<int32_t>(place.value);
      break;
  }
}

Select select_command(const Selection& selection, std::optional<int64_t> text_top) {
  Select command;
  if (selection.step >= 0) command.step = selection.step;
  if (selection.layer >= 0) command.layer = selection.layer;
  if (selection.head >= 0) command.head = selection.head;
  if (selection.key >= 0) command.key = selection.key;
  if (selection.token >= 0) command.token = selection.token;
  command.text_top = text_top;
  if (selection.iteration >= 0) command.iteration = selection.iteration;
  if (selection.expert >= 0) command.expert = selection.expert;
  return command;
}

std::string place_text(const AxisPlace& place) {
  if (place.axis == nullptr) return "";
  const SceneAxis& axis = *place.axis;
  const auto cell = static_cast<size_t>(place.cell);
  if (cell < axis.labels.size() && !axis.labels[cell].empty()) return axis.name + " " + axis.labels[cell];
  const int64_t first = axis.value_of(place.cell);
  std::string text = axis.name + " " + std::to_string(first);
  if (axis.ids.empty() && axis.per_cell > 1) {
    const int64_t last = std::min(first + axis.per_cell, axis.end) - 1;
    if (last > first) text += "–" + std::to_string(last);
  }
  return text;
}

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

// One line per axis, then the cell's value.
std::string cell_text(const Scene& scene, const HitRegion& region, const AxisPlace& row, const AxisPlace& col) {
  std::string text = place_text(row);
  const std::string col_text = place_text(col);
  if (!text.empty() && !col_text.empty()) text += ", ";
  text += col_text;
  if (region.tile_item < 0) return text;
  const auto& tile = std::get<Tile>(scene.items[static_cast<size_t>(region.tile_item)]);
  const int64_t index = row.cell * tile.cols + col.cell;
  if (index < 0 || index >= static_cast<int64_t>(tile.values.size())) return text;
  const float value = tile.values[static_cast<size_t>(index)];
  if (!text.empty()) text += "\n";
  if (std::isnan(value)) return text + tile.probe + ": missing";
  if (std::isinf(value) && !tile.infinite.empty()) return text + tile.probe + ": " + tile.infinite;
  return text + tile.probe + ": " + number_text(static_cast<double>(value)) +
         (tile.unit.empty() ? "" : " " + tile.unit);
}

struct Fractions {
  float x = 0;
  float y = 0;
};

Fractions fractions(const Rect& rect, Point p) {
  return {(p.x - rect.x) / std::max(rect.width, 1e-6f), (p.y - rect.y) / std::max(rect.height, 1e-6f)};
}

const HitRegion* region_at(const Scene& scene, Point p) {
  for (auto region = scene.regions.rbegin(); region != scene.regions.rend(); ++region) {
    if (region->rect.contains(p)) return &*region;
  }
  return nullptr;
}

// A step of a text line, its token and its value.
std::string step_text(const Scene& scene, const HitRegion& region, int64_t step) {
  std::string text = "step " + std::to_string(step);
  if (region.series < 0) return text;
  const Series& series = scene.series[static_cast<size_t>(region.series)];
  if (series.x.empty()) return text;
  const int64_t i = step - static_cast<int64_t>(series.x.front());
  if (i < 0 || i >= static_cast<int64_t>(series.y.size())) return text;
  const auto index = static_cast<size_t>(i);
  if (index < series.labels.size()) text += "  " + series.labels[index];
  text += "\n" + series.name + ": ";
  if (std::isnan(series.y[index])) return text + "missing";
  return text + number_text(series.y[index]) + (series.unit.empty() ? "" : " " + series.unit);
}

Hit hit_of(const Scene& scene, const HitRegion& region, Point p) {
  Hit hit{.click = region.click, .hover = region.hover, .tooltip = region.tooltip, .scrub = region.scrub};
  if (region.slide) {
    hit.click = AskWhatIf{what_if_at(region.slide->rule, region.slide->greatest, fractions(region.rect, p).x)};
    return hit;
  }
  if (!region.edges.empty()) {
    const auto after = std::upper_bound(region.edges.begin(), region.edges.end(), p.x);
    const int64_t cell = after - region.edges.begin() - 1;
    if (cell < 0 || cell + 1 >= static_cast<int64_t>(region.edges.size())) return hit;
    Selection target = region.base;
    target.step = region.first_step + cell;
    if (!hit.click) hit.click = select_command(target, region.text_top);
    if (!hit.hover) hit.hover = Hover{target};
    if (hit.tooltip.empty()) hit.tooltip = step_text(scene, region, target.step);
    return hit;
  }
  if (region.rows <= 0 || region.cols <= 0) return hit;
  const Fractions at = fractions(region.rect, p);
  const AxisPlace row = place_on(scene, region.row_axis, region.rows, at.y);
  const AxisPlace col = place_on(scene, region.col_axis, region.cols, at.x);
  Selection target = region.base;
  put(target, row);
  put(target, col);
  if (!hit.hover) hit.hover = Hover{target};
  if (const auto cell = static_cast<size_t>(row.cell * region.cols + col.cell); cell < region.tokens.size()) {
    target.token = region.tokens[cell];
  }
  if (!hit.click) hit.click = select_command(target, region.text_top);
  if (hit.tooltip.empty()) hit.tooltip = cell_text(scene, region, row, col);
  return hit;
}

// The range of an axis, narrower or wider around the value at `fraction`.
StepRange zoomed(const SceneAxis& axis, float fraction, float notches) {
  const auto size = static_cast<float>(axis.end - axis.begin);
  const float at = static_cast<float>(axis.begin) + std::clamp(fraction, 0.0f, 1.0f) * size;
  const float next = std::max(size * std::pow(kZoomPerNotch, notches), static_cast<float>(kFewestZoomed));
  const auto begin = static_cast<int64_t>(std::llround(at - next * fraction));
  return {std::max<int64_t>(begin, 0), std::max<int64_t>(begin, 0) + std::llround(next)};
}

}  // namespace

std::optional<Hit> hit_test(const Scene& scene, Point p) {
  for (auto panel = scene.panels.rbegin(); panel != scene.panels.rend(); ++panel) {
    if (panel->rect.contains(p)) return hit_test(*panel->scene, {p.x - panel->rect.x, p.y - panel->rect.y});
  }
  const HitRegion* region = region_at(scene, p);
  if (region == nullptr) return std::nullopt;
  return hit_of(scene, *region, p);
}

std::optional<Command> wheel_at(const Scene& scene, Point p, float notches) {
  for (auto panel = scene.panels.rbegin(); panel != scene.panels.rend(); ++panel) {
    if (panel->rect.contains(p)) return wheel_at(*panel->scene, {p.x - panel->rect.x, p.y - panel->rect.y}, notches);
  }
  const HitRegion* region = region_at(scene, p);
  if (region == nullptr || notches == 0) return std::nullopt;
  const Fractions at = fractions(region->rect, p);
  if (region->wheel_zooms_keys && region->col_axis >= 0) {
    return ZoomKeys{zoomed(scene.axes[static_cast<size_t>(region->col_axis)], at.x, notches)};
  }
  if (region->wheel_zooms_steps) {
    const bool columns =
        region->row_axis < 0 || scene.axes[static_cast<size_t>(region->row_axis)].means != SceneAxis::Means::kStep;
    const int axis = columns ? region->col_axis : region->row_axis;
    if (axis >= 0) return ZoomSteps{zoomed(scene.axes[static_cast<size_t>(axis)], columns ? at.x : at.y, notches)};
  }
  return notches > 0 ? region->wheel_up : region->wheel_down;
}

}  // namespace orrery
