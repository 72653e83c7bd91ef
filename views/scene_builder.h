// SceneBuilder: what every view's picture is made with: text that is cut to fit, axes with ticks, scale bars, the frame
// with title and provenance line. Things that do not fit are left out, never drawn over others.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "views/scene.h"
#include "views/text_metrics.h"
#include "views/view.h"

namespace orrery {

// "0.0123", "12.3", "1240": three significant digits, plain.
std::string format_value(double value);
// "1.5 MiB", "320 B"
std::string format_bytes(double bytes);
// "12.3 %"
std::string format_percent(double fraction);
// "0.2", "1500": as short as four digits allow, for ticks.
std::string format_tick(double value);

// Round numbers in [low, high], at most n of them, ascending. Whole numbers only where `whole`.
std::vector<double> round_ticks(double low, double high, int n, bool whole);
// As round_ticks, in steps that are round in KiB and MiB.
std::vector<double> byte_ticks(double low, double high, int n);

struct AxisLook {
  Rect plot;
  bool vertical = false;   // along the left edge, else along the bottom
  bool downwards = false;  // vertical, with low values at the top (steps)
  double low = 0;
  double high = 1;
  std::vector<double> ticks;
  std::string (*format)(double) = nullptr;  // whole numbers where null
  bool grid = true;
  bool cells = false;  // values name cells: the tick sits in the middle of [v, v + 1)
};

class SceneBuilder {
 public:
  // Makes the panel, the title line and the footer; `body` is what is left between.
  SceneBuilder(const SceneInput& input, std::string_view view, std::string title);

  Scene scene;
  Rect body;

  // --- text ---
  float width(std::string_view text, TextSize size) const { return metrics_.width(text, size); }
  float line(TextSize size) const { return metrics_.line_height(size); }
  float label() const { return metrics_.line_height(TextSize::kLabel); }
  // Cut at a character with "…" so that it takes at most max_width; empty where not even one character fits.
  std::string fit(std::string_view text, TextSize size, float max_width) const;
  void text(Text text) { scene.add(std::move(text)); }
  // A label cut to max_width; returns the width it took.
  float label(Point at, std::string_view text, float max_width, Align align = Align::kLeft,
              Paint paint = Paint::of(ColourRole::kMuted), TextRole role = TextRole::kLabel);

  // Of what stands above a plot: a line, and room for the upper half of the plot's topmost name or tick.
  float heading_height() const { return 1.5f * label() + 1; }
  // What a cell of a map says, readable on its colour.
  void cell_number(Point centre, std::string number, int scale, float value) {
    text(
        {centre, std::move(number), TextSize::kLabel, Align::kCentre, Paint::contrast(scale, value), TextRole::kValue});
  }
  // Why something is not drawn: a label, and whole among the notes.
  void reason(Point at, std::string_view sentence, float max_width) {
    label(at, sentence, max_width);
    note(std::string(sentence));
  }

  // --- shapes ---
  void box(const Rect& rect, Paint fill, Paint stroke = Paint::none(), float stroke_width = 1, float corner = 0);
  void rule(Point from, Point to, Paint paint, float width = 1);
  void hatch(const Rect& rect) { scene.add(Hatch{rect}); }
  // What lies under a map of layers whose rows are steps or the step's own: nothing, but grey in a looped model, which
  // shows through where a token was not in an iteration. A note says so where there are such cells.
  void map_ground(const Rect& plot, const ModelConfig& config, std::span<const float> cells);
  // Where nothing can be: not missing, which is hatched.
  static Paint blank() { return Paint::of(ColourRole::kGrid, 0.8f); }

  // --- charts ---
  // Ticks with labels outside the plot, grid lines inside; labels that would touch each other or leave the scene are
  // dropped. Returns the axis' ticks.
  std::vector<Tick> axis(const AxisLook& look);
  // Ticks below a plot of the tokens [begin, end), steps or keys.
  std::vector<Tick> token_ticks(const Rect& plot, int64_t begin, int64_t end);
  // The names of a map's rows left of it, as many as fit above each other, and the ticks of their axis; that of the row
  // with this id stands out.
  void row_names(SceneAxis& rows, const Rect& plot, float max_width, int64_t chosen);
  // A row's name cut so that it takes at most max_width: of a layer in a loop "3 atte…, loop 2".
  std::string fit_row_name(std::string_view name, float max_width) const;
  // Of the widest of these layers' names.
  float names_width(const RunInfo& info, std::span<const int32_t> layers) const;
  // An axis of steps below a map whose columns take per_cell steps each and are drawn up to `end`; with_ticks:
  // numbered.
  SceneAxis step_axis(const Rect& plot, const StepRange& steps, int64_t per_cell, int64_t end, bool with_ticks = true);
  // The colours of a scale from low to high with its two ends; height is one label line and a bar. Returns its height.
  float scale_bar(const Rect& rect, int scale, std::string_view name, std::string (*format)(double));
  float scale_bar_height() const { return metrics_.line_height(TextSize::kLabel) + kBarHeight + 3; }
  // The coloured names of series, left to right while they fit.
  void legend(Point at, float max_width, const std::vector<std::pair<std::string, Paint>>& entries);

  // --- frame ---
  void note(std::string sentence);  // once, however often it is said
  void provenance(Provenance one) { scene.provenance.push_back(std::move(one)); }
  // Text at the right end of the title line.
  void subtitle(std::string_view text);
  // Centred sentence for views that have nothing to draw.
  void message(std::string_view sentence);
  // Whether the run lacks what the view draws, or has no step yet; a message then says so.
  bool says_why_empty(const View& view, const FrameHistory& history);
  // Writes the footer from notes and provenance, and hands the scene over.
  Scene finish();

  static constexpr float kBarHeight = 6;

 private:
  const TextMetrics& metrics_;
  Rect title_;
  Rect footer_;
  float title_used_ = 0;
};

// What is drawn of an axis of n values when `zoom` is asked for.
StepRange visible_range(const StepRange& zoom, int64_t n);

// The provenance of a probe's frame at a step.
Provenance provenance_of(const FrameHistory& history, const FrameRow& row, int32_t layer = -1, int32_t head = -1);
std::string layer_name(const RunInfo& info, int32_t layer);
// An axis of rows, one a layer, without ticks.
SceneAxis layer_rows(const RunInfo& info, std::span<const int32_t> layers);

}  // namespace orrery
