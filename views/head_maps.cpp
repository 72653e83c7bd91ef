#include "views/head_maps.h"

#include <algorithm>
#include <cmath>

#include "probes/model_axes.h"
#include "views/step_cells.h"

namespace orrery {
namespace {

constexpr float kLeastTwoColumns = 600;  // of the area, for layers and heads to stand side by side
constexpr float kLeastMapHeight = 12;
constexpr size_t kFewMaps = 3;        // that are drawn even where they are low
constexpr float kGoodMapHeight = 30;  // of more
constexpr float kLeastCell = 1.5f;
constexpr float kGap = 18;

// The scale must have an extent where all values are alike.
float greatest(const HeadLook& look, const HeadMap& map) {
  return std::max(map.high, map.low + (look.quantity.from_zero ? 1e-6f : 1e-4f));
}

Rect steps_rect(const Rect& plot, int64_t begin, int64_t end, const StepRange& steps) {
  const float per_step = plot.width / static_cast<float>(std::max<int64_t>(end - begin, 1));
  const auto last = std::min(steps.end, end);
  return {plot.x + static_cast<float>(steps.begin - begin) * per_step, plot.y,
          static_cast<float>(last - steps.begin) * per_step, plot.height};
}

// The row that an id lies in; rows.size() where in none. Rows of heads may cover several.
size_t row_of(const std::vector<int64_t>& rows, int64_t id, bool covering) {
  if (id < 0) return rows.size();
  const auto after = std::ranges::upper_bound(rows, id);
  if (after == rows.begin()) return rows.size();
  const auto at = static_cast<size_t>(after - rows.begin()) - 1;
  return covering || rows[at] == id ? at : rows.size();
}

// Whether `plain` shows the numbers as they are of which `other` draws something.
bool is_of_the_same(const HeadQuantity& other, const HeadQuantity& plain) {
  return plain.shown == nullptr && plain.probe == other.probe && plain.together == other.together &&
         plain.is_in == other.is_in;
}

}  // namespace

std::vector<Wanted> HeadMaps::wanted(const FrameHistory& history, const ViewState& state,
                                     std::span<const HeadLook> looks) {
  const int64_t n = history.n_processed();
  std::vector<Wanted> list;
  const std::vector<LayerConfig>& layers = history.info().config.layers;
  for (const HeadLook& look : looks) {
    if (look.quantity.is_in != nullptr && std::ranges::none_of(layers, look.quantity.is_in)) continue;
    const Probe& probe = *find_probe(look.quantity.probe);
    want(list, probe, step_cells(probe, visible_range(state.steps, n)), n);
  }
  return list;
}

void HeadMaps::draw(const Rect& area) {
  const bool has_heads = now_.head >= 0;
  if (has_heads && area.width >= kLeastTwoColumns) {
    const float width = (area.width - kGap) / 2;
    column({area.x, area.y, width, area.height}, std::nullopt);
    column({area.x + width + kGap, area.y, width, area.height}, now_.layer);
  } else if (has_heads && state_.selected.layer >= 0) {
    column(area, now_.layer);
  } else {
    column(area, std::nullopt);
  }
}

// Those that the layer has, or that any has.
std::vector<HeadLook> HeadMaps::looks_of(std::optional<int32_t> of_layer) const {
  std::vector<HeadLook> list;
  const auto has = [&](const HeadLook& look, int32_t layer) {
    return look.quantity.is_in == nullptr || look.quantity.is_in(layer_of(layer));
  };
  for (const HeadLook& look : looks_) {
    const std::vector<int32_t> layers = find_probe(look.quantity.probe)->layers(history_.info().config);
    const bool any = std::ranges::any_of(layers, [&](int32_t layer) { return has(look, layer); });
    if (of_layer ? has(look, *of_layer) : any) list.push_back(look);
  }
  return list;
}

void HeadMaps::column(const Rect& area, std::optional<int32_t> of_layer) {
  const std::vector<HeadLook> looks = looks_of(of_layer);
  const float lh = b_.label();
  const float above = b_.scale_bar_height() + 4;  // each map's title and colours
  // In a low dock one map comes before what is said around it.
  const float spare = area.height - above - kLeastMapHeight;
  const float foot = spare >= lh + 4 ? lh + 4 : 0;
  const float heading = spare >= foot + lh + 2 ? lh + 2 : 0;
  const auto fits = static_cast<size_t>(std::max(0.0f, (area.height - heading - foot) / (above + kLeastMapHeight)));
  const auto fits_well = static_cast<size_t>(std::max(0.0f, (area.height - heading - foot) / (above + kGoodMapHeight)));
  const size_t n_maps = std::min({std::max(fits_well, kFewMaps), fits, looks.size()});
  if (n_maps == 0) return;
  if (heading > 0) b_.label({area.x, area.y + lh / 2}, heading_text(of_layer), area.width);
  const float pitch = (area.height - heading - foot) / static_cast<float>(n_maps);
  gutter_ = gutter_of(of_layer, area.width);
  const Size plot_size{area.width - gutter_ - 2, pitch - above - 2};
  if (plot_size.width < 20) return;
  const StepRange steps = visible_range(state_.steps, history_.n_processed());
  std::vector<HeadMap> maps;
  for (const HeadLook& look : std::span(looks).first(n_maps)) {
    const auto before = std::span(looks).first(maps.size());
    const auto same = std::ranges::find_if(before, [&](const HeadLook& other) {
      return look.quantity.shown != nullptr && is_of_the_same(look.quantity, other.quantity);
    });
    if (same != before.end()) {
      maps.push_back(shown_as(maps[static_cast<size_t>(same - before.begin())], look.quantity));
      continue;
    }
    maps.push_back(head_map(history_, look.quantity, of_layer, steps, static_cast<int>(plot_size.height / kLeastCell),
                            static_cast<int>(plot_size.width / kLeastCell)));
  }
  for (size_t i = 0; i < n_maps; ++i) {
    float high = greatest(looks[i], maps[i]);
    for (size_t j = 0; j < n_maps; ++j) {
      const bool shared = looks[i].shared_scale >= 0 && looks[j].shared_scale == looks[i].shared_scale;
      if (shared) high = std::max(high, greatest(looks[j], maps[j]));
    }
    const float top = area.y + heading + static_cast<float>(i) * pitch;
    map(looks[i], maps[i], high, {area.x + gutter_, top + above, plot_size.width, plot_size.height}, of_layer,
        foot > 0 && i + 1 == n_maps);
  }
}

std::string HeadMaps::heading_text(std::optional<int32_t> of_layer) const {
  if (!of_layer && !has_heads()) return "layers × tokens";
  if (!of_layer) return "layers × tokens, all heads of a layer together";
  return state_heads_name(layer()) + " of " + layer_name(history_.info(), *of_layer) + " × tokens";
}

float HeadMaps::gutter_of(std::optional<int32_t> of_layer, float width) const {
  float gutter = 0;
  if (of_layer) {
    const std::string name = state_head_name(layer(), std::max(n_heads_of(layer(), kind()) - 1, 0));
    gutter = b_.width(name.substr(name.find(' ') + 1), TextSize::kLabel);
  } else {
    const Probe& probe = *find_probe(looks_.front().quantity.probe);
    gutter = b_.names_width(history_.info(), probe.layers(history_.info().config));
  }
  return std::min(gutter, width * 0.35f) + 8;
}

void HeadMaps::map(const HeadLook& look, const HeadMap& map, float high, const Rect& plot,
                   std::optional<int32_t> of_layer, bool is_last) {
  const float bar = std::min(plot.width * 0.45f, 150.0f);
  const float title_y = plot.y - b_.scale_bar_height() - 4 + b_.label() / 2;
  const bool is_logarithm = look.transfer == Transfer::kLogarithm;
  const float low = is_logarithm ? std::max(map.low, 1e-3f) : map.low;
  const int scale = b_.scene.add_scale(
      {.low = low, .high = is_logarithm ? std::max(high, low * 1.01f) : high, .transfer = look.transfer});
  b_.label({plot.x, title_y}, look.title, plot.width - bar - 8, Align::kLeft, Paint::of(ColourRole::kForeground));
  b_.scale_bar({plot.right() - bar, title_y - b_.label() / 2 + 1, bar, 0}, scale, "", format_value);
  b_.map_ground(plot, history_.info().config, map.values);
  const auto end = map.steps.begin + static_cast<int64_t>(map.cols) * map.steps_per_col;
  for (const StepRange& missing : map.missing) b_.hatch(steps_rect(plot, map.steps.begin, end, missing));
  if (map.rows.empty() || map.cols == 0) return;
  add_tile(look, map, plot, of_layer, scale, is_last);
  marks(map, plot, end, of_layer);
  add_provenance(look, map, of_layer);
}

void HeadMaps::add_tile(const HeadLook& look, const HeadMap& map, const Rect& plot, std::optional<int32_t> of_layer,
                        int scale, bool is_last) {
  SceneAxis rows{.name = "layer", .means = SceneAxis::Means::kLayer, .ids = map.rows, .labels = map.labels};
  if (of_layer) {
    const std::string name = state_head_name(layer(), 0);
    rows.name = name.substr(0, name.find(' '));
    rows.means = SceneAxis::Means::kHead;
  }
  const size_t row = row_of(rows.ids, of_layer ? now_.head : now_.layer, of_layer.has_value());
  b_.row_names(rows, plot, gutter_ - 6, row < rows.ids.size() ? rows.ids[row] : -1);
  const int64_t end = map.steps.begin + static_cast<int64_t>(map.cols) * map.steps_per_col;
  SceneAxis cols = b_.step_axis(plot, map.steps, map.steps_per_col, end, is_last);
  const int row_axis = b_.scene.add_axis(std::move(rows));
  const int col_axis = b_.scene.add_axis(std::move(cols));
  const int tile = b_.scene.add(Tile{.name = std::string(look.title) + (of_layer ? " by head" : " by layer"),
                                     .rect = plot,
                                     .rows = static_cast<int>(map.rows.size()),
                                     .cols = map.cols,
                                     .values = map.values,
                                     .scale = scale,
                                     .row_axis = row_axis,
                                     .col_axis = col_axis,
                                     .probe = std::string(look.quantity.probe),
                                     .unit = look.unit,
                                     .infinite = look.infinite});
  Selection base;
  if (of_layer) base.layer = *of_layer;
  b_.scene.regions.push_back({.rect = plot,
                              .rows = static_cast<int>(map.rows.size()),
                              .cols = map.cols,
                              .row_axis = row_axis,
                              .col_axis = col_axis,
                              .tile_item = tile,
                              .base = base,
                              .wheel_zooms_steps = true});
}

void HeadMaps::marks(const HeadMap& map, const Rect& plot, int64_t end, std::optional<int32_t> of_layer) {
  const auto column = [&](int64_t step, Paint paint) {
    if (step < map.steps.begin || step >= map.steps.end) return;
    const Rect at = steps_rect(plot, map.steps.begin, end, {step, step + 1});
    b_.rule({at.centre().x, plot.y}, {at.centre().x, plot.bottom()}, paint);
  };
  column(state_.hovered.step, Paint::of(ColourRole::kHover, 0.7f));
  column(now_.step, Paint::of(ColourRole::kAccent));
  const size_t row = row_of(map.rows, of_layer ? now_.head : now_.layer, of_layer.has_value());
  if (row == map.rows.size()) return;
  const float pitch = plot.height / static_cast<float>(map.rows.size());
  b_.box({plot.x, plot.y + static_cast<float>(row) * pitch, plot.width, pitch}, Paint::none(),
         Paint::of(ColourRole::kAccent, 0.8f));
}

void HeadMaps::add_provenance(const HeadLook& look, const HeadMap& map, std::optional<int32_t> of_layer) {
  if (!map.row) return;
  Provenance p = provenance_of(history_, map.row, of_layer.value_or(-1));
  p.step_begin = map.steps.begin;
  p.step_end = map.steps.end;
  if (has_heads() && (!of_layer || map.heads_per_row > 1)) p.note = together_note(look.quantity.together);
  if (map.steps_per_col > 1) {
    const std::string cells = cells_note(Statistic::kMean, map.steps_per_col);
    p.note += (p.note.empty() ? "" : ", ") + cells;
    b_.note("Each column shows the " + cells + ", head by head.");
  }
  if (!map.missing.empty()) b_.note("Hatched: not recorded, or not held.");
  if (std::ranges::any_of(map.values, [](float value) { return std::isinf(value); })) {
    b_.note(std::string(look.title) + ": the strongest colour also where it " + look.infinite + ".");
  }
  b_.provenance(std::move(p));
}

}  // namespace orrery
