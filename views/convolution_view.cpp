// Short convolutions: what their gates let through, how far back each layer looks, and which tokens the selected one's
// taps read. Layers x tokens of the gates, layers x taps at the selected step; of one layer taps x tokens, and its
// taps.
#include <algorithm>
#include <array>
#include <cmath>

#include "probes/model_axes.h"
#include "views/conv_cells.h"
#include "views/head_maps.h"
#include "views/scene_builder.h"
#include "views/step_names.h"
#include "views/views.h"

namespace orrery {
namespace {

constexpr float kLeastTwoColumns = 600;  // of the body, for all layers and one layer to stand side by side
constexpr float kLeastStacked = 200;     // of an area, for two charts to stand one below the other
constexpr float kLeastCell = 1.5f;
constexpr float kMostPitch = 30;       // of a layer's row in the table of taps, below gates
constexpr float kMostPitchAlone = 64;  // of one that has the column to itself
constexpr float kLeastLowMap = 24;     // of the same, with the bar of its colours
constexpr float kLeastMap = 110;       // height of the taps over steps, for the bars to stand below
constexpr float kGap = 18;

constexpr int kGateScale = 0;  // both gates by one scale
const std::array<HeadLook, 2> kGates{{
    {{.probe = "conv.gate_in", .kind = MixerKind::kShortConv, .together = Together::kMean},
     "gate before the convolution, mean size",
     Transfer::kLinear,
     kGateScale},
    {{.probe = "conv.gate_out", .kind = MixerKind::kShortConv, .together = Together::kMean},
     "gate after the convolution, mean size",
     Transfer::kLinear,
     kGateScale},
}};

// The layer that is drawn: the selected one, else the first with a convolution.
Selection selection_of(const FrameHistory& history, const ViewState& state) {
  Selection now = resolve(history, state);
  const std::vector<int32_t> layers = conv_layers(history.info().config);
  if (state.selected.layer < 0 && !layers.empty()) now.layer = layers.front();
  now.head = -1;  // convolutions have channels, which are taken together
  return now;
}

class ConvolutionPicture {
 public:
  explicit ConvolutionPicture(const SceneInput& input)
      : input_(input),
        history_(input.history),
        state_(input.state),
        b_(input, "convolution", "Convolution"),
        now_(selection_of(input.history, input.state)),
        n_(history_.n_processed()) {
    b_.scene.selection = now_;
  }

  Scene draw() {
    if (b_.says_why_empty(convolution_view(), history_)) return b_.finish();
    taps_ = taps_at(history_, now_.layer, now_.step);
    b_.subtitle(layer_name(history_.info(), now_.layer) + " · " + step_text(history_, now_.step));
    const Rect body = b_.body;
    if (body.width >= kLeastTwoColumns) {
      const float width = (body.width - kGap) / 2;
      all_layers({body.x, body.y, width, body.height});
      one_layer({body.x + width + kGap, body.y, width, body.height});
    } else {
      one_layer(body);
    }
    return b_.finish();
  }

 private:
  // --- every layer: gates over steps, taps at the selected step ---
  void all_layers(Rect area) {
    if (!gated_conv_layers(history_.info().config).empty()) {
      if (area.height < kLeastStacked) return HeadMaps(b_, input_, now_, kGates).draw(area);
      const TapTable table = tap_table(history_, now_.step);
      const float needs = table_height(table);
      const float height = std::min(needs, area.height * 0.4f);
      HeadMaps(b_, input_, now_, kGates).draw(area.inset(0, 0, 0, height + 8));
      area = area.inset(0, area.height - height, 0, 0);
    }
    layers_by_taps(area, gated_conv_layers(history_.info().config).empty() ? kMostPitchAlone : kMostPitch);
  }

  float foot() const { return b_.label() + 4 + b_.scale_bar_height() + 4; }
  float table_height(const TapTable& table) const {
    return b_.heading_height() + foot() + kMostPitch * static_cast<float>(table.layers.size());
  }

  void layers_by_taps(const Rect& area, float most_pitch) {
    const TapTable table = tap_table(history_, now_.step);
    const float gutter = std::min(b_.names_width(history_.info(), table.layers), area.width * 0.35f) + 8;
    Rect plot = area.inset(gutter, b_.heading_height(), 2, foot());
    if (plot.width < 20 || plot.height < 10) return;
    plot.height = std::min(plot.height, most_pitch * static_cast<float>(table.layers.size()));
    b_.label({area.x, area.y + b_.label() / 2}, "layers × taps at step " + std::to_string(now_.step), area.width);
    const int scale = b_.scene.add_scale({.high = std::max(table.high, 1e-6f), .transfer = Transfer::kSquareRoot});
    b_.box(plot, Paint::of(ColourRole::kGrid, 0.35f), Paint::of(ColourRole::kGrid));
    if (!table.row) b_.hatch(plot);
    SceneAxis cols{.name = "tap", .end = table.cols};
    std::vector<double> ticks;
    for (int tap = 0; tap < table.cols; ++tap) cols.labels.push_back(tap_name(table.cols - 1 - tap));
    const float pitch_x = plot.width / static_cast<float>(table.cols);
    for (int tap = 0; tap < table.cols; ++tap) {
      const float x = plot.x + (static_cast<float>(tap) + 0.5f) * pitch_x;
      const std::string& name = cols.labels[static_cast<size_t>(tap)];
      cols.ticks.push_back({static_cast<double>(tap), name, x});
      if (b_.width(name, TextSize::kLabel) + 4 > pitch_x) continue;
      b_.label({x, plot.bottom() + 2 + b_.label() / 2}, name, pitch_x, Align::kCentre, Paint::of(ColourRole::kMuted),
               TextRole::kTick);
    }
    SceneAxis rows = layer_rows(history_.info(), table.layers);
    b_.row_names(rows, plot, gutter - 6, now_.layer);
    const int row_axis = b_.scene.add_axis(std::move(rows));
    const int col_axis = b_.scene.add_axis(std::move(cols));
    const auto n_rows = static_cast<int>(table.layers.size());
    const int tile = b_.scene.add(Tile{.name = "taps by layer",
                                       .rect = plot,
                                       .rows = n_rows,
                                       .cols = table.cols,
                                       .values = table.values,
                                       .scale = scale,
                                       .row_axis = row_axis,
                                       .col_axis = col_axis,
                                       .probe = "conv.taps"});
    numbers(table, plot, scale);
    b_.scene.regions.push_back({.rect = plot,
                                .rows = n_rows,
                                .cols = table.cols,
                                .row_axis = row_axis,
                                .col_axis = col_axis,
                                .tile_item = tile});
    mark_layer(table.layers, plot);
    b_.scale_bar({plot.x, plot.bottom() + b_.label() + 7, plot.width, 0}, scale, "mean size of a tap's part",
                 format_value);
    if (has_blanks(table)) {
      b_.note(history_.info().config.loop.any()
                  ? "Grey in layers × taps: no such tap, or the token was not in that iteration."
                  : "Grey in layers × taps: the layer has no such tap.");
    }
    if (table.row) b_.provenance(provenance_of(history_, table.row));
  }

  static bool has_blanks(const TapTable& table) {
    return table.row && std::ranges::any_of(table.values, [](float value) { return std::isnan(value); });
  }

  void numbers(const TapTable& table, const Rect& plot, int scale) {
    const float w = plot.width / static_cast<float>(table.cols);
    const float h = plot.height / static_cast<float>(table.layers.size());
    if (h < b_.label()) return;
    for (size_t i = 0; i < table.values.size(); ++i) {
      const std::string number = format_value(static_cast<double>(table.values[i]));
      if (std::isnan(table.values[i]) || b_.width(number, TextSize::kLabel) + 4 > w) continue;
      const auto row = static_cast<float>(i / static_cast<size_t>(table.cols));
      const auto col = static_cast<float>(i % static_cast<size_t>(table.cols));
      b_.cell_number({plot.x + (col + 0.5f) * w, plot.y + (row + 0.5f) * h}, number, scale, table.values[i]);
    }
  }

  void mark_layer(const std::vector<int32_t>& layers, const Rect& plot) {
    const auto found = std::ranges::find(layers, now_.layer);
    if (found == layers.end()) return;
    const float pitch = plot.height / static_cast<float>(layers.size());
    b_.box({plot.x, plot.y + static_cast<float>(found - layers.begin()) * pitch, plot.width, pitch}, Paint::none(),
           Paint::of(ColourRole::kAccent, 0.8f));
  }

  // --- one layer: its taps over steps, and at the selected one ---
  void one_layer(const Rect& area) {
    const int n_taps = conv_taps_in(history_.info().config.layers[static_cast<size_t>(now_.layer)]);
    if (n_taps == 0) {
      b_.body = area;
      return b_.message("Layer " + layer_name(history_.info(), now_.layer) +
                        " has no short convolution: choose another.");
    }
    // Bars with their names, and the map where there is room for both.
    const float least_bars = b_.heading_height() + b_.label() * (1.2f * static_cast<float>(n_taps) + 1) + 4;
    if (area.height < least_bars) return taps_by_steps(area);
    if (area.height < least_bars + kLeastMap) return bars(area);
    const float height = std::max(std::clamp(area.height * 0.42f, 90.0f, 320.0f), least_bars);
    taps_by_steps(area.inset(0, 0, 0, height + 8));
    bars({area.x, area.bottom() - height, area.width, height});
  }

  void taps_by_steps(const Rect& area) {
    const float gutter = b_.width("t-00", TextSize::kLabel) + 8;
    // In a low dock the map comes before the bar of its colours.
    const bool has_bar = area.height >= b_.heading_height() + foot() + kLeastLowMap;
    const Rect plot = area.inset(gutter, b_.heading_height(), 2, has_bar ? foot() : b_.label() + 4);
    if (plot.width < 20 || plot.height < 10) return;
    const StepRange steps = visible_range(state_.steps, n_);
    const TapMap map = tap_map(history_, now_.layer, steps, static_cast<int>(plot.width / kLeastCell));
    b_.label({area.x, area.y + b_.label() / 2}, "taps × tokens of " + layer_name(history_.info(), now_.layer),
             area.width);
    const int scale = b_.scene.add_scale({.high = std::max(map.high, 1e-6f), .transfer = Transfer::kSquareRoot});
    b_.box(plot, Paint::none(), Paint::of(ColourRole::kGrid));
    const int64_t end = steps.begin + static_cast<int64_t>(map.cols) * map.steps_per_col;
    const auto x_of = [&](int64_t step) {
      const auto span = static_cast<float>(std::max<int64_t>(end - steps.begin, 1));
      return plot.x + static_cast<float>(step - steps.begin) / span * plot.width;
    };
    for (const StepRange& missing : map.missing) {
      b_.hatch({x_of(missing.begin), plot.y, x_of(std::min(missing.end, end)) - x_of(missing.begin), plot.height});
    }
    if (map.cols > 0) add_tap_tile(map, plot, scale, end);
    const auto column = [&](int64_t step, Paint paint) {
      if (step < steps.begin || step >= steps.end) return;
      const float x = (x_of(step) + x_of(step + 1)) / 2;
      b_.rule({x, plot.y}, {x, plot.bottom()}, paint);
    };
    column(state_.hovered.step, Paint::of(ColourRole::kHover, 0.7f));
    column(now_.step, Paint::of(ColourRole::kAccent));
    if (has_bar) {
      b_.scale_bar({plot.x, plot.bottom() + b_.label() + 7, plot.width, 0}, scale, "mean size of a tap's part",
                   format_value);
    }
    if (!map.missing.empty()) b_.note("Hatched: not recorded, or not held.");
    if (map.steps_per_col > 1) {
      b_.note("Each column shows the last of its " + std::to_string(map.steps_per_col) + " steps.");
    }
    if (!map.row) return;
    Provenance p = provenance_of(history_, map.row, now_.layer);
    p.step_begin = steps.begin;
    p.step_end = steps.end;
    b_.provenance(std::move(p));
  }

  void add_tap_tile(const TapMap& map, const Rect& plot, int scale, int64_t end) {
    SceneAxis rows{.name = "tap", .end = map.rows};
    const float pitch = plot.height / static_cast<float>(map.rows);
    const auto every = static_cast<int>(std::max(1.0f, std::ceil(b_.label() / pitch)));
    for (int tap = 0; tap < map.rows; ++tap) {
      const int back = map.rows - 1 - tap;
      const float y = plot.y + (static_cast<float>(tap) + 0.5f) * pitch;
      rows.labels.push_back(tap_name(back));
      rows.ticks.push_back({static_cast<double>(tap), rows.labels.back(), y});
      if (back % every != 0) continue;
      b_.label({plot.x - 5, y}, rows.labels.back(), plot.x, Align::kRight, Paint::of(ColourRole::kMuted),
               TextRole::kTick);
    }
    SceneAxis cols = b_.step_axis(plot, map.steps, map.steps_per_col, end);
    const int row_axis = b_.scene.add_axis(std::move(rows));
    const int col_axis = b_.scene.add_axis(std::move(cols));
    const int tile = b_.scene.add(Tile{.name = "taps by step",
                                       .rect = plot,
                                       .rows = map.rows,
                                       .cols = map.cols,
                                       .values = map.values,
                                       .scale = scale,
                                       .row_axis = row_axis,
                                       .col_axis = col_axis,
                                       .probe = "conv.taps"});
    Selection base;
    base.layer = now_.layer;
    b_.scene.regions.push_back({.rect = plot,
                                .rows = map.rows,
                                .cols = map.cols,
                                .row_axis = row_axis,
                                .col_axis = col_axis,
                                .tile_item = tile,
                                .base = base,
                                .wheel_zooms_steps = true});
  }

  // "t-2 ␣the": the tap, and the token that it reads there.
  std::string tap_label(int back) const {
    const int64_t step = now_.step - back;
    return tap_name(back) + " " + (step < 0 ? "before the text" : token_at(history_, step));
  }

  // A bar a tap, by the token that it reads.
  void bars(const Rect& area) {
    const float lh = b_.label();
    b_.label({area.x, area.y + lh / 2},
             "what " + token_at(history_, now_.step) + " at step " + std::to_string(now_.step) + " is made of, by tap",
             area.width, Align::kLeft, Paint::of(ColourRole::kForeground));
    const int n = conv_taps_in(history_.info().config.layers[static_cast<size_t>(now_.layer)]);
    float gutter = 0;
    for (int tap = 0; tap < n; ++tap) gutter = std::max(gutter, b_.width(tap_label(n - 1 - tap), TextSize::kLabel));
    gutter = std::min(gutter, area.width * 0.4f) + 8;
    const float value_width = b_.width("0.0000", TextSize::kLabel) + 8;
    Rect plot = area.inset(gutter, b_.heading_height(), value_width, lh + 4);
    if (plot.width < 20 || plot.height < 10) return;
    plot.height = std::min(plot.height, 3.6f * lh * static_cast<float>(n));
    b_.box(plot, Paint::none(), Paint::of(ColourRole::kGrid));
    if (taps_.values.empty()) {
      b_.hatch(plot);
      return b_.note("conv.taps is not recorded at step " + std::to_string(now_.step) + ".");
    }
    float most = 1e-6f;
    for (const float value : taps_.values) most = value > most ? value : most;
    const auto high = static_cast<double>(most);
    b_.axis({.plot = plot,
             .high = high,
             .ticks = round_ticks(0, high, std::max(1, static_cast<int>(plot.width / 80)), false),
             .format = format_tick});
    Series series{.name = "taps", .probe = "conv.taps", .unit = "", .x_name = "tap"};
    const float pitch = plot.height / static_cast<float>(n);
    for (int tap = 0; tap < static_cast<int>(taps_.values.size()); ++tap)
      bar(tap, n, plot, pitch, gutter, most, series);
    b_.scene.series.push_back(std::move(series));
    b_.provenance(provenance_of(history_, taps_.row, now_.layer));
  }

  void bar(int tap, int n, const Rect& plot, float pitch, float gutter, float most, Series& series) {
    const int back = n - 1 - tap;
    const float value = taps_.values[static_cast<size_t>(tap)];
    const float top = plot.y + static_cast<float>(tap) * pitch;
    const bool is_read = state_.selected.key >= 0 && state_.selected.key == now_.step - back;
    series.x.push_back(-back);
    series.y.push_back(static_cast<double>(value));
    series.labels.push_back(tap_label(back));
    if (!std::isnan(value)) {
      const float width = value / most * plot.width;
      b_.box({plot.x, top + pitch * 0.15f, width, pitch * 0.7f}, Paint::of(ColourRole::kSeries1));
      if (pitch >= b_.label()) {
        b_.label({plot.x + width + 5, top + pitch / 2}, format_value(static_cast<double>(value)),
                 plot.right() - plot.x - width + b_.width("0.0000", TextSize::kLabel) + 3, Align::kLeft,
                 Paint::of(ColourRole::kMuted), TextRole::kValue);
      }
    }
    if (pitch >= b_.label()) {
      b_.label({plot.x - 5, top + pitch / 2}, tap_label(back), gutter - 6, Align::kRight,
               Paint::of(is_read ? ColourRole::kAccent : ColourRole::kForeground), TextRole::kToken);
    }
    HitRegion region{.rect = {plot.x - gutter, top, plot.width + gutter, pitch},
                     .tooltip = tap_label(back) + "\nconv.taps: " + format_value(static_cast<double>(value))};
    if (const int64_t step = now_.step - back; step >= 0) {
      region.click = Select{.key = step};
      region.hover = Hover{{.key = step}};
    }
    b_.scene.regions.push_back(std::move(region));
  }

  const SceneInput& input_;
  const FrameHistory& history_;
  const ViewState& state_;
  SceneBuilder b_;
  const Selection now_;
  const int64_t n_;
  Taps taps_;
};

class ConvolutionView final : public View {
 public:
  std::string_view name() const override { return "convolution"; }
  std::string_view title() const override { return "Convolution"; }
  std::optional<std::string> unavailable(const RunInfo& info) const override {
    if (!conv_layers(info.config).empty()) return std::nullopt;
    return "This model has no short convolutions.";
  }
  std::vector<Wanted> wanted(const FrameHistory& history, const ViewState& state) const override {
    const StepRange steps = visible_range(state.steps, history.n_steps());
    const int64_t step = std::max<int64_t>(resolve(history, state).step, 0);
    return {{find_probe("conv.taps"), step, step + 1},
            {find_probe("conv.taps"), steps.begin, steps.end},
            {find_probe("conv.gate_in"), steps.begin, steps.end},
            {find_probe("conv.gate_out"), steps.begin, steps.end}};
  }
  Scene scene(const SceneInput& input) const override { return ConvolutionPicture(input).draw(); }
};

}  // namespace

const View& convolution_view() {
  static const ConvolutionView kView;
  return kView;
}

}  // namespace orrery
