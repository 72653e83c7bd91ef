// Recurrent state: what it holds, what each token writes and how much of it stays; layers x tokens, beside them the
// heads of one layer x tokens, and where it was computed the implied attention row of the selected head.
#include <algorithm>
#include <array>
#include <cmath>

#include "probes/model_axes.h"
#include "views/scene_builder.h"
#include "views/state_cells.h"
#include "views/token_text.h"
#include "views/views.h"

namespace orrery {
namespace {

constexpr float kLeastTwoColumns = 600;  // of the body, for layers and heads to stand side by side
constexpr float kLeastMapHeight = 12;
constexpr float kLeastCell = 1.5f;
constexpr float kGap = 18;
constexpr float kLeastRowArea = 260;  // of the body's height, for the implied row to stand below

struct Look {
  StateQuantity quantity;
  const char* title;
  Transfer transfer;
};
constexpr std::array<Look, kStateQuantities> kLooks{{
    {StateQuantity::kNorm, "norm of the state", Transfer::kSquareRoot},
    {StateQuantity::kWrite, "write of the token", Transfer::kSquareRoot},
    {StateQuantity::kKeep, "kept by the token", Transfer::kLinear},
}};

class StatePicture {
 public:
  explicit StatePicture(const SceneInput& input)
      : history_(input.history),
        state_(input.state),
        b_(input, "state", "Recurrent state"),
        now_(resolve_for(MixerKind::kMatrixState, input.history, input.state)),
        n_(history_.n_processed()) {
    b_.scene.selection = now_;
  }

  Scene draw() {
    if (const auto why = state_view().unavailable(history_.info())) {
      b_.message(*why);
      return b_.finish();
    }
    if (n_ == 0) {
      b_.message("No step has been processed yet.");
      return b_.finish();
    }
    subtitle();
    const ImpliedRow implied = implied_row(history_, now_);
    Rect area = b_.body;
    if (implied.row && area.height >= kLeastRowArea) {
      const float height = std::clamp(area.height * 0.28f, 90.0f, 220.0f);
      draw_implied({area.x, area.bottom() - height, area.width, height}, implied);
      area = area.inset(0, 0, 0, height + 8);
    }
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
    return b_.finish();
  }

 private:
  void subtitle() {
    std::string text = layer_name(history_.info(), now_.layer);
    if (now_.head >= 0) text += " · " + state_head_name(layer(), now_.head);
    text += " · step " + std::to_string(now_.step);
    if (now_.step >= 0 && now_.step < history_.n_steps()) {
      text += " " + token_label(history_.tokens()[static_cast<size_t>(now_.step)].bytes);
    }
    b_.subtitle(text);
  }

  const LayerConfig& layer() const { return history_.info().config.layers[static_cast<size_t>(now_.layer)]; }

  // --- a column: norm, write and keep, one below the other, on one axis of steps ---
  void column(const Rect& area, std::optional<int32_t> of_layer) {
    const float lh = b_.label();
    const float heading = lh + 2;
    const float foot = lh + 4;
    const float above = b_.scale_bar_height() + 4;  // each map's title and colours
    const auto fits = static_cast<size_t>(std::max(0.0f, (area.height - heading - foot) / (above + kLeastMapHeight)));
    const size_t n_maps = std::min(fits, kLooks.size());
    if (n_maps == 0) return;
    b_.label({area.x, area.y + lh / 2}, heading_text(of_layer), area.width);
    const float pitch = (area.height - heading - foot) / static_cast<float>(n_maps);
    gutter_ = gutter_of(of_layer, area.width);
    for (size_t i = 0; i < n_maps; ++i) {
      const float top = area.y + heading + static_cast<float>(i) * pitch;
      const Rect plot{area.x + gutter_, top + above, area.width - gutter_ - 2, pitch - above - 2};
      if (plot.width < 20) return;
      map(kLooks[i], plot, of_layer, i + 1 == n_maps);
    }
  }

  std::string heading_text(std::optional<int32_t> of_layer) const {
    if (!of_layer) return "layers × tokens, all heads of a layer together";
    return state_heads_name(layer()) + " of " + layer_name(history_.info(), *of_layer) + " × tokens";
  }

  float gutter_of(std::optional<int32_t> of_layer, float width) const {
    float gutter = 0;
    if (of_layer) {
      const std::string name = state_head_name(layer(), std::max(state_heads_in(layer()) - 1, 0));
      gutter = b_.width(name.substr(name.find(' ') + 1), TextSize::kLabel);
    } else {
      for (const int32_t id : state_layers(history_.info().config)) {
        gutter = std::max(gutter, b_.width(layer_name(history_.info(), id), TextSize::kLabel));
      }
    }
    return std::min(gutter, width * 0.35f) + 8;
  }

  void map(const Look& look, const Rect& plot, std::optional<int32_t> of_layer, bool is_last) {
    const StepRange steps = visible_range(state_.steps, n_);
    const StateMap map = state_map(history_, look.quantity, of_layer, steps, static_cast<int>(plot.height / kLeastCell),
                                   static_cast<int>(plot.width / kLeastCell));
    const float bar = std::min(plot.width * 0.45f, 150.0f);
    const float title_y = plot.y - b_.scale_bar_height() - 4 + b_.label() / 2;
    const ColourScale colours{.low = map.low, .high = greatest(look.quantity, map), .transfer = look.transfer};
    const int scale = b_.scene.add_scale(colours);
    b_.label({plot.x, title_y}, look.title, plot.width - bar - 8, Align::kLeft, Paint::of(ColourRole::kForeground));
    b_.scale_bar({plot.right() - bar, title_y - b_.label() / 2 + 1, bar, 0}, scale, "", format_value);
    b_.box(plot, Paint::none(), Paint::of(ColourRole::kGrid));
    const auto end = map.steps.begin + static_cast<int64_t>(map.cols) * map.steps_per_col;
    for (const StepRange& missing : map.missing) b_.hatch(steps_rect(plot, map.steps.begin, end, missing));
    if (map.rows.empty() || map.cols == 0) return;
    add_tile(look, map, plot, of_layer, scale, is_last);
    marks(map, plot, end, of_layer);
    add_provenance(look, map, of_layer);
  }

  // The scale must have an extent where all values are alike.
  static float greatest(StateQuantity quantity, const StateMap& map) {
    const float least_extent = quantity == StateQuantity::kKeep ? 1e-4f : 1e-6f;
    return std::max(map.high, map.low + least_extent);
  }

  static Rect steps_rect(const Rect& plot, int64_t begin, int64_t end, const StepRange& steps) {
    const float per_step = plot.width / static_cast<float>(std::max<int64_t>(end - begin, 1));
    const auto last = std::min(steps.end, end);
    return {plot.x + static_cast<float>(steps.begin - begin) * per_step, plot.y,
            static_cast<float>(last - steps.begin) * per_step, plot.height};
  }

  void add_tile(const Look& look, const StateMap& map, const Rect& plot, std::optional<int32_t> of_layer, int scale,
                bool is_last) {
    SceneAxis rows{.name = "layer", .means = SceneAxis::Means::kLayer, .ids = map.rows, .labels = map.labels};
    if (of_layer) {
      const std::string name = state_head_name(layer(), 0);
      rows.name = name.substr(0, name.find(' '));
      rows.means = SceneAxis::Means::kHead;
    }
    row_labels(rows, plot, of_layer);
    SceneAxis cols{.name = "step",
                   .unit = "token",
                   .means = SceneAxis::Means::kStep,
                   .begin = map.steps.begin,
                   .end = map.steps.end,
                   .per_cell = map.steps_per_col};
    const auto low = static_cast<double>(map.steps.begin);
    const auto high = static_cast<double>(map.steps.begin + static_cast<int64_t>(map.cols) * map.steps_per_col);
    if (is_last) {
      cols.ticks = b_.axis({.plot = plot,
                            .low = low,
                            .high = high,
                            .ticks = round_ticks(low, high - 1, static_cast<int>(plot.width / 70), true),
                            .grid = false,
                            .cells = true});
    }
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
                                       .probe = state_probe_name(look.quantity)});
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

  // As many names as fit; the selected row's stands out.
  void row_labels(SceneAxis& rows, const Rect& plot, std::optional<int32_t> of_layer) {
    const float pitch = plot.height / static_cast<float>(rows.ids.size());
    const auto every = static_cast<size_t>(std::max(1.0f, std::ceil(b_.label() / pitch)));
    const size_t chosen = row_of(rows.ids, of_layer ? now_.head : now_.layer, of_layer.has_value());
    for (size_t i = 0; i < rows.ids.size(); ++i) {
      const float y = plot.y + (static_cast<float>(i) + 0.5f) * pitch;
      rows.ticks.push_back({static_cast<double>(rows.ids[i]), rows.labels[i], y});
      if (i % every != 0) continue;
      b_.label({plot.x - 5, y}, rows.labels[i], gutter_ - 6, Align::kRight,
               Paint::of(i == chosen ? ColourRole::kForeground : ColourRole::kMuted), TextRole::kTick);
    }
  }

  // The row that an id lies in; rows.size() where in none. Rows of heads may cover several.
  static size_t row_of(const std::vector<int64_t>& rows, int64_t id, bool covering) {
    if (id < 0) return rows.size();
    const auto after = std::ranges::upper_bound(rows, id);
    if (after == rows.begin()) return rows.size();
    const auto at = static_cast<size_t>(after - rows.begin()) - 1;
    return covering || rows[at] == id ? at : rows.size();
  }

  void marks(const StateMap& map, const Rect& plot, int64_t end, std::optional<int32_t> of_layer) {
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

  void add_provenance(const Look& look, const StateMap& map, std::optional<int32_t> of_layer) {
    if (!map.row) return;
    Provenance p = provenance_of(history_, map.row, of_layer.value_or(-1));
    p.step_begin = map.steps.begin;
    p.step_end = map.steps.end;
    const bool is_keep = look.quantity == StateQuantity::kKeep;
    if (!of_layer || map.heads_per_row > 1) {
      p.note = is_keep ? "geometric mean of the heads" : "heads together: root of the sum of squares";
    }
    if (map.steps_per_col > 1) {
      note_once("Each column shows the last of its " + std::to_string(map.steps_per_col) + " steps.");
    }
    if (!map.missing.empty()) note_once("Hatched: not recorded, or not held.");
    b_.provenance(std::move(p));
  }

  void note_once(std::string sentence) {
    if (std::ranges::find(b_.scene.notes, sentence) == b_.scene.notes.end()) b_.note(std::move(sentence));
  }

  // --- the implied row: bars up and down from zero, by key ---
  void draw_implied(const Rect& area, const ImpliedRow& implied) {
    const float lh = b_.label();
    b_.label({area.x, area.y + lh / 2},
             "what " + state_head_name(layer(), now_.head) + " reads at step " + std::to_string(now_.step) +
                 ": implied attention row by key, signed, " + origin_name(implied.row.frame->origin),
             area.width);
    const float gutter = b_.width("-0.000", TextSize::kLabel) + 6;
    const Rect plot = area.inset(gutter, 1.5f * lh + 1, 2, lh + 4);
    if (plot.width < 20 || plot.height < 16) return;
    const auto [least, most] = std::ranges::minmax(implied.weights);
    const auto high = static_cast<double>(std::max(most, 1e-9f));
    const auto low = static_cast<double>(std::min(least, 0.0f));
    b_.axis({.plot = plot,
             .vertical = true,
             .low = low,
             .high = high,
             .ticks = round_ticks(low, high, std::max(2, static_cast<int>(plot.height / 36)), false),
             .format = format_tick});
    const auto n = static_cast<int64_t>(implied.weights.size());
    SceneAxis keys{.name = "key", .unit = "token", .means = SceneAxis::Means::kKey, .begin = 0, .end = n};
    keys.ticks = b_.axis({.plot = plot,
                          .high = static_cast<double>(n),
                          .ticks = round_ticks(0, static_cast<double>(n - 1), static_cast<int>(plot.width / 70), true),
                          .grid = false,
                          .cells = true});
    const auto y_of = [&](double value) {
      return plot.bottom() - static_cast<float>((value - low) / (high - low)) * plot.height;
    };
    implied_bars(implied.weights, plot, y_of);
    b_.rule({plot.x, y_of(0)}, {plot.right(), y_of(0)}, Paint::of(ColourRole::kMuted));
    Series series{.name = "implied row", .probe = "state.row", .unit = "", .x_name = "key"};
    for (int64_t key = 0; key < n; ++key) {
      series.x.push_back(static_cast<double>(key));
      series.y.push_back(static_cast<double>(implied.weights[static_cast<size_t>(key)]));
    }
    b_.scene.series.push_back(std::move(series));
    const int axis = b_.scene.add_axis(std::move(keys));
    b_.scene.regions.push_back({.rect = plot, .rows = 1, .cols = static_cast<int>(n), .col_axis = axis});
    b_.provenance(provenance_of(history_, implied.row, now_.layer, now_.head));
  }

  // One bar a key, or the greatest and the least of the keys that share a pixel.
  template <typename Y>
  void implied_bars(const std::vector<float>& weights, const Rect& plot, const Y& y_of) {
    const auto n = static_cast<int64_t>(weights.size());
    const auto n_bars = std::min<int64_t>(n, static_cast<int64_t>(plot.width));
    const auto bar = [&](int64_t i, float value, Paint paint) {
      const float left = plot.x + static_cast<float>(i) / static_cast<float>(n_bars) * plot.width;
      const float width =
          std::max(plot.width / static_cast<float>(n_bars) - (n_bars * 4 < plot.width ? 1.0f : 0.0f), 1.0f);
      const float from = std::min(y_of(0), y_of(static_cast<double>(value)));
      const float to = std::max(y_of(0), y_of(static_cast<double>(value)));
      if (to - from > 0.2f) b_.box({left, from, width, to - from}, paint);
    };
    for (int64_t i = 0; i < n_bars; ++i) {
      const auto begin = weights.begin() + i * n / n_bars;
      const auto end = weights.begin() + std::max((i + 1) * n / n_bars, i * n / n_bars + 1);
      const auto [least, most] = std::minmax_element(begin, end);
      if (*most > 0) bar(i, *most, Paint::of(ColourRole::kSeries1));
      if (*least < 0) bar(i, *least, Paint::of(ColourRole::kSeries3));
    }
  }

  const FrameHistory& history_;
  const ViewState& state_;
  SceneBuilder b_;
  const Selection now_;
  const int64_t n_;
  float gutter_ = 0;  // of the column being drawn, for the names of its rows
};

class StateView final : public View {
 public:
  std::string_view name() const override { return "state"; }
  std::string_view title() const override { return "Recurrent state"; }
  std::optional<std::string> unavailable(const RunInfo& info) const override {
    if (!state_layers(info.config).empty()) return std::nullopt;
    return "This model has no layers with a recurrent state.";
  }
  std::vector<Wanted> wanted(const FrameHistory& history, const ViewState& state) const override {
    const StepRange steps = visible_range(state.steps, history.n_steps());
    const int64_t step = std::max<int64_t>(resolve(history, state).step, 0);
    std::vector<Wanted> wanted;
    for (const Look& look : kLooks) {
      wanted.push_back({find_probe(state_probe_name(look.quantity)), steps.begin, steps.end});
    }
    wanted.push_back({find_probe("state.row"), step, step + 1});
    return wanted;
  }
  Scene scene(const SceneInput& input) const override { return StatePicture(input).draw(); }
};

}  // namespace

const View& state_view() {
  static const StateView kView;
  return kView;
}

}  // namespace orrery
