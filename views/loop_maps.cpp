#include "views/loop_maps.h"

#include <algorithm>
#include <cmath>

#include "probes/model_axes.h"
#include "views/loop_slider.h"
#include "views/what_if.h"

namespace orrery {
namespace {

constexpr float kLeastMapHeight = 14;
constexpr size_t kFewMaps = 2;        // that are drawn even where they are low
constexpr float kGoodMapHeight = 26;  // of more
constexpr float kLeastCell = 1.5f;
constexpr float kLaneHeight = 10;

Rect steps_rect(const Rect& plot, int64_t begin, int64_t end, const StepRange& steps) {
  const float per_step = plot.width / static_cast<float>(std::max<int64_t>(end - begin, 1));
  return {plot.x + static_cast<float>(steps.begin - begin) * per_step, plot.y,
          static_cast<float>(std::min(steps.end, end) - steps.begin) * per_step, plot.height};
}

}  // namespace

LoopMaps::LoopMaps(SceneBuilder& builder, const SceneInput& input, const Selection& now, int depth_scale)
    : b_(builder),
      history_(input.history),
      state_(input.state),
      now_(now),
      loop_(history_.info().config.loop),
      depth_scale_(depth_scale) {}

const std::vector<LoopMaps::Look>& LoopMaps::looks() {
  static const std::vector<Look> kLooks{
      {"loop.step",
       "change of the state, |Δh| / |h|: iterations × tokens",
       {.high = 0, .transfer = Transfer::kSquareRoot}},
      {"loop.cosine",
       "cosine with the change before: iterations × tokens",
       {.map = ColourMapId::kDiverging, .low = -1, .high = 1}},
      {"loop.exit", "probability of stopping: iterations × tokens", {.high = 1, .transfer = Transfer::kSquareRoot}}};
  return kLooks;
}

std::vector<LoopMaps::Look> LoopMaps::offered() const {
  std::vector<Look> list;
  for (const Look& look : looks()) {
    if (is_offered(*find_probe(look.probe), history_.info().config)) list.push_back(look);
  }
  return list;
}

float LoopMaps::lane_height() const { return b_.label() + 3 + kLaneHeight + 6; }

void LoopMaps::draw(const Rect& area) {
  const float foot = b_.label() + 4;
  const float above = b_.scale_bar_height() + 4;
  gutter_ = b_.width(std::to_string(loop_.n_iterations), TextSize::kLabel) + 10;
  const float lane_pitch = lane_height();
  if (area.height < lane_pitch + foot || area.width - gutter_ < 24) return;
  const bool asks = state_.what_if.has_value() && area.height >= 2 * lane_pitch + foot;
  const float lanes = asks ? 2 * lane_pitch : lane_pitch;
  const float rest = area.height - lanes - foot;
  const std::vector<Look> list = offered();
  const auto fits = static_cast<size_t>(std::max(0.0f, rest / (above + kLeastMapHeight)));
  const auto fits_well = static_cast<size_t>(std::max(0.0f, rest / (above + kGoodMapHeight)));
  const size_t n_maps = std::min({std::max(fits_well, kFewMaps), fits, list.size()});
  const auto plot_at = [&](float top, float height) {
    return Rect{area.x + gutter_, top, area.width - gutter_ - 2, height};
  };
  const Rect first = plot_at(area.y + b_.label() + 3, kLaneHeight);
  lane(read("loop.depth", first), "loop.depth", "depth", "iterations, token by token",
       Paint::of(ColourRole::kForeground), first, n_maps == 0 && !asks);
  if (asks) {
    const Rect second = plot_at(area.y + lane_pitch + b_.label() + 3, kLaneHeight);
    const LoopMap asked = what_if_map(history_, *state_.what_if, steps(), static_cast<int>(second.width / kLeastCell));
    lane(asked, what_if_probe(state_.what_if->rule).data(), "depth of the what-if", what_if_title(*state_.what_if),
         Paint::of(ColourRole::kAccent), second, n_maps == 0);
  }
  for (size_t i = 0; i < n_maps; ++i) {
    const float pitch = rest / static_cast<float>(n_maps);
    const float top = area.y + lanes + static_cast<float>(i) * pitch;
    titled_map(list[i], plot_at(top + above, pitch - above - 6), i + 1 == n_maps);
  }
}

void LoopMaps::lane(const LoopMap& values, const char* probe, const char* tile, const std::string& title, Paint paint,
                    const Rect& plot, bool is_last) {
  b_.label({plot.x, plot.y - 3 - b_.label() / 2}, title, plot.width, Align::kLeft, paint);
  map(values, {.probe = probe, .title = tile, .scale = depth_scale_, .is_last = is_last}, plot);
}

void LoopMaps::titled_map(const Look& look, const Rect& plot, bool is_last) {
  ColourScale colours = look.colours;
  const LoopMap values = read(look.probe, plot);
  if (colours.high <= 0) colours.high = std::max(values.high, 1e-6f);
  const int scale = b_.scene.add_scale(colours);
  const float bar = std::min(plot.width * 0.45f, 150.0f);
  const float title_y = plot.y - b_.scale_bar_height() - 4 + b_.label() / 2;
  b_.label({plot.x, title_y}, look.title, plot.width - bar - 8, Align::kLeft, Paint::of(ColourRole::kForeground));
  b_.scale_bar({plot.right() - bar, title_y - b_.label() / 2 + 1, bar, 0}, scale, "", format_value);
  map(values, {.probe = look.probe, .title = look.title, .scale = scale, .is_last = is_last}, plot);
}

LoopMap LoopMaps::read(const char* name, const Rect& plot) const {
  return loop_map(history_, *find_probe(name), steps(), static_cast<int>(plot.width / kLeastCell));
}

void LoopMaps::map(const LoopMap& map, const Drawn& drawn, const Rect& plot) {
  // Grey shows through where there is nothing: a middle cosine is as pale as the panel.
  b_.box(plot, SceneBuilder::blank(), Paint::of(ColourRole::kGrid));
  const int64_t end = map.steps.begin + static_cast<int64_t>(map.cols) * map.steps_per_col;
  for (const StepRange& missing : map.missing) b_.hatch(steps_rect(plot, map.steps.begin, end, missing));
  if (map.cols == 0) return;
  SceneAxis rows{.name = "iteration", .means = SceneAxis::Means::kIteration, .begin = 1, .end = map.rows + 1};
  if (map.rows > 1) iteration_labels(rows, plot);
  SceneAxis cols = b_.step_axis(plot, map.steps, map.steps_per_col, end, drawn.is_last);
  const int row_axis = map.rows > 1 ? b_.scene.add_axis(std::move(rows)) : -1;
  const int col_axis = b_.scene.add_axis(std::move(cols));
  const int tile = b_.scene.add(Tile{.name = drawn.title,
                                     .rect = plot,
                                     .rows = map.rows,
                                     .cols = map.cols,
                                     .values = map.values,
                                     .scale = drawn.scale,
                                     .row_axis = row_axis,
                                     .col_axis = col_axis,
                                     .probe = drawn.probe});
  b_.scene.regions.push_back({.rect = plot,
                              .rows = map.rows,
                              .cols = map.cols,
                              .row_axis = row_axis,
                              .col_axis = col_axis,
                              .tile_item = tile,
                              .wheel_zooms_steps = true});
  marks(map, plot, end);
  add_provenance(map, drawn);
}

// As many numbers as fit, from 1.
void LoopMaps::iteration_labels(SceneAxis& rows, const Rect& plot) {
  const auto n = rows.end - rows.begin;
  const float pitch = plot.height / static_cast<float>(n);
  const auto every = static_cast<int64_t>(std::max(1.0f, std::ceil(b_.label() / pitch)));
  for (int64_t i = 0; i < n; i += every) {
    const float y = plot.y + (static_cast<float>(i) + 0.5f) * pitch;
    const std::string name = std::to_string(i + 1);
    rows.ticks.push_back({static_cast<double>(i + 1), name, y});
    b_.label({plot.x - 5, y}, name, gutter_ - 6, Align::kRight,
             Paint::of(i == now_.iteration ? ColourRole::kForeground : ColourRole::kMuted), TextRole::kTick);
  }
}

void LoopMaps::marks(const LoopMap& map, const Rect& plot, int64_t end) {
  const auto column = [&](int64_t step, Paint paint) {
    if (step < map.steps.begin || step >= map.steps.end) return;
    const float x = steps_rect(plot, map.steps.begin, end, {step, step + 1}).centre().x;
    b_.rule({x, plot.y}, {x, plot.bottom()}, paint);
  };
  column(state_.hovered.step, Paint::of(ColourRole::kHover, 0.7f));
  column(now_.step, Paint::of(ColourRole::kAccent));
  if (map.rows <= 1 || now_.iteration < 0 || now_.iteration >= map.rows) return;
  const float pitch = plot.height / static_cast<float>(map.rows);
  b_.box({plot.x, plot.y + static_cast<float>(now_.iteration) * pitch, plot.width, pitch}, Paint::none(),
         Paint::of(ColourRole::kAccent, 0.8f));
}

void LoopMaps::add_provenance(const LoopMap& map, const Drawn& drawn) {
  const bool is_asked = drawn.probe != std::string_view("loop.depth") && map.rows == 1;
  if (!map.missing.empty()) {
    b_.note(is_asked ? "Hatched in the what-if: not recorded, or the token left before the asked exit says anything."
                     : "Hatched: not recorded, or not held.");
  }
  const bool has_blanks = std::ranges::any_of(map.values, [](float value) { return std::isnan(value); });
  if (map.rows > 1 && has_blanks) {
    b_.note("Grey: the token was not in that iteration, or had no change before it.");
  }
  if (!map.row) return;
  Provenance p = provenance_of(history_, map.row);
  p.step_begin = map.steps.begin;
  p.step_end = map.steps.end;
  if (is_asked) p.note = what_if_title(*state_.what_if);
  if (map.steps_per_col > 1) {
    b_.note("Each column shows the last of its " + std::to_string(map.steps_per_col) + " steps.");
  }
  b_.provenance(std::move(p));
}

}  // namespace orrery
