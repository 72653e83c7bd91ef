// Timeline: the whole run from left to right: segments, events, strips of scalars, the cursor. The window's scrubber.
#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>

#include "probes/model_axes.h"
#include "views/bins.h"
#include "views/computed_marks.h"
#include "views/registry.h"
#include "views/scene_builder.h"
#include "views/step_cells.h"
#include "views/token_scalars.h"
#include "views/token_text.h"
#include "views/utf8.h"

namespace orrery {
namespace {

constexpr float kLeastStripHeight = 16;
constexpr float kBandHeight = 5;
constexpr float kMargin = 8;

// What says most of a layer of this kind.
const char* scalar_of(const LayerConfig& layer) {
  if (layer.has(MixerKind::kAttention)) return "attention.distance";
  return layer.has(MixerKind::kMatrixState) ? "state.write" : "residual.norm";
}

// The scalar that the user chose, those of any run, and that of the selected layer.
std::vector<const TokenScalar*> chosen_scalars(const FrameHistory& history, const ViewState& state) {
  const std::vector<LayerConfig>& layers = history.info().config.layers;
  const int32_t layer = resolve(history, state).layer;
  const char* const of_layer = layer < 0 ? "residual.norm" : scalar_of(layers[static_cast<size_t>(layer)]);
  std::vector<const TokenScalar*> list{&shown_token_scalar(state)};
  for (const char* name : {"output.entropy", "token.probability", of_layer, "cache.bytes"}) {
    const TokenScalar* scalar = &find_token_scalar(name);
    if (std::find(list.begin(), list.end(), scalar) == list.end()) list.push_back(scalar);
  }
  return list;
}

// Many steps are read from cells of several. Numbers of heads are taken together over a layer, so their means are
// shown, of the others the greatest values. Scalars of what has no coarse levels are read from every step.
StepCells strip_cells(const TokenScalar& scalar, int64_t n) {
  const Probe& probe = *find_probe(scalar.probe);
  if (scalar.every_step) return {.steps = {0, n}};
  return step_cells(probe, {0, n}, probe.has_axis(Axis::kHead) ? Statistic::kMean : Statistic::kMax);
}

// Scalars of what has no coarse levels: of a long run only the steps around the selected one.
constexpr int64_t kMostSteps = 8192;

StepRange strip_steps(const StepCells& cells, int64_t cursor) {
  const StepRange all = cells.steps;
  if (cells.depth > 0 || all.size() <= kMostSteps) return all;
  const int64_t begin =
      std::clamp<int64_t>(cursor / (kMostSteps / 4) * (kMostSteps / 4) - kMostSteps / 2, 0, all.end - kMostSteps);
  return {begin, begin + kMostSteps};
}

// One value per step, or per cell, of all.
std::vector<float> strip_values(const TokenScalar& scalar, const FrameHistory& history, const StepCells& cells,
                                int64_t cursor, const TokenPlace& place) {
  if (cells.depth == 0) {
    const StepRange steps = strip_steps(cells, cursor);
    const std::vector<float> some = token_values(scalar, history, steps.begin, steps.end, place);
    std::vector<float> values(static_cast<size_t>(cells.steps.end), std::numeric_limits<float>::quiet_NaN());
    std::ranges::copy(some, values.begin() + steps.begin);
    return values;
  }
  const FrameHistory of_cells =
      history.cells_as_steps(*find_probe(scalar.probe), level_of(cells.statistic, cells.depth));
  const int64_t n_whole = history.n_processed() / cells.cell_steps();
  std::vector<float> values = token_values(scalar, of_cells, 0, n_whole, place);
  values.resize(static_cast<size_t>(ceil_div(cells.steps.end, cells.cell_steps())),
                std::numeric_limits<float>::quiet_NaN());
  return values;
}

class TimelinePicture {
 public:
  explicit TimelinePicture(const SceneInput& input)
      : history_(input.history),
        state_(input.state),
        notes_(input.notes),
        b_(input, "timeline", ""),
        now_(b_.scene.selection) {
    // A timeline is low: it has neither title nor footer lines.
    b_.body = Rect{0, 0, input.size.width, input.size.height}.inset(kMargin, 4, kMargin, 4);
  }

  Scene draw() {
    b_.scene.title = "Timeline";
    n_ = std::max(history_.n_steps(), history_.n_processed());
    if (n_ == 0) {
      b_.message("No tokens yet.");
      return b_.finish();
    }
    const float lh = b_.label();
    const bool named = b_.body.width >= 420;
    const float gutter =
        named ? std::min(b_.width("mean attention distance", TextSize::kLabel), b_.body.width * 0.2f) + 10 : 0;
    const float values = named ? b_.width("10.00 MiB", TextSize::kLabel) + 8 : 0;
    plot_ = b_.body.inset(gutter, 0, values, b_.body.height >= 2.5f * lh ? lh + 3 : 0);
    if (plot_.width < 10 || plot_.height < 4) return b_.finish();
    axis();
    band();
    strips(gutter, values);
    events();
    computed_marks();
    cursor();
    notes();
    return b_.finish();
  }

 private:
  float x_of(double step) const { return plot_.x + static_cast<float>(step / static_cast<double>(n_)) * plot_.width; }

  void axis() {
    SceneAxis steps{.name = "step", .unit = "token", .means = SceneAxis::Means::kStep, .begin = 0, .end = n_};
    const auto high = static_cast<double>(n_);
    if (plot_.bottom() < b_.body.bottom() - 2) {
      steps.ticks = b_.axis({.plot = plot_,
                             .high = high,
                             .ticks = round_ticks(0, high - 1, static_cast<int>(plot_.width / 80), true),
                             .grid = false,
                             .cells = true});
    }
    const int axis = b_.scene.add_axis(std::move(steps));
    b_.scene.regions.push_back({.rect = {plot_.x, 0, plot_.width, b_.scene.size.height},
                                .scrub = true,
                                .rows = 1,
                                .cols = static_cast<int>(std::min<int64_t>(n_, std::numeric_limits<int>::max())),
                                .col_axis = axis});
  }

  // Prompt and generated text, as runs of equal segments.
  void band() {
    const std::span<const Token> tokens = history_.tokens();
    const float height = std::min(kBandHeight, plot_.height);
    int n_boxes = 0;
    for (size_t i = 0; i < tokens.size() && n_boxes < 400;) {
      size_t j = i + 1;
      while (j < tokens.size() && tokens[j].segment == tokens[i].segment) ++j;
      const Paint paint = tokens[i].segment == Segment::kGenerated ? Paint::of(ColourRole::kSeries1, 0.8f)
                          : tokens[i].segment == Segment::kSystem  ? Paint::of(ColourRole::kSeries6, 0.45f)
                                                                   : Paint::of(ColourRole::kSeries6, 0.75f);
      b_.box(
          {x_of(static_cast<double>(i)), plot_.y, x_of(static_cast<double>(j)) - x_of(static_cast<double>(i)), height},
          paint);
      ++n_boxes;
      i = j;
    }
  }

  void strips(float gutter, float values_width) {
    const std::vector<const TokenScalar*> list = chosen_scalars(history_, state_);
    const Rect area = plot_.inset(0, kBandHeight + 3, 0, 2);
    const auto n = std::min(list.size(), static_cast<size_t>(std::max(0.0f, area.height / kLeastStripHeight)));
    for (size_t i = 0; i < n; ++i) {
      const float pitch = area.height / static_cast<float>(n);
      const Rect rect{area.x, area.y + static_cast<float>(i) * pitch, area.width, pitch - 3};
      strip(*list[i], rect, gutter, values_width);
    }
  }

  // The largest value, or the mean, of each pixel column; gaps where nothing is held.
  void strip(const TokenScalar& scalar, const Rect& rect, float gutter, float values_width) {
    const StepCells cells = strip_cells(scalar, n_);
    const std::vector<float> values = strip_values(scalar, history_, cells, now_.step, place_of(now_, state_));
    const auto n_values = static_cast<int64_t>(values.size());
    const auto columns = static_cast<int64_t>(std::clamp(rect.width / 1.5f, 1.0f, static_cast<float>(n_values)));
    Series series{.name = std::string(scalar.title),
                  .probe = std::string(scalar.probe),
                  .unit = std::string(scalar.unit),
                  .x_name = "step"};
    float high = scalar.fixed_high;
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t begin = c * n_values / columns;
      const int64_t end = std::max((c + 1) * n_values / columns, begin + 1);
      const float most = column_value(
          std::span(values).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)), cells.statistic);
      series.x.push_back(static_cast<double>(begin * cells.cell_steps()));
      series.y.push_back(static_cast<double>(most));
      if (scalar.fixed_high <= 0 && std::isfinite(most) && most > high) high = most;
    }
    high = std::max(high, 1e-6f);
    b_.rule({rect.x, rect.bottom()}, {rect.right(), rect.bottom()}, Paint::of(ColourRole::kGrid));
    lines(series, rect, high);
    if (gutter > 0) b_.label({rect.x - 8, rect.centre().y}, scalar.title, gutter - 8, Align::kRight);
    if (values_width > 0 && now_.step >= 0 && now_.step < n_) {
      const auto value =
          static_cast<double>(token_values(scalar, history_, now_.step, now_.step + 1, place_of(now_, state_))[0]);
      b_.label({rect.right() + 8, rect.centre().y}, std::isnan(value) ? "–" : token_scalar_text(scalar, value),
               values_width - 8, Align::kLeft, Paint::of(ColourRole::kForeground), TextRole::kValue);
    }
    if (n_ > columns)
      b_.note(std::string(scalar.title) + ": the " + cells_note(cells.statistic, ceil_div(n_, columns)) + " a point" +
              (strip_steps(cells, now_.step) == cells.steps ? "." : ", around the selected step."));
    b_.scene.series.push_back(std::move(series));
  }

  static float column_value(std::span<const float> values, Statistic statistic) {
    float most = std::numeric_limits<float>::quiet_NaN();
    double sum = 0;
    int n = 0;
    for (const float value : values) {
      if (std::isnan(value)) continue;
      if (!(value <= most)) most = value;
      sum += static_cast<double>(value);
      ++n;
    }
    return statistic == Statistic::kMax || n == 0 ? most : static_cast<float>(sum / n);
  }

  void lines(const Series& series, const Rect& rect, float high) {
    Polyline line{.paint = Paint::of(ColourRole::kSeries1), .width = 1.2f};
    const auto end_line = [&] {
      if (line.points.size() == 1) b_.box({line.points[0].x - 1, line.points[0].y - 1, 2, 2}, line.paint);
      if (line.points.size() > 1) b_.scene.add(line);
      line.points.clear();
    };
    const double per_column = series.x.size() > 1 ? series.x[1] - series.x[0] : 1;
    for (size_t i = 0; i < series.x.size(); ++i) {
      if (std::isnan(series.y[i])) {
        end_line();
        continue;
      }
      const float y = std::clamp(static_cast<float>(series.y[i]) / high, 0.0f, 1.0f);
      line.points.push_back({x_of(series.x[i] + per_column / 2), rect.bottom() - y * (rect.height - 1)});
    }
    end_line();
  }

  void events() {
    int n_drawn = 0;
    float last_x = -10;
    for (const RunEvent& event : history_.events()) {
      if (event.kind == "batch" || n_drawn >= 300) continue;
      const float x = x_of(static_cast<double>(event.step) + 0.5);
      if (x - last_x < 3) continue;
      last_x = x;
      ++n_drawn;
      const bool bad = event.kind == "gap" || event.kind == "error";
      const Rect mark{x - 2, plot_.y, 4, std::min(plot_.height, kBandHeight + 4)};
      b_.box(mark, Paint::of(bad ? ColourRole::kWarning : ColourRole::kForeground));
      std::string tooltip = event.kind + " at step " + std::to_string(event.step);
      if (event.layer >= 0) tooltip += ", " + layer_name(history_.info(), event.layer);
      Select select;
      select.step = event.step;
      b_.scene.regions.push_back(
          {.rect = {x - 4, plot_.y, 8, mark.height}, .click = Command{select}, .tooltip = tooltip});
    }
  }

  // What follows from the recorded numbers: marked at the foot, so that it is not taken for a recorded event.
  void computed_marks() {
    std::vector<ComputedMark> marks = eviction_marks(history_);
    std::ranges::move(hot_expert_marks(history_, layer_of_experts(history_, now_)), std::back_inserter(marks));
    if (marks.empty()) return;
    Series series{.name = "computed marks", .probe = "", .unit = "", .x_name = "step"};
    float last_x = -10;
    std::ranges::stable_sort(marks, {}, &ComputedMark::step);
    for (const ComputedMark& mark : marks) {
      series.x.push_back(static_cast<double>(mark.step));
      series.y.push_back(mark.layer);
      series.labels.push_back(mark.kind + ": " + mark.text);
      const float x = x_of(static_cast<double>(mark.step) + 0.5);
      if (x - last_x < 3) continue;
      last_x = x;
      const bool is_hot = mark.kind == "hot expert";
      const Rect rect{x - 3, plot_.bottom() - kBandHeight - 4, 6, kBandHeight + 4};
      b_.box(rect, Paint::of(ColourRole::kPanel), Paint::of(is_hot ? ColourRole::kSeries2 : ColourRole::kSeries4),
             1.5f);
      Select select{.step = mark.step, .layer = mark.layer};
      if (mark.expert >= 0) select.expert = mark.expert;
      b_.scene.regions.push_back({.rect = {x - 4, rect.y, 8, rect.height},
                                  .click = Command{select},
                                  .tooltip = mark.kind + ", computed: " + mark.text});
    }
    b_.note(
        "Hollow marks at the foot are computed from what is recorded: first dropped keys, and experts with more than " +
        format_tick(HotExperts::kTimes) + " times their equal share of " + std::to_string(HotExperts::kWindow) +
        " tokens.");
    b_.scene.series.push_back(std::move(series));
  }

  // A flag at each note's step, above the computed marks; a click looks again as when it was written.
  void notes() {
    constexpr float kFlag = 7;
    const float foot = plot_.bottom() - kBandHeight - 6;
    if (foot < plot_.y + 2 * kFlag) return;
    for (const NoteMark& note : notes_) {
      if (note.step < 0 || note.step >= n_) continue;
      const float x = x_of(static_cast<double>(note.step) + 0.5);
      const float y = foot - kFlag;
      b_.rule({x, plot_.y}, {x, plot_.bottom()}, Paint::of(ColourRole::kSeries4, 0.55f), 1);
      b_.box({x - kFlag / 2, y, kFlag, kFlag}, Paint::of(ColourRole::kSeries4), Paint::of(ColourRole::kPanel), 1, 2);
      HitRegion region{.rect = {x - kFlag, y - kFlag / 2, 2 * kFlag, 2 * kFlag}};
      if (note.view != nullptr) region.click = Command{RestoreView{note.view}};
      region.tooltip = "note at step " + std::to_string(note.step) + "\n" + first_words(note.text);
      b_.scene.regions.push_back(std::move(region));
    }
  }

  // As much as a line of a tooltip holds.
  static std::string first_words(const std::string& text) {
    constexpr int kMost = 160;
    const std::string plain = visible_text(text);
    size_t end = 0;
    for (int n = 0; n < kMost && end < plain.size(); ++n) {
      end += static_cast<size_t>(next_utf8(std::string_view(plain).substr(end)).n_bytes);
    }
    return end < plain.size() ? plain.substr(0, end) + "…" : plain;
  }

  void cursor() {
    const auto line = [&](int64_t step, Paint paint, float width) {
      if (step < 0 || step >= n_) return;
      const float x = x_of(static_cast<double>(step) + 0.5);
      b_.rule({x, plot_.y}, {x, plot_.bottom()}, paint, width);
    };
    line(state_.hovered.step, Paint::of(ColourRole::kHover, 0.7f), 1);
    line(now_.step, Paint::of(ColourRole::kAccent), 2);
  }

  const FrameHistory& history_;
  const ViewState& state_;
  const std::span<const NoteMark> notes_;
  SceneBuilder b_;
  const Selection now_;
  int64_t n_ = 0;
  Rect plot_;
};

class TimelineView final : public View {
 public:
  std::string_view name() const override { return "timeline"; }
  std::string_view title() const override { return "Timeline"; }
  std::optional<std::string> unavailable(const RunInfo&) const override { return std::nullopt; }
  std::vector<Wanted> wanted(const FrameHistory& history, const ViewState& state) const override {
    std::vector<Wanted> list;
    const int64_t step = std::max<int64_t>(resolve(history, state).step, 0);
    for (const TokenScalar* scalar : chosen_scalars(history, state)) {
      const StepCells cells = strip_cells(*scalar, std::max(history.n_steps(), history.n_processed()));
      const int64_t n_whole = history.n_processed() / cells.cell_steps() * cells.cell_steps();
      const StepRange steps = strip_steps(cells, step);
      for (const Probe* probe : probes_of(*scalar)) {
        list.push_back({probe, steps.begin, std::min(steps.end, n_whole), level_of(cells.statistic, cells.depth)});
        if (cells.depth > 0) list.push_back({probe, step, step + 1});
      }
    }
    // Where nothing has been dropped up to the newest step, nothing was before.
    const ModelConfig& config = history.info().config;
    const FrameRow newest = history.row(*find_probe("cache.evicted"), history.n_processed() - 1);
    const bool drops = newest && std::ranges::any_of(newest.i32(), [](int32_t n) { return n > 0; });
    if (drops) list.push_back({find_probe("cache.evicted"), 0, history.n_steps()});
    if (!moe_layers(config).empty()) {
      const int64_t begin = std::max<int64_t>(history.n_steps() - HotExperts::kMostSteps, 0);
      list.push_back({find_probe("moe.experts"), begin, history.n_steps()});
    }
    return list;
  }
  Scene scene(const SceneInput& input) const override { return TimelinePicture(input).draw(); }
};

}  // namespace

const View& timeline_view() {
  static const TimelineView kView;
  return kView;
}

}  // namespace orrery
