// Routing: where each layer's router sends the selected token, and how the tokens up to it were shared out; layers x
// experts, and the experts of one layer against what equal shares would be.
#include <algorithm>
#include <cmath>

#include "probes/model_axes.h"
#include "views/bins.h"
#include "views/routing_cells.h"
#include "views/scene_builder.h"
#include "views/token_text.h"
#include "views/views.h"

namespace orrery {
namespace {

constexpr float kLeastTwoMaps = 560;     // of the body, for the two maps to stand side by side
constexpr float kLeastBarsHeight = 250;  // of the body, for one layer's shares to stand below
constexpr float kLeastStacked = 200;     // of the body, for the maps to stand one below the other
constexpr float kLeastBeside = 300;      // of a low body, for them to stand side by side with one gutter
constexpr float kMostPitch = 30;         // of a layer's row
constexpr float kLeastCell = 2;
constexpr const char* kNowHeading = "layers × experts, this token: weight of those it goes to";
constexpr float kGap = 18;
constexpr size_t kMostNamed = 8;  // experts of a token that are named in words

class RoutingPicture {
 public:
  explicit RoutingPicture(const SceneInput& input)
      : history_(input.history), state_(input.state), b_(input, "routing", "Routing"), n_(history_.n_processed()) {
    const std::vector<int32_t> layers = moe_layers(history_.info().config);
    int32_t& layer = b_.scene.selection.layer;
    if (state_.selected.layer < 0 && !layers.empty() && !std::ranges::binary_search(layers, layer)) {
      layer = layers.front();
    }
    now_ = b_.scene.selection;
  }

  Scene draw() {
    if (b_.says_why_empty(routing_view(), history_)) return b_.finish();
    cells_ = routing_cells(history_, visible_range(state_.steps, n_), now_.step);
    if (cells_.layers.empty() || cells_.n_columns == 0) {
      b_.message("This model has more experts than a picture can hold.");
      return b_.finish();
    }
    const auto found = std::ranges::find(cells_.layers, now_.layer);
    row_ = static_cast<size_t>(found - cells_.layers.begin());
    subtitle();
    Rect area = b_.body;
    if (area.height >= kLeastBarsHeight) {
      // The maps take what their rows need, the bars the rest.
      const float least = std::clamp(area.height * 0.34f, 100.0f, 260.0f);
      const float height = std::max(least, area.height - maps_height(area.width) - 8);
      shares_of_layer({area.x, area.bottom() - height, area.width, height});
      area = area.inset(0, 0, 0, height + 8);
    }
    maps(area);
    record_uniform();
    provenance();
    return b_.finish();
  }

 private:
  void subtitle() {
    std::string text = "step " + std::to_string(now_.step);
    if (now_.step >= 0 && now_.step < history_.n_steps()) {
      text += " " + token_label(history_.tokens()[static_cast<size_t>(now_.step)].bytes);
    }
    b_.subtitle(text + ": " + std::to_string(cells_.n_tokens) + (cells_.n_tokens == 1 ? " token" : " tokens") +
                " counted");
  }

  // --- layers x experts ---
  float foot(bool has_bar) const { return b_.label() + 4 + (has_bar ? b_.scale_bar_height() + 4 : 0); }
  float heading() const { return 1.5f * b_.label() + 1; }  // with the upper half of the topmost name or tick

  float maps_height(float width) const {
    const float each = heading() + foot(true) + kMostPitch * static_cast<float>(cells_.layers.size());
    return width >= kLeastTwoMaps ? each : 2 * each + 8;
  }

  void maps(const Rect& area) {
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
  }

  void now_map(const Rect& area, float gutter, const std::string& text) {
    map(area, gutter, text, "moe.weights", cells_.weights, "weight");
  }
  void counted_map(const Rect& area, float gutter, const std::string& text) {
    map(area, gutter, text, "moe.experts", cells_.shares, uniform_text());
  }

  // "layers × experts, steps 0–211: share of 212 tokens sent to each"
  std::string counted_text() const {
    return "layers × experts, steps " + std::to_string(cells_.counted.begin) + "–" +
           std::to_string(cells_.counted.end - 1) + ": share of " + std::to_string(cells_.n_tokens) +
           (cells_.n_tokens == 1 ? " token" : " tokens") + " sent to each expert";
  }

  // "equal shares would be 12.5 %"; a range where layers differ.
  std::string uniform_text() const {
    double least = cells_.uniform(0);
    double most = least;
    for (size_t row = 1; row < cells_.layers.size(); ++row) {
      least = std::min(least, cells_.uniform(row));
      most = std::max(most, cells_.uniform(row));
    }
    return "equal shares: " + format_percent(least) + (most > least ? " to " + format_percent(most) : "");
  }

  void map(const Rect& area, float gutter, const std::string& text, const char* probe, const std::vector<float>& values,
           const std::string& scale_name) {
    const float lh = b_.label();
    const bool has_bar = area.height >= 110;
    Rect plot = area.inset(gutter, heading(), 2, foot(has_bar));
    if (plot.width < 20 || plot.height < 10) return;
    plot.height = std::min(plot.height, kMostPitch * static_cast<float>(cells_.layers.size()));
    b_.label({gutter > 0 ? area.x : plot.x, area.y + lh / 2}, text, area.width);
    float high = 0;
    for (const float value : values) high = value > high ? value : high;
    const int scale = b_.scene.add_scale({.low = 0, .high = high > 0 ? high : 1, .transfer = Transfer::kSquareRoot});
    b_.box(plot, Paint::none(), Paint::of(ColourRole::kGrid));
    const bool any = std::ranges::any_of(values, [](float value) { return !std::isnan(value); });
    if (!any) b_.hatch(plot);
    add_tile(plot, gutter, probe, values, scale);
    if (!has_bar) return;
    b_.scale_bar({plot.x, plot.bottom() + lh + 7, plot.width, 0}, scale, scale_name,
                 scale_name == "weight" ? format_value : format_percent);
  }

  float gutter_width(float width) const {
    float gutter = 0;
    for (const int32_t layer : cells_.layers) {
      gutter = std::max(gutter, b_.width(layer_name(history_.info(), layer), TextSize::kLabel));
    }
    return std::min(gutter, width * 0.35f) + 8;
  }

  void add_tile(const Rect& plot, float gutter, const char* probe, const std::vector<float>& values, int scale) {
    SceneAxis rows{.name = "layer", .means = SceneAxis::Means::kLayer};
    const float pitch = plot.height / static_cast<float>(cells_.layers.size());
    const auto every = static_cast<size_t>(std::max(1.0f, std::ceil(b_.label() / pitch)));
    for (size_t i = 0; i < cells_.layers.size(); ++i) {
      rows.ids.push_back(cells_.layers[i]);
      rows.labels.push_back(layer_name(history_.info(), cells_.layers[i]));
      const float y = plot.y + (static_cast<float>(i) + 0.5f) * pitch;
      rows.ticks.push_back({static_cast<double>(cells_.layers[i]), rows.labels.back(), y});
      if (i % every != 0 || gutter <= 0) continue;
      b_.label({plot.x - 5, y}, rows.labels.back(), gutter - 6, Align::kRight,
               Paint::of(i == row_ ? ColourRole::kForeground : ColourRole::kMuted), TextRole::kTick);
    }
    const int64_t per_cell = bin_size(cells_.n_columns, static_cast<int>(plot.width / kLeastCell));
    const auto n_cols = static_cast<int>(ceil_div(cells_.n_columns, per_cell));
    if (per_cell > 1) note_once("Each cell shows the greatest of " + std::to_string(per_cell) + " experts.");
    SceneAxis cols{.name = "expert", .end = cells_.n_columns, .per_cell = per_cell};
    const auto high = static_cast<double>(n_cols * per_cell);
    cols.ticks =
        b_.axis({.plot = plot,
                 .high = high,
                 .ticks = round_ticks(0, static_cast<double>(cells_.n_columns - 1),
                                      std::clamp(static_cast<int>(plot.width / 40), 1, cells_.n_columns), true),
                 .grid = false,
                 .cells = true});
    const int row_axis = b_.scene.add_axis(std::move(rows));
    const int col_axis = b_.scene.add_axis(std::move(cols));
    const int tile = b_.scene.add(Tile{.name = std::string_view(probe) == "moe.weights" ? "this token" : "cumulative",
                                       .rect = plot,
                                       .rows = static_cast<int>(cells_.layers.size()),
                                       .cols = n_cols,
                                       .values = greatest_in_bins(values, cells_.n_columns, per_cell),
                                       .scale = scale,
                                       .row_axis = row_axis,
                                       .col_axis = col_axis,
                                       .probe = probe});
    b_.scene.regions.push_back({.rect = plot,
                                .rows = static_cast<int>(cells_.layers.size()),
                                .cols = n_cols,
                                .row_axis = row_axis,
                                .col_axis = col_axis,
                                .tile_item = tile});
    if (row_ == cells_.layers.size()) return;
    b_.box({plot.x, plot.y + static_cast<float>(row_) * pitch, plot.width, pitch}, Paint::none(),
           Paint::of(ColourRole::kAccent));
  }

  void note_once(std::string sentence) {
    if (std::ranges::find(b_.scene.notes, sentence) == b_.scene.notes.end()) b_.note(std::move(sentence));
  }

  // --- one layer: the shares of its experts against equal ones ---
  void shares_of_layer(const Rect& area) {
    const float lh = b_.label();
    const std::string name = layer_name(history_.info(), now_.layer);
    if (row_ == cells_.layers.size()) {
      b_.label({area.x, area.y + lh / 2}, "Layer " + name + " has no experts: choose another layer.", area.width);
      return;
    }
    b_.label({area.x, area.y + lh / 2}, name + ", share by expert; this token: " + chosen_text(), area.width);
    const int32_t n_experts = cells_.n_experts[row_];
    const Rect plot = area.inset(b_.width("100.0 %", TextSize::kLabel) + 6, heading(), 2, lh + 4);
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
    b_.axis({.plot = plot,
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
  }

  // "expert 17 0.42, 3 0.31; margin 0.012; line: equal shares, 12.5 % (2 of 16)"
  std::string chosen_text() const {
    std::string text;
    const std::vector<ChosenExpert> chosen = chosen_experts(history_, now_.layer, now_.step);
    for (size_t i = 0; i < std::min(chosen.size(), kMostNamed); ++i) {
      text += i == 0 ? (chosen.size() == 1 ? "expert " : "experts ") : ", ";
      text += std::to_string(chosen[i].expert) + " (" + format_value(static_cast<double>(chosen[i].weight)) + ")";
    }
    if (chosen.size() > kMostNamed) text += ", …";
    if (chosen.empty()) text = "not recorded";
    for (const auto& [name, probe] : {std::pair{"margin ", "moe.margin"}, std::pair{"entropy ", "moe.entropy"}}) {
      const FrameRow row = history_.row(*find_probe(probe), now_.step);
      const std::span<const float> value = row ? row.layer_f32(now_.layer) : std::span<const float>{};
      if (!value.empty() && !std::isnan(value[0])) text += "; " + (name + format_value(static_cast<double>(value[0])));
    }
    return text + "; line: equal shares, " + format_percent(cells_.uniform(row_)) + " (" +
           std::to_string(cells_.n_chosen[row_]) + " of " + std::to_string(cells_.n_experts[row_]) + ")";
  }

  // One bar an expert, or the greatest of those that share a pixel.
  void bars(std::span<const float> shares, const Rect& plot, double high) {
    const auto n = static_cast<int64_t>(shares.size());
    const auto n_bars = std::min<int64_t>(n, static_cast<int64_t>(plot.width / 2));
    const float pitch = plot.width / static_cast<float>(n_bars);
    const float gap = pitch >= 5 ? 1.0f : 0.0f;
    for (int64_t i = 0; i < n_bars; ++i) {
      const int64_t begin = i * n / n_bars;
      const int64_t end = std::max((i + 1) * n / n_bars, begin + 1);
      const float most = std::ranges::max(shares.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
      const float height = static_cast<float>(static_cast<double>(most) / high) * plot.height;
      b_.box({plot.x + static_cast<float>(i) * pitch, plot.bottom() - height, pitch - gap, height},
             Paint::of(ColourRole::kSeries1));
    }
  }

  void record_uniform() {
    Series series{.name = "equal shares by layer", .probe = "", .unit = "", .x_name = "layer"};
    for (size_t row = 0; row < cells_.layers.size(); ++row) {
      series.x.push_back(cells_.layers[row]);
      series.y.push_back(cells_.uniform(row));
    }
    b_.scene.series.push_back(std::move(series));
    b_.note(counted_text() + "; " + uniform_text() + ".");
  }

  void provenance() {
    if (cells_.weights_row) b_.provenance(provenance_of(history_, cells_.weights_row));
    if (!cells_.chosen_row) return;
    Provenance p = provenance_of(history_, cells_.chosen_row);
    p.step_begin = cells_.counted.begin;
    p.step_end = cells_.counted.end;
    b_.provenance(std::move(p));
  }

  const FrameHistory& history_;
  const ViewState& state_;
  SceneBuilder b_;
  Selection now_;
  const int64_t n_;
  RoutingCells cells_;
  size_t row_ = 0;  // of the selected layer; cells_.layers.size() where it has no experts
};

class RoutingView final : public View {
 public:
  std::string_view name() const override { return "routing"; }
  std::string_view title() const override { return "Routing"; }
  std::optional<std::string> unavailable(const RunInfo& info) const override {
    if (!moe_layers(info.config).empty()) return std::nullopt;
    return "This model has no experts to choose among.";
  }
  std::vector<Wanted> wanted(const FrameHistory& history, const ViewState& state) const override {
    const StepRange steps = visible_range(state.steps, history.n_steps());
    const int64_t step = std::max<int64_t>(resolve(history, state).step, 0);
    const int64_t end = std::clamp(step + 1, steps.begin, steps.end);
    return {{find_probe("moe.experts"), std::max(steps.begin, end - RoutingCells::kMostSteps), end},
            {find_probe("moe.experts"), step, step + 1},
            {find_probe("moe.weights"), step, step + 1},
            {find_probe("moe.margin"), step, step + 1},
            {find_probe("moe.entropy"), step, step + 1}};
  }
  Scene scene(const SceneInput& input) const override { return RoutingPicture(input).draw(); }
};

}  // namespace

const View& routing_view() {
  static const RoutingView kView;
  return kView;
}

}  // namespace orrery
