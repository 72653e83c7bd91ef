// Loop: how often each token goes through the repeated layers (its text and a lane of tokens, tinted), how far every
// iteration moves it and in which direction (iterations x tokens), and for the selected token its steps and, where the
// model has a gate, the probabilities of stopping.
#include <algorithm>
#include <array>
#include <cmath>

#include "probes/model_axes.h"
#include "views/loop_cells.h"
#include "views/scene_builder.h"
#include "views/text_layout.h"
#include "views/token_text.h"
#include "views/views.h"

namespace orrery {
namespace {

constexpr float kLeastTwoColumns = 620;   // of the body's width, for the token's curves to stand beside the maps
constexpr float kLeastCurvesBelow = 420;  // else of its height, for them to stand below
constexpr float kLeastMapHeight = 14;
constexpr float kLeastCurve = 24;
constexpr float kLeastTextArea = 300;  // of the body's height, for the text to stand above
constexpr float kLeastCell = 1.5f;
constexpr float kGap = 18;
constexpr float kLaneHeight = 10;
constexpr float kBlank = 0.8f;  // alpha of what lies under the maps

struct Look {
  const char* probe;
  const char* title;
  ColourScale colours;  // high 0: the greatest value
};
constexpr std::array<Look, 2> kMaps{{
    {"loop.step",
     "change of the state, |Δh| / |h|: iterations × tokens",
     {.high = 0, .transfer = Transfer::kSquareRoot}},
    {"loop.cosine",
     "cosine with the change before: iterations × tokens",
     {.map = ColourMapId::kDiverging, .low = -1, .high = 1}},
}};

std::string rule_text(const LoopConfig& loop) {
  switch (loop.rule) {
    case ExitRule::kFixed:
      return "no early exit";
    case ExitRule::kGate:
      return "exit once the gate's probabilities reach " + format_value(static_cast<double>(loop.threshold));
    case ExitRule::kStep:
      return "exit at changes below " + format_value(static_cast<double>(loop.threshold));
    case ExitRule::kDivergence:
      return "exit at divergences below " + format_value(static_cast<double>(loop.threshold)) + " nats";
  }
  return "";
}

class LoopPicture {
 public:
  explicit LoopPicture(const SceneInput& input)
      : history_(input.history),
        state_(input.state),
        metrics_(input.metrics),
        b_(input, "loop", "Loop"),
        now_(b_.scene.selection),
        n_(history_.n_processed()),
        loop_(history_.info().config.loop) {}

  Scene draw() {
    if (b_.says_why_empty(loop_view(), history_)) return b_.finish();
    subtitle();
    depth_scale_ = b_.scene.add_scale(
        {.map = ColourMapId::kTint, .low = 0, .high = static_cast<float>(std::max(loop_.n_iterations, 1))});
    Rect area = b_.body;
    if (area.height >= kLeastTextArea) {
      const float height = std::clamp(area.height * 0.22f, 50.0f, 160.0f);
      area = area.inset(0, text({area.x, area.y, area.width, height}) + 8, 0, 0);
    }
    if (area.width >= kLeastTwoColumns && area.height >= least_curve()) {
      const float width = std::clamp(area.width * 0.34f, 200.0f, 460.0f);
      curves({area.right() - width, area.y, width, area.height});
      area = area.inset(0, 0, width + kGap, 0);
    } else if (area.height >= kLeastCurvesBelow) {
      const float height = area.height * 0.42f;
      curves({area.x, area.bottom() - height, area.width, height});
      area = area.inset(0, 0, 0, height + 8);
    }
    maps(area);
    return b_.finish();
  }

 private:
  const Probe& probe(const char* name) const { return *find_probe(name); }

  void subtitle() {
    std::string text = loop_.end - loop_.begin == 1
                           ? "layer " + std::to_string(loop_.begin)
                           : "layers " + std::to_string(loop_.begin) + "–" + std::to_string(loop_.end - 1);
    text += " up to " + std::to_string(loop_.n_iterations) + (loop_.n_iterations == 1 ? " time · " : " times · ");
    text += rule_text(loop_) + " · step " + std::to_string(now_.step);
    if (now_.step >= 0 && now_.step < history_.n_steps()) {
      text += " " + token_label(history_.tokens()[static_cast<size_t>(now_.step)].bytes);
    }
    const LoopTrace depth = loop_trace(history_, probe("loop.depth"), now_.step);
    text += depth.values.empty() ? ": not recorded"
                                 : ": " + std::to_string(static_cast<int>(depth.values[0])) + " of " +
                                       std::to_string(loop_.n_iterations);
    b_.subtitle(text);
  }

  // --- the text around the selected token, tinted by depth; returns the height that it takes ---
  float text(const Rect& area) {
    const float lh = b_.label();
    const float bar = std::min(area.width * 0.4f, 170.0f);
    b_.label({area.x, area.y + lh / 2}, "iterations of each token", area.width - bar - 8, Align::kLeft,
             Paint::of(ColourRole::kForeground));
    b_.scale_bar({area.right() - bar, area.y + 1, bar, 0}, depth_scale_, "", format_value);
    const Rect lines_area = area.inset(0, b_.scale_bar_height() + 4, 0, 0);
    const float pitch = b_.line(TextSize::kText) + 4;
    const auto capacity = static_cast<size_t>(std::max(0.0f, lines_area.height / pitch));
    if (capacity == 0 || lines_area.width < 40) return area.height;
    const int64_t anchor = std::clamp<int64_t>(now_.step, 0, history_.n_steps() - 1);
    const auto [begin, end] = layout_window(history_.tokens(), anchor);
    const std::vector<TextLine> lines = layout_text(history_.tokens(), begin, end, metrics_, lines_area.width);
    size_t at = 0;
    while (at + 1 < lines.size() && lines[at + 1].begin() <= anchor) ++at;
    const size_t latest = lines.size() - std::min(lines.size(), capacity);
    const size_t first = std::min(at - std::min(at, capacity / 2), latest);
    const size_t last = std::min(lines.size(), first + capacity);
    if (first == last) return area.height;
    const StepRange seen{lines[first].begin(), lines[last - 1].end()};
    const LoopMap depths = loop_map(history_, probe("loop.depth"), seen, static_cast<int>(seen.size()));
    Series series{.name = "depth", .probe = "loop.depth", .unit = "iterations", .x_name = "step"};
    for (int64_t step = seen.begin; step < seen.end; ++step) {
      series.x.push_back(static_cast<double>(step));
      series.y.push_back(static_cast<double>(depths.values[static_cast<size_t>(step - seen.begin)]));
      series.labels.push_back(token_label(history_.tokens()[static_cast<size_t>(step)].bytes));
    }
    const auto index = static_cast<int>(b_.scene.series.size());
    b_.scene.series.push_back(std::move(series));
    for (size_t i = first; i < last; ++i) {
      const float top = lines_area.y + static_cast<float>(i - first) * pitch;
      line(lines[i], {lines_area.x, top, lines_area.width, pitch}, depths, index);
    }
    return lines_area.y + static_cast<float>(last - first) * pitch - area.y;
  }

  void line(const TextLine& line, const Rect& place, const LoopMap& depths, int series) {
    HitRegion region{.rect = {place.x, place.y, 0, place.height}, .rows = 1};
    region.first_step = line.begin();
    region.series = series;
    for (const PlacedPiece& placed : line.pieces) {
      const float cell = placed.width / static_cast<float>(placed.piece.count);
      for (int64_t i = 0; i < placed.piece.count; ++i) {
        const int64_t step = placed.piece.first + i;
        const float x = place.x + placed.x + static_cast<float>(i) * cell;
        const Rect at{x, place.y + 1, std::max(cell - 1, 1.0f), place.height - 2};
        const float depth = depths.values[static_cast<size_t>(step - depths.steps.begin)];
        if (std::isnan(depth)) {
          b_.hatch(at);
        } else {
          b_.box(at, Paint::mapped(depth_scale_, depth));
        }
        if (step == now_.step) b_.box(at, Paint::none(), Paint::of(ColourRole::kAccent), 2, 3);
        if (step == state_.hovered.step) b_.box(at, Paint::none(), Paint::of(ColourRole::kHover), 1, 3);
        region.edges.push_back(x);
      }
      b_.text({.at = {place.x + placed.x, place.y + place.height / 2},
               .text = placed.piece.text,
               .size = TextSize::kText,
               .role = TextRole::kToken});
    }
    region.edges.push_back(place.x + line.pieces.back().x + line.pieces.back().width);
    region.rect.width = region.edges.back() - place.x;
    region.cols = static_cast<int>(region.edges.size()) - 1;
    b_.scene.regions.push_back(std::move(region));
  }

  // --- a lane of depths, and the two maps, one below the other on one axis of steps ---
  void maps(const Rect& area) {
    const float foot = b_.label() + 4;
    const float above = b_.scale_bar_height() + 4;
    gutter_ = b_.width(std::to_string(loop_.n_iterations), TextSize::kLabel) + 10;
    const float lane = b_.label() + 3 + kLaneHeight + 6;
    if (area.height < lane + foot || area.width - gutter_ < 24) return;
    const float rest = area.height - lane - foot;
    const auto fits = static_cast<size_t>(std::max(0.0f, rest / (above + kLeastMapHeight)));
    const size_t n_maps = std::min(fits, kMaps.size());
    const auto plot_at = [&](float top, float height) {
      return Rect{area.x + gutter_, top, area.width - gutter_ - 2, height};
    };
    b_.label({area.x + gutter_, area.y + b_.label() / 2}, "iterations, token by token", area.width - gutter_,
             Align::kLeft, Paint::of(ColourRole::kForeground));
    map("loop.depth", "depth", depth_scale_, plot_at(area.y + b_.label() + 3, kLaneHeight), n_maps == 0);
    for (size_t i = 0; i < n_maps; ++i) {
      const float pitch = rest / static_cast<float>(n_maps);
      const float top = area.y + lane + static_cast<float>(i) * pitch;
      titled_map(kMaps[i], plot_at(top + above, pitch - above - 6), i + 1 == n_maps);
    }
  }

  void titled_map(const Look& look, const Rect& plot, bool is_last) {
    ColourScale colours = look.colours;
    const LoopMap values = read(look.probe, plot);
    if (colours.high <= 0) colours.high = std::max(values.high, 1e-6f);
    const int scale = b_.scene.add_scale(colours);
    const float bar = std::min(plot.width * 0.45f, 150.0f);
    const float title_y = plot.y - b_.scale_bar_height() - 4 + b_.label() / 2;
    b_.label({plot.x, title_y}, look.title, plot.width - bar - 8, Align::kLeft, Paint::of(ColourRole::kForeground));
    b_.scale_bar({plot.right() - bar, title_y - b_.label() / 2 + 1, bar, 0}, scale, "", format_value);
    map(look.probe, look.title, scale, plot, is_last);
  }

  LoopMap read(const char* name, const Rect& plot) const {
    return loop_map(history_, probe(name), visible_range(state_.steps, n_), static_cast<int>(plot.width / kLeastCell));
  }

  void map(const char* name, const char* title, int scale, const Rect& plot, bool is_last) {
    const LoopMap map = read(name, plot);
    // Grey shows through where there is nothing: a middle cosine is as pale as the panel.
    b_.box(plot, Paint::of(ColourRole::kGrid, kBlank), Paint::of(ColourRole::kGrid));
    const int64_t end = map.steps.begin + static_cast<int64_t>(map.cols) * map.steps_per_col;
    for (const StepRange& missing : map.missing) b_.hatch(steps_rect(plot, map.steps.begin, end, missing));
    if (map.cols == 0) return;
    SceneAxis rows{.name = "iteration", .begin = 1, .end = map.rows + 1};
    if (map.rows > 1) iteration_labels(rows, plot);
    SceneAxis cols{.name = "step",
                   .unit = "token",
                   .means = SceneAxis::Means::kStep,
                   .begin = map.steps.begin,
                   .end = map.steps.end,
                   .per_cell = map.steps_per_col};
    if (is_last) cols.ticks = step_ticks(plot, map.steps.begin, end);
    const int row_axis = map.rows > 1 ? b_.scene.add_axis(std::move(rows)) : -1;
    const int col_axis = b_.scene.add_axis(std::move(cols));
    const int tile = b_.scene.add(Tile{.name = title,
                                       .rect = plot,
                                       .rows = map.rows,
                                       .cols = map.cols,
                                       .values = map.values,
                                       .scale = scale,
                                       .row_axis = row_axis,
                                       .col_axis = col_axis,
                                       .probe = name});
    b_.scene.regions.push_back({.rect = plot,
                                .rows = map.rows,
                                .cols = map.cols,
                                .row_axis = row_axis,
                                .col_axis = col_axis,
                                .tile_item = tile,
                                .wheel_zooms_steps = true});
    marks(map, plot, end);
    add_provenance(map);
  }

  static Rect steps_rect(const Rect& plot, int64_t begin, int64_t end, const StepRange& steps) {
    const float per_step = plot.width / static_cast<float>(std::max<int64_t>(end - begin, 1));
    return {plot.x + static_cast<float>(steps.begin - begin) * per_step, plot.y,
            static_cast<float>(std::min(steps.end, end) - steps.begin) * per_step, plot.height};
  }

  // As many numbers as fit, from 1.
  void iteration_labels(SceneAxis& rows, const Rect& plot) {
    const auto n = rows.end - rows.begin;
    const float pitch = plot.height / static_cast<float>(n);
    const auto every = static_cast<int64_t>(std::max(1.0f, std::ceil(b_.label() / pitch)));
    for (int64_t i = 0; i < n; i += every) {
      const float y = plot.y + (static_cast<float>(i) + 0.5f) * pitch;
      const std::string name = std::to_string(i + 1);
      rows.ticks.push_back({static_cast<double>(i + 1), name, y});
      b_.label({plot.x - 5, y}, name, gutter_ - 6, Align::kRight, Paint::of(ColourRole::kMuted), TextRole::kTick);
    }
  }

  std::vector<Tick> step_ticks(const Rect& plot, int64_t begin, int64_t end) {
    const auto low = static_cast<double>(begin), high = static_cast<double>(end);
    return b_.axis({.plot = plot,
                    .low = low,
                    .high = high,
                    .ticks = round_ticks(low, high - 1, static_cast<int>(plot.width / 70), true),
                    .grid = false,
                    .cells = true});
  }

  void marks(const LoopMap& map, const Rect& plot, int64_t end) {
    const auto column = [&](int64_t step, Paint paint) {
      if (step < map.steps.begin || step >= map.steps.end) return;
      const float x = steps_rect(plot, map.steps.begin, end, {step, step + 1}).centre().x;
      b_.rule({x, plot.y}, {x, plot.bottom()}, paint);
    };
    column(state_.hovered.step, Paint::of(ColourRole::kHover, 0.7f));
    column(now_.step, Paint::of(ColourRole::kAccent));
  }

  void add_provenance(const LoopMap& map) {
    if (!map.missing.empty()) note_once("Hatched: not recorded, or not held.");
    if (map.rows > 1 && has_blanks(map)) {
      note_once("Grey: the token was not in that iteration, or had no change before it.");
    }
    if (!map.row) return;
    Provenance p = provenance_of(history_, map.row);
    p.step_begin = map.steps.begin;
    p.step_end = map.steps.end;
    if (map.steps_per_col > 1) {
      note_once("Each column shows the last of its " + std::to_string(map.steps_per_col) + " steps.");
    }
    b_.provenance(std::move(p));
  }

  static bool has_blanks(const LoopMap& map) {
    return std::ranges::any_of(map.values, [](float value) { return std::isnan(value); });
  }

  void note_once(std::string sentence) {
    if (std::ranges::find(b_.scene.notes, sentence) == b_.scene.notes.end()) b_.note(std::move(sentence));
  }

  // --- the selected token: its steps, and its probabilities of stopping ---
  // Where both do not fit one below the other, what the maps do not have.
  void curves(const Rect& area) {
    const bool has_gate = has_loop_gate(history_.info().config);
    const bool has_both = has_gate && area.height >= 2 * least_curve() + 8;
    const float height = has_both ? (area.height - 8) / 2 : area.height;
    const std::string at = " at step " + std::to_string(now_.step);
    if (has_both || !has_gate) {
      bars({area.x, area.y, area.width, height}, "loop.step", "change of the state, |Δh| / |h|" + at, std::nullopt);
    }
    if (!has_gate) return;
    bars({area.x, area.bottom() - height, area.width, height}, "loop.exit", "probability of stopping" + at, 1.0);
  }

  // A title, some bars, ticks and what they count.
  float least_curve() const { return 3.5f * b_.label() + 6 + kLeastCurve; }

  void bars(const Rect& area, const char* name, const std::string& title, std::optional<double> fixed_high) {
    const float lh = b_.label();
    const LoopTrace trace = loop_trace(history_, probe(name), now_.step);
    b_.label({area.x, area.y + lh / 2}, title, area.width, Align::kLeft, Paint::of(ColourRole::kForeground));
    const float gutter = b_.width("0.0000", TextSize::kLabel) + 6;
    const Rect plot = area.inset(gutter, 1.5f * lh + 1, 2, 2 * lh + 5);
    if (plot.width < 20 || plot.height < 16) return;
    b_.box(plot, Paint::none(), Paint::of(ColourRole::kGrid));
    if (trace.values.empty()) {
      b_.hatch(plot);
      note_once("Hatched: not recorded, or not held.");
      return;
    }
    double high = fixed_high.value_or(1e-9);
    for (const float value : trace.values) {
      if (!fixed_high && static_cast<double>(value) > high) high = static_cast<double>(value);
    }
    SceneAxis values{.name = name, .unit = ""};
    values.ticks = b_.axis({.plot = plot,
                            .vertical = true,
                            .high = high,
                            .ticks = round_ticks(0, high, std::max(2, static_cast<int>(plot.height / 36)), false),
                            .format = format_tick});
    b_.scene.add_axis(std::move(values));
    const auto n = static_cast<int64_t>(trace.values.size());
    SceneAxis iterations{.name = "iteration", .begin = 1, .end = n + 1};
    iterations.ticks =
        b_.axis({.plot = plot,
                 .low = 1,
                 .high = static_cast<double>(n + 1),
                 .ticks = round_ticks(1, static_cast<double>(n), static_cast<int>(plot.width / 40), true),
                 .grid = false,
                 .cells = true});
    const int axis = b_.scene.add_axis(std::move(iterations));
    b_.label({plot.centre().x, area.bottom() - lh / 2}, "iteration", plot.width, Align::kCentre);
    Series series{.name = name, .probe = name, .unit = "", .x_name = "iteration"};
    const float pitch = plot.width / static_cast<float>(n);
    for (int64_t i = 0; i < n; ++i) {
      const float value = trace.values[static_cast<size_t>(i)];
      series.x.push_back(static_cast<double>(i + 1));
      series.y.push_back(static_cast<double>(value));
      if (std::isnan(value)) continue;
      const float height = static_cast<float>(static_cast<double>(value) / high) * plot.height;
      const float gap = pitch > 6 ? 2.0f : 0.0f;
      b_.box({plot.x + static_cast<float>(i) * pitch + gap / 2, plot.bottom() - height, pitch - gap, height},
             Paint::of(fixed_high ? ColourRole::kSeries2 : ColourRole::kSeries1));
    }
    b_.scene.series.push_back(std::move(series));
    b_.scene.regions.push_back({.rect = plot, .rows = 1, .cols = static_cast<int>(n), .col_axis = axis});
    b_.provenance(provenance_of(history_, trace.row));
  }

  const FrameHistory& history_;
  const ViewState& state_;
  const TextMetrics& metrics_;
  SceneBuilder b_;
  const Selection now_;
  const int64_t n_;
  const LoopConfig loop_;
  int depth_scale_ = 0;
  float gutter_ = 0;  // left of the maps, for the iterations' numbers
};

class LoopView final : public View {
 public:
  std::string_view name() const override { return "loop"; }
  std::string_view title() const override { return "Loop"; }
  std::optional<std::string> unavailable(const RunInfo& info) const override {
    if (has_loop(info.config)) return std::nullopt;
    return "This model has no loop: every token goes through each layer once.";
  }
  std::vector<Wanted> wanted(const FrameHistory& history, const ViewState& state) const override {
    if (history.n_steps() == 0) return {};
    const StepRange steps = visible_range(state.steps, history.n_steps());
    const int64_t step = std::clamp<int64_t>(resolve(history, state).step, 0, history.n_steps() - 1);
    const auto [begin, end] = layout_window(history.tokens(), step);
    std::vector<Wanted> wanted{{find_probe("loop.depth"), begin, end}, {find_probe("loop.step"), step, step + 1}};
    for (const char* name : {"loop.depth", "loop.step", "loop.cosine"}) {
      wanted.push_back({find_probe(name), steps.begin, steps.end});
    }
    if (has_loop_gate(history.info().config)) wanted.push_back({find_probe("loop.exit"), step, step + 1});
    return wanted;
  }
  Scene scene(const SceneInput& input) const override { return LoopPicture(input).draw(); }
};

}  // namespace

const View& loop_view() {
  static const LoopView kView;
  return kView;
}

}  // namespace orrery
