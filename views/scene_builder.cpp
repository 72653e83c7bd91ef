#include "views/scene_builder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "views/utf8.h"

namespace orrery {
namespace {

constexpr float kMargin = 10;
constexpr float kTickGap = 4;
constexpr float kLeastTitleHeight = 60;    // scenes lower than this have no title line
constexpr float kLeastFooterHeight = 130;  // lower than this no provenance line

std::string whole(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f", value);
  return text;
}

// Steps of 1, 2, 5 times a power of ten, at most n of them within a span.
double round_step(double span, int n) {
  const double raw = span / std::max(n, 1);
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (power * factor >= raw * (1 - 1e-9)) return power * factor;
  }
  return power * 10;
}

std::vector<double> multiples(double low, double high, double step) {
  std::vector<double> ticks;
  for (double k = std::ceil(low / step - 1e-9); k * step <= high + step * 1e-9 && ticks.size() < 200; ++k) {
    ticks.push_back(k * step + 0.0);  // no -0
  }
  return ticks;
}

}  // namespace

std::string format_value(double value) {
  if (std::isnan(value)) return "missing";
  const double size = std::fabs(value);
  const int decimals = value == 0 || size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  char text[40];
  if (size > 0 && size < 0.0005) {
    std::snprintf(text, sizeof text, "%.1e", value);
  } else {
    std::snprintf(text, sizeof text, "%.*f", decimals, value);
  }
  return text;
}

std::string format_bytes(double bytes) {
  static constexpr std::array<const char*, 5> kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  while (std::fabs(bytes) >= 1024 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  char text[40];
  const bool is_whole = std::fabs(bytes - std::round(bytes)) < 0.005 || unit == 0;
  std::snprintf(text, sizeof text, is_whole ? "%.0f %s" : bytes < 10 ? "%.2f %s" : "%.1f %s", bytes, kUnits[unit]);
  return text;
}

std::string format_percent(double fraction) {
  if (std::isnan(fraction)) return "missing";
  const double percent = fraction * 100;
  if (percent > 0 && percent < 0.001) return "<0.001 %";
  const int decimals = std::fabs(percent - std::round(percent)) < 1e-9 ? 0 : percent >= 10 ? 1 : percent >= 0.1 ? 2 : 3;
  char text[40];
  std::snprintf(text, sizeof text, "%.*f %%", decimals, percent);
  return text;
}

std::string format_tick(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

std::vector<double> round_ticks(double low, double high, int n, bool whole_only) {
  if (!(high > low) || n < 1) return {low};
  std::vector<double> ticks;
  // Fewer than two say nothing of the scale.
  for (const int wanted : {n, 2 * n, 4 * n}) {
    double step = round_step(high - low, wanted);
    if (whole_only) step = std::max(std::round(step), 1.0);
    ticks = multiples(low, high, step);
    if (ticks.size() >= 2) break;
  }
  return ticks;
}

std::vector<double> byte_ticks(double low, double high, int n) {
  if (!(high > low) || n < 1) return {low};
  double unit = 1;
  while (high / unit >= 1024) unit *= 1024;
  std::vector<double> ticks;
  for (const int wanted : {n, 2 * n, 4 * n}) {
    ticks = multiples(low, high, std::max(round_step((high - low) / unit, wanted) * unit, 1.0));
    if (ticks.size() >= 2) break;
  }
  return ticks;
}

SceneBuilder::SceneBuilder(const SceneInput& input, std::string_view view, std::string title)
    : metrics_(input.metrics) {
  scene.view = view;
  scene.title = std::move(title);
  scene.size = input.size;
  scene.selection = resolve(input.history, input.state);
  const Rect all{0, 0, input.size.width, input.size.height};
  box(all, Paint::of(ColourRole::kPanel));
  const float margin = std::min(kMargin, std::min(all.width, all.height) / 12);
  body = all.inset(margin, margin * 0.8f, margin, margin * 0.8f);
  if (all.height >= kLeastTitleHeight) {
    title_ = {body.x, body.y, body.width, line(TextSize::kTitle)};
    body = body.inset(0, title_.height + 4, 0, 0);
    const std::string shown = fit(scene.title, TextSize::kTitle, title_.width);
    title_used_ = width(shown, TextSize::kTitle);
    text({{title_.x, title_.centre().y},
          shown,
          TextSize::kTitle,
          Align::kLeft,
          Paint::of(ColourRole::kForeground),
          TextRole::kTitle});
  }
  if (all.height >= kLeastFooterHeight) {
    footer_ = {body.x, body.bottom() - label(), body.width, label()};
    body = body.inset(0, 0, 0, label() + 4);
  }
}

std::string SceneBuilder::fit(std::string_view text, TextSize size, float max_width) const {
  if (width(text, size) <= max_width) return std::string(text);
  const float ellipsis = width("…", size);
  if (ellipsis > max_width) return "";
  // Widths grow with length, near enough: the longest prefix by halving.
  std::vector<size_t> ends{0};
  for (size_t i = 0; i < text.size();) {
    i += static_cast<size_t>(next_utf8(text.substr(i)).n_bytes);
    ends.push_back(i);
    if (ends.size() > 400) break;  // no line holds more
  }
  size_t fits = 0;
  size_t over = ends.size();
  while (fits + 1 < over) {
    const size_t middle = (fits + over) / 2;
    (width(text.substr(0, ends[middle]), size) + ellipsis <= max_width ? fits : over) = middle;
  }
  if (fits == 0) return "";
  return std::string(text.substr(0, ends[fits])) + "…";
}

float SceneBuilder::label(Point at, std::string_view text_in, float max_width, Align align, Paint paint,
                          TextRole role) {
  const std::string shown = fit(text_in, TextSize::kLabel, max_width);
  if (shown.empty()) return 0;
  const float used = width(shown, TextSize::kLabel);
  text({at, shown, TextSize::kLabel, align, paint, role});
  return used;
}

void SceneBuilder::box(const Rect& rect, Paint fill, Paint stroke, float stroke_width, float corner) {
  if (rect.empty()) return;
  scene.add(Box{rect, fill, stroke, stroke_width, corner});
}

void SceneBuilder::map_ground(const Rect& plot, const ModelConfig& config, std::span<const float> cells) {
  const bool is_looped = config.loop.any();
  box(plot, is_looped ? blank() : Paint::none(), Paint::of(ColourRole::kGrid));
  if (is_looped && std::ranges::any_of(cells, [](float value) { return std::isnan(value); })) {
    note("Grey: the token was not in that iteration.");
  }
}

void SceneBuilder::rule(Point from, Point to, Paint paint, float line_width) {
  scene.add(Polyline{{from, to}, paint, line_width});
}

std::vector<Tick> SceneBuilder::axis(const AxisLook& look) {
  std::vector<Tick> ticks;
  const double span = std::max(look.high - look.low, 1e-12);
  const float half_line = label() / 2;
  float free_from = look.vertical ? 1e9f : -1e9f;  // horizontal: left edge of the next label; vertical: its bottom
  if (look.vertical && look.downwards) free_from = -1e9f;
  for (const double value : look.ticks) {
    const double centre = value + (look.cells ? 0.5 : 0);
    const auto fraction = static_cast<float>((centre - look.low) / span);
    if (fraction < -1e-4f || fraction > 1.0001f) continue;
    Tick tick{.value = value, .label = look.format != nullptr ? look.format(value) : whole(value)};
    const float w = width(tick.label, TextSize::kLabel);
    if (look.vertical) {
      const float y =
          look.downwards ? look.plot.y + fraction * look.plot.height : look.plot.bottom() - fraction * look.plot.height;
      tick.position = y;
      if (look.grid) rule({look.plot.x, y}, {look.plot.right(), y}, Paint::of(ColourRole::kGrid, 0.7f));
      const bool clear = look.downwards ? y - half_line >= free_from : y + half_line <= free_from;
      if (clear && y - half_line >= 0 && y + half_line <= scene.size.height && look.plot.x - kTickGap - w >= 0) {
        text({{look.plot.x - kTickGap, y},
              tick.label,
              TextSize::kLabel,
              Align::kRight,
              Paint::of(ColourRole::kMuted),
              TextRole::kTick});
        free_from = look.downwards ? y + half_line : y - half_line;
      }
    } else {
      const float x = look.plot.x + fraction * look.plot.width;
      tick.position = x;
      if (look.grid) rule({x, look.plot.y}, {x, look.plot.bottom()}, Paint::of(ColourRole::kGrid, 0.7f));
      const float left = std::clamp(x - w / 2, 0.0f, std::max(scene.size.width - w - 2, 0.0f));
      if (left >= free_from && left + w <= scene.size.width) {
        text({{left, look.plot.bottom() + 2 + half_line},
              tick.label,
              TextSize::kLabel,
              Align::kLeft,
              Paint::of(ColourRole::kMuted),
              TextRole::kTick});
        free_from = left + w + 8;
      }
    }
    ticks.push_back(std::move(tick));
  }
  return ticks;
}

std::vector<Tick> SceneBuilder::token_ticks(const Rect& plot, int64_t begin, int64_t end) {
  const auto low = static_cast<double>(begin);
  const auto high = static_cast<double>(end);
  return axis({.plot = plot,
               .low = low,
               .high = high,
               .ticks = round_ticks(low, high - 1, static_cast<int>(plot.width / 70), true),
               .grid = false,
               .cells = true});
}

void SceneBuilder::row_names(SceneAxis& rows, const Rect& plot, float max_width, int64_t chosen) {
  const float pitch = plot.height / static_cast<float>(std::max<size_t>(rows.ids.size(), 1));
  const auto every = static_cast<size_t>(std::max(1.0f, std::ceil(label() / pitch)));
  for (size_t i = 0; i < rows.ids.size(); ++i) {
    const float y = plot.y + (static_cast<float>(i) + 0.5f) * pitch;
    rows.ticks.push_back({static_cast<double>(rows.ids[i]), rows.labels[i], y});
    if (i % every != 0) continue;
    label({plot.x - 5, y}, fit_row_name(rows.labels[i], max_width), max_width, Align::kRight,
          Paint::of(rows.ids[i] == chosen ? ColourRole::kForeground : ColourRole::kMuted), TextRole::kTick);
  }
}

std::string SceneBuilder::fit_row_name(std::string_view name, float max_width) const {
  const size_t loop = name.rfind(", loop ");
  if (loop == std::string_view::npos || width(name, TextSize::kLabel) <= max_width) {
    return fit(name, TextSize::kLabel, max_width);
  }
  const std::string_view end = name.substr(loop);
  const std::string begin = fit(name.substr(0, loop), TextSize::kLabel, max_width - width(end, TextSize::kLabel));
  return begin.empty() ? fit(name, TextSize::kLabel, max_width) : begin + std::string(end);
}

float SceneBuilder::names_width(const RunInfo& info, std::span<const int32_t> layers) const {
  float widest = 0;
  for (const int32_t layer : layers) widest = std::max(widest, width(layer_name(info, layer), TextSize::kLabel));
  return widest;
}

SceneAxis SceneBuilder::step_axis(const Rect& plot, const StepRange& steps, int64_t per_cell, int64_t end,
                                  bool with_ticks) {
  SceneAxis cols{.name = "step",
                 .unit = "token",
                 .means = SceneAxis::Means::kStep,
                 .begin = steps.begin,
                 .end = steps.end,
                 .per_cell = per_cell};
  if (!with_ticks) return cols;
  cols.ticks = token_ticks(plot, steps.begin, end);
  return cols;
}

float SceneBuilder::scale_bar(const Rect& rect, int scale_index, std::string_view name, std::string (*format)(double)) {
  constexpr int kSteps = 24;
  const ColourScale scale = scene.scales[static_cast<size_t>(scale_index)];
  const Rect bar{rect.x, rect.y, std::min(rect.width, 220.0f), kBarHeight};
  for (int i = 0; i < kSteps; ++i) {
    const float value = scale.value_at((static_cast<float>(i) + 0.5f) / kSteps);
    box({bar.x + bar.width * static_cast<float>(i) / kSteps, bar.y, bar.width / kSteps + 0.3f, bar.height},
        Paint::mapped(scale_index, value));
  }
  box(bar, Paint::none(), Paint::of(ColourRole::kGrid));
  const float y = bar.bottom() + 3 + label() / 2;
  const std::string high = format(scale.high);
  const float low_width =
      label({bar.x, y}, format(scale.low), bar.width / 3, Align::kLeft, Paint::of(ColourRole::kMuted), TextRole::kTick);
  const float high_width =
      label({bar.right(), y}, high, bar.width / 2, Align::kRight, Paint::of(ColourRole::kMuted), TextRole::kTick);
  const float beside = rect.right() - bar.right() - 10;
  const float between = bar.width - low_width - high_width - 16;
  const std::string full(name);
  if (width(full, TextSize::kLabel) <= between || between >= beside) {
    if (between > 30) label({bar.x + low_width + 8, y}, full, between);
  } else {
    label({bar.right() + 10, bar.y + (label() + kBarHeight + 3) / 2}, full, beside);
  }
  return scale_bar_height();
}

void SceneBuilder::legend(Point at, float max_width, const std::vector<std::pair<std::string, Paint>>& entries) {
  float x = at.x;
  for (const auto& [name, paint] : entries) {
    const float w = width(name, TextSize::kLabel);
    if (x + 14 + w > at.x + max_width) return;
    box({x, at.y - 1.5f, 10, 3}, paint);
    text({{x + 14, at.y}, name, TextSize::kLabel, Align::kLeft, Paint::of(ColourRole::kMuted), TextRole::kLabel});
    x += 14 + w + 14;
  }
}

void SceneBuilder::note(std::string sentence) {
  if (std::ranges::find(scene.notes, sentence) == scene.notes.end()) scene.notes.push_back(std::move(sentence));
}

void SceneBuilder::subtitle(std::string_view sentence) {
  if (title_.empty()) return;
  const float room = title_.width - title_used_ - 16;
  title_used_ += 16 + label({title_.right(), title_.centre().y}, sentence, room, Align::kRight,
                            Paint::of(ColourRole::kMuted), TextRole::kLabel);
}

void SceneBuilder::message(std::string_view sentence) {
  const std::string shown = fit(sentence, TextSize::kLabel, body.width);
  if (shown.empty() || body.height < label()) return;
  text({body.centre(), shown, TextSize::kLabel, Align::kCentre, Paint::of(ColourRole::kMuted), TextRole::kNote});
  note(std::string(sentence));
}

bool SceneBuilder::says_why_empty(const View& view, const FrameHistory& history) {
  if (const auto why = view.unavailable(history.info())) {
    message(*why);
    return true;
  }
  if (history.n_processed() > 0) return false;
  message("No step has been processed yet.");
  return true;
}

Scene SceneBuilder::finish() {
  if (!footer_.empty() && !scene.provenance.empty()) {
    // One line tells all: what is common once, then the probes.
    std::string line = scene.provenance.front().line();
    std::vector<std::string_view> told{scene.provenance.front().probe};
    for (const Provenance& one : scene.provenance) {
      if (std::find(told.begin(), told.end(), one.probe) != told.end()) continue;
      told.push_back(one.probe);
      line += "  |  " + one.probe + (one.exact ? "" : " · approximate") + (one.note.empty() ? "" : " · " + one.note);
    }
    label({footer_.x, footer_.centre().y}, line, footer_.width, Align::kLeft, Paint::of(ColourRole::kMuted, 0.85f),
          TextRole::kProvenance);
  }
  return std::move(scene);
}

StepRange visible_range(const StepRange& zoom, int64_t n) {
  if (zoom.all()) return {0, n};
  const int64_t size = std::min(zoom.size(), n);
  const int64_t begin = std::clamp<int64_t>(zoom.begin, 0, n - size);
  return {begin, begin + size};
}

Provenance provenance_of(const FrameHistory& history, const FrameRow& row, int32_t layer, int32_t head) {
  Provenance p;
  p.run = row.frame->run;
  p.probe = row.frame->probe->name;
  p.step_begin = row.step;
  p.step_end = row.step + 1;
  p.layer = layer;
  if (layer >= 0) p.layer_label = layer_name(history.info(), layer);
  p.head = head;
  p.dtype = dtype_name(row.frame->probe->dtype);
  p.exact = row.frame->probe->exact;
  p.origin = row.frame->origin;
  return p;
}

std::string layer_name(const RunInfo& info, int32_t layer) {
  if (layer < 0) return "";
  if (static_cast<size_t>(layer) < info.layer_labels.size()) return info.layer_labels[static_cast<size_t>(layer)];
  if (layer < info.config.n_layers()) return layer_label(info.config, layer);
  return std::to_string(layer);
}

SceneAxis layer_rows(const RunInfo& info, std::span<const int32_t> layers) {
  SceneAxis rows{.name = "layer", .means = SceneAxis::Means::kLayer};
  for (const int32_t layer : layers) {
    rows.ids.push_back(layer);
    rows.labels.push_back(layer_name(info, layer));
  }
  return rows;
}

}  // namespace orrery
