#include "views/loop_curves.h"

#include <algorithm>
#include <cmath>

#include "probes/model_axes.h"
#include "views/token_text.h"

namespace orrery {
namespace {

constexpr float kLeastCurve = 24;
constexpr float kLensRowGap = 3;

}  // namespace

// A title, some bars, ticks and what they count.
float LoopCurves::least_height() const { return 3.5f * b_.label() + 6 + kLeastCurve; }

void LoopCurves::draw(const Rect& whole) {
  Rect area = whole;
  const LoopLens says = loop_lens(history_, now_);
  const bool has_gate = has_loop_gate(history_.info().config);
  if (says.row && area.height >= lens_height() + least_height() + 8) {
    const float height = lens_height();
    lens({area.x, area.bottom() - height, area.width, height}, says);
    area = area.inset(0, 0, 0, height + 8);
  }
  const bool has_both = has_gate && area.height >= 2 * least_height() + 8;
  const float height = has_both ? (area.height - 8) / 2 : area.height;
  const std::string at = " at step " + std::to_string(now_.step);
  if (has_both || !has_gate) {
    bars({area.x, area.y, area.width, height}, {.probe = "loop.step", .title = "change of the state, |Δh| / |h|" + at});
  }
  if (!has_gate) return;
  bars({area.x, area.bottom() - height, area.width, height},
       {.probe = "loop.exit",
        .title = "probability of stopping" + at + "; line: their sum",
        .high = 1.0,
        .is_exit = true});
}

void LoopCurves::bars(const Rect& area, const Chart& chart) {
  const float lh = b_.label();
  const LoopTrace trace = loop_trace(history_, *find_probe(chart.probe), now_.step);
  b_.label({area.x, area.y + lh / 2}, chart.title, area.width, Align::kLeft, Paint::of(ColourRole::kForeground));
  const float gutter = b_.width("0.0000", TextSize::kLabel) + 6;
  const Rect plot = area.inset(gutter, b_.heading_height(), 2, 2 * lh + 5);
  if (plot.width < 20 || plot.height < 16) return;
  b_.box(plot, Paint::none(), Paint::of(ColourRole::kGrid));
  if (trace.values.empty()) {
    b_.hatch(plot);
    b_.note("Hatched: not recorded, or not held.");
    return;
  }
  double high = chart.high.value_or(1e-9);
  for (const float value : trace.values) {
    if (!chart.high && static_cast<double>(value) > high) high = static_cast<double>(value);
  }
  SceneAxis values{.name = chart.probe, .unit = ""};
  values.ticks = b_.axis({.plot = plot,
                          .vertical = true,
                          .high = high,
                          .ticks = round_ticks(0, high, std::max(2, static_cast<int>(plot.height / 36)), false),
                          .format = format_tick});
  b_.scene.add_axis(std::move(values));
  const auto n = static_cast<int64_t>(trace.values.size());
  SceneAxis iterations{.name = "iteration", .means = SceneAxis::Means::kIteration, .begin = 1, .end = n + 1};
  iterations.ticks = b_.axis({.plot = plot,
                              .low = 1,
                              .high = static_cast<double>(n + 1),
                              .ticks = round_ticks(1, static_cast<double>(n), static_cast<int>(plot.width / 40), true),
                              .grid = false,
                              .cells = true});
  const int axis = b_.scene.add_axis(std::move(iterations));
  b_.label({plot.centre().x, area.bottom() - lh / 2}, "iteration", plot.width, Align::kCentre);
  bar_boxes(trace, plot, high, chart);
  if (chart.is_exit) sum_of_exits(trace, plot);
  thresholds(plot, high, chart);
  b_.scene.regions.push_back({.rect = plot, .rows = 1, .cols = static_cast<int>(n), .col_axis = axis});
  b_.provenance(provenance_of(history_, trace.row));
}

void LoopCurves::bar_boxes(const LoopTrace& trace, const Rect& plot, double high, const Chart& chart) {
  Series series{.name = chart.probe, .probe = chart.probe, .unit = "", .x_name = "iteration"};
  const auto n = static_cast<int64_t>(trace.values.size());
  const float pitch = plot.width / static_cast<float>(n);
  for (int64_t i = 0; i < n; ++i) {
    const float value = trace.values[static_cast<size_t>(i)];
    series.x.push_back(static_cast<double>(i + 1));
    series.y.push_back(static_cast<double>(value));
    if (std::isnan(value)) continue;
    const float height = static_cast<float>(static_cast<double>(value) / high) * plot.height;
    const float gap = pitch > 6 ? 2.0f : 0.0f;
    b_.box({plot.x + static_cast<float>(i) * pitch + gap / 2, plot.bottom() - height, pitch - gap, height},
           Paint::of(chart.is_exit ? ColourRole::kSeries2 : ColourRole::kSeries1));
  }
  b_.scene.series.push_back(std::move(series));
}

// What the gate's rule compares with the threshold.
void LoopCurves::sum_of_exits(const LoopTrace& trace, const Rect& plot) {
  Series series{.name = "sum of loop.exit", .probe = "loop.exit", .unit = "", .x_name = "iteration"};
  Polyline line{.paint = Paint::of(ColourRole::kForeground), .width = 1.5f};
  const float pitch = plot.width / static_cast<float>(trace.values.size());
  float sum = 0;
  for (size_t i = 0; i < trace.values.size(); ++i) {
    if (std::isnan(trace.values[i])) break;
    sum += trace.values[i];
    series.x.push_back(static_cast<double>(i + 1));
    series.y.push_back(static_cast<double>(sum));
    line.points.push_back(
        {plot.x + (static_cast<float>(i) + 0.5f) * pitch, plot.bottom() - std::min(sum, 1.0f) * plot.height});
  }
  if (line.points.size() > 1) b_.scene.add(std::move(line));
  b_.scene.series.push_back(std::move(series));
}

void LoopCurves::threshold(const Rect& plot, double high, double value, const std::string& name, Paint paint) {
  if (value > high) return;
  const float y = plot.bottom() - static_cast<float>(value / high) * plot.height;
  b_.rule({plot.x, y}, {plot.right(), y}, paint);
  // Beside the line, above or below it, where there is room.
  const float lh = b_.label();
  if (plot.height < 4 * lh) return;
  const float middle = y - lh / 2 - 1 > plot.y + lh / 2 ? y - lh / 2 - 1 : y + lh / 2 + 1;
  const float width = std::min(b_.width(name, TextSize::kLabel), plot.width / 2);
  b_.box({plot.right() - width - 5, middle - lh / 2, width + 4, lh}, Paint::of(ColourRole::kGround, 0.8f));
  b_.label({plot.right() - 3, middle}, name, plot.width / 2, Align::kRight, paint, TextRole::kValue);
}

void LoopCurves::thresholds(const Rect& plot, double high, const Chart& chart) {
  const ExitRule rule = chart.is_exit ? ExitRule::kGate : ExitRule::kStep;
  if (state_.what_if && state_.what_if->rule == rule) {
    const auto value = static_cast<double>(state_.what_if->threshold);
    threshold(plot, high, value, "what-if " + format_value(value), Paint::of(ColourRole::kAccent));
  } else if (loop_.rule == rule) {
    threshold(plot, high, static_cast<double>(loop_.threshold), "exit", Paint::of(ColourRole::kMuted));
  }
}

// --- what the model would say after each iteration ---
float LoopCurves::lens_height() const {
  return b_.label() + 6 + static_cast<float>(loop_.n_iterations) * (b_.label() + kLensRowGap);
}

std::string LoopCurves::token_name(int32_t id) const {
  const std::string bytes = texts_ == nullptr ? "" : texts_->bytes(id);
  return bytes.empty() ? "id " + std::to_string(id) : token_label(bytes);
}

void LoopCurves::lens(const Rect& area, const LoopLens& lens) {
  const float lh = b_.label();
  const std::string name = layer_name(history_.info(), lens.layers.front());
  b_.label({area.x, area.y + lh / 2},
           "what would be said after " + name.substr(0, name.rfind(", loop")) + ", by iteration", area.width,
           Align::kLeft, Paint::of(ColourRole::kForeground));
  const int scale = b_.scene.add_scale({.map = ColourMapId::kTint, .low = 0, .high = 1});
  for (size_t i = 0; i < lens.tops.size(); ++i) {
    const float top = area.y + lh + 6 + static_cast<float>(i) * (lh + kLensRowGap);
    lens_row({area.x, top, area.width, lh}, lens, i, scale);
  }
  b_.provenance(provenance_of(history_, lens.row));
}

void LoopCurves::lens_row(const Rect& row, const LoopLens& lens, size_t iteration, int scale) {
  const std::string number = std::to_string(iteration + 1);
  const float gutter = b_.width(std::to_string(loop_.n_iterations), TextSize::kLabel) + 8;
  b_.label({row.x + gutter - 6, row.centre().y}, number, gutter, Align::kRight,
           Paint::of(static_cast<int32_t>(iteration) == now_.iteration ? ColourRole::kForeground : ColourRole::kMuted),
           TextRole::kTick);
  Series series{.name = "lens, iteration " + number, .probe = "lens.top", .unit = "", .x_name = "token id"};
  float x = row.x + gutter;
  for (const LoopLens::Top& top : lens.tops[iteration]) {
    series.x.push_back(top.id);
    series.y.push_back(static_cast<double>(top.probability));
    series.labels.push_back(token_name(top.id));
    const std::string text = series.labels.back() + " " + format_percent(static_cast<double>(top.probability));
    const float width = b_.width(text, TextSize::kLabel) + 8;
    if (x + width > row.right()) continue;
    b_.box({x, row.y, width, row.height}, Paint::mapped(scale, top.probability));
    b_.label({x + 4, row.centre().y}, text, width, Align::kLeft, Paint::of(ColourRole::kForeground), TextRole::kToken);
    x += width + 4;
  }
  if (series.x.empty()) b_.hatch({x, row.y, row.right() - x, row.height});
  b_.scene.regions.push_back({.rect = row,
                              .click = Select{.layer = lens.layers[iteration]},
                              .tooltip = layer_name(history_.info(), lens.layers[iteration])});
  b_.scene.series.push_back(std::move(series));
}

}  // namespace orrery
