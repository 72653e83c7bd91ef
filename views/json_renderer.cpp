#include "views/json_renderer.h"

#include <cmath>

namespace orrery {
namespace {

using nlohmann::json;

// NaN is missing; an infinite value is one, which JSON has no number for.
json number(double value) {
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return std::isnan(value) ? json(nullptr) : json(value);
}

json rect_json(const Rect& rect) { return json::array({rect.x, rect.y, rect.width, rect.height}); }

const char* means_name(SceneAxis::Means means) {
  switch (means) {
    case SceneAxis::Means::kNothing:
      return "value";
    case SceneAxis::Means::kStep:
      return "step";
    case SceneAxis::Means::kKey:
      return "key";
    case SceneAxis::Means::kLayer:
      return "layer";
    case SceneAxis::Means::kHead:
      return "head";
    case SceneAxis::Means::kIteration:
      return "iteration";
    case SceneAxis::Means::kExpert:
      return "expert";
  }
  return "";
}

json axis_json(const SceneAxis& axis) {
  json out{{"name", axis.name},   {"unit", axis.unit}, {"means", means_name(axis.means)},
           {"begin", axis.begin}, {"end", axis.end},   {"per_cell", axis.per_cell}};
  if (!axis.ids.empty()) out["ids"] = axis.ids;
  if (!axis.labels.empty()) out["labels"] = axis.labels;
  json ticks = json::array();
  for (const Tick& tick : axis.ticks) {
    ticks.push_back({{"value", tick.value}, {"label", tick.label}, {"position", tick.position}});
  }
  out["ticks"] = std::move(ticks);
  return out;
}

const char* transfer_name(Transfer transfer) {
  switch (transfer) {
    case Transfer::kLinear:
      return "linear";
    case Transfer::kSquareRoot:
      return "square root";
    case Transfer::kLogarithm:
      return "logarithm";
  }
  return "";
}

json scale_json(const ColourScale& scale) {
  return {{"map", colour_map_name(scale.map)},
          {"low", number(scale.low)},
          {"high", number(scale.high)},
          {"transfer", transfer_name(scale.transfer)}};
}

json tile_json(const Tile& tile) {
  json cells = json::array();
  for (int row = 0; row < tile.rows; ++row) {
    json values = json::array();
    for (int col = 0; col < tile.cols; ++col) {
      values.push_back(
          number(tile.values[static_cast<size_t>(row) * static_cast<size_t>(tile.cols) + static_cast<size_t>(col)]));
    }
    cells.push_back(std::move(values));
  }
  return {
      {"name", tile.name},   {"probe", tile.probe},      {"unit", tile.unit},         {"rect", rect_json(tile.rect)},
      {"rows", tile.rows},   {"columns", tile.cols},     {"row_axis", tile.row_axis}, {"column_axis", tile.col_axis},
      {"scale", tile.scale}, {"cells", std::move(cells)}};
}

json series_json(const Series& series) {
  json x = json::array();
  json y = json::array();
  for (const double value : series.x) x.push_back(number(value));
  for (const double value : series.y) y.push_back(number(value));
  json out{{"name", series.name},     {"probe", series.probe}, {"unit", series.unit},
           {"x_name", series.x_name}, {"x", std::move(x)},     {"y", std::move(y)}};
  if (!series.labels.empty()) out["labels"] = series.labels;
  return out;
}

json provenance_json(const Provenance& p) {
  return {{"run", p.run},           {"probe", p.probe}, {"step_begin", p.step_begin},
          {"step_end", p.step_end}, {"layer", p.layer}, {"head", p.head},
          {"dtype", p.dtype},       {"exact", p.exact}, {"origin", origin_name(p.origin)},
          {"note", p.note},         {"line", p.line()}};
}

}  // namespace

json render_json(const Scene& scene) {
  json out{{"view", scene.view},
           {"title", scene.title},
           {"size", json::array({scene.size.width, scene.size.height})},
           {"selection",
            {{"step", scene.selection.step},
             {"layer", scene.selection.layer},
             {"head", scene.selection.head},
             {"key", scene.selection.key},
             {"token", scene.selection.token},
             {"iteration", scene.selection.iteration},
             {"expert", scene.selection.expert}}},
           {"notes", scene.notes}};
  json axes = json::array();
  for (const SceneAxis& axis : scene.axes) axes.push_back(axis_json(axis));
  json scales = json::array();
  for (const ColourScale& scale : scene.scales) scales.push_back(scale_json(scale));
  json tiles = json::array();
  json texts = json::array();
  json missing = json::array();
  for (const Item& item : scene.items) {
    if (const auto* tile = std::get_if<Tile>(&item)) tiles.push_back(tile_json(*tile));
    if (const auto* hatch = std::get_if<Hatch>(&item)) missing.push_back(rect_json(hatch->rect));
    if (const auto* text = std::get_if<Text>(&item)) {
      texts.push_back(
          {{"text", text->text}, {"role", text_role_name(text->role)}, {"x", text->at.x}, {"y", text->at.y}});
    }
  }
  json series = json::array();
  for (const Series& one : scene.series) series.push_back(series_json(one));
  json provenance = json::array();
  for (const Provenance& one : scene.provenance) provenance.push_back(provenance_json(one));
  json panels = json::array();
  for (const ScenePanel& panel : scene.panels) {
    panels.push_back({{"name", panel.name}, {"rect", rect_json(panel.rect)}, {"scene", render_json(*panel.scene)}});
  }
  out["axes"] = std::move(axes);
  out["scales"] = std::move(scales);
  out["tiles"] = std::move(tiles);
  out["series"] = std::move(series);
  out["texts"] = std::move(texts);
  out["missing"] = std::move(missing);
  out["provenance"] = std::move(provenance);
  out["panels"] = std::move(panels);
  return out;
}

}  // namespace orrery
