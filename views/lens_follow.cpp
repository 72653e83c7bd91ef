#include "views/lens_follow.h"

#include <algorithm>

namespace orrery {

void LensFollow::draw(const Rect& area, const Rect& rows, float gutter) {
  const float lh = b_.label();
  const float pitch = rows.height / static_cast<float>(trace_.layers.size());
  const std::string name = followed_.id >= 0 ? names_(followed_.id) : "nothing";
  b_.label({area.x - gutter, area.y + lh / 2},
           name + " at step " + std::to_string(now_.step) + ": rank and probability by layer" + at_the_end(),
           area.width + gutter, Align::kLeft, Paint::of(ColourRole::kForeground));
  const float numbers = pitch >= lh ? b_.width("#8 100.0 %", TextSize::kLabel) + 8 : 0;
  const float said = pitch >= lh && area.width >= 200 ? area.width * 0.3f : 0;
  const Rect plot{area.x + said, rows.y, area.width - said - numbers, rows.height};
  if (plot.width < 20) return;
  b_.box(plot, Paint::none(), Paint::of(ColourRole::kGrid));
  if (!trace_.row) {
    b_.hatch(plot);
    return b_.note("lens.top is not recorded at step " + std::to_string(now_.step) + ".");
  }
  float high = 1e-4f;
  for (const float p : trace_.probabilities) high = p > high ? p : high;
  high = std::min(high * 1.05f, 1.0f);
  b_.axis({.plot = plot,
           .high = static_cast<double>(high),
           .ticks = round_ticks(0, static_cast<double>(high), std::max(1, static_cast<int>(plot.width / 80)), false),
           .format = format_percent});
  not_among_the_8(plot, pitch);
  curve(plot, pitch, high);
  for (size_t i = 0; i < trace_.layers.size(); ++i) row(i, area, plot, pitch, said);
}

// "; at the end #2 23.0 %"
std::string LensFollow::at_the_end() const {
  size_t end = trace_.ranks.size();
  while (end > 0 && is_left(end - 1)) --end;
  if (end == 0 || trace_.ranks[end - 1] < 0) return "";
  if (trace_.ranks[end - 1] == 0) return "; at the end not among the 8";
  return "; at the end #" + std::to_string(trace_.ranks[end - 1]) + " " +
         format_percent(static_cast<double>(trace_.probabilities[end - 1]));
}

void LensFollow::not_among_the_8(const Rect& plot, float pitch) {
  for (size_t i = 0; i < trace_.ranks.size();) {
    size_t end = i + 1;
    while (end < trace_.ranks.size() && trace_.ranks[end] == trace_.ranks[i]) ++end;
    if (trace_.ranks[i] <= 0) {
      const Rect rect{plot.x, plot.y + static_cast<float>(i) * pitch, plot.width, static_cast<float>(end - i) * pitch};
      is_left(i) ? b_.box(rect, SceneBuilder::blank()) : b_.hatch(rect);
      const char* text = is_left(i) ? "left the loop" : trace_.ranks[i] == 0 ? "not among the 8" : "not there";
      const float w = b_.width(text, TextSize::kLabel) + 8;
      if (rect.height >= b_.label() + 2 && w <= rect.width) {
        b_.box({rect.centre().x - w / 2, rect.centre().y - b_.label() / 2, w, b_.label()},
               Paint::of(ColourRole::kPanel));
        b_.label(rect.centre(), text, w, Align::kCentre);
      }
      b_.note(is_left(i)
                  ? "Grey: the token was not in that iteration."
                  : "Hatched: the followed token is not among the 8 that are recorded of a layer, or nothing is.");
    }
    i = end;
  }
}

void LensFollow::curve(const Rect& plot, float pitch, float high) {
  std::vector<Point> points;
  const auto flush = [&] {
    if (points.size() > 1) b_.scene.add(Polyline{points, Paint::of(ColourRole::kSeries1), 2});
    points.clear();
  };
  const float dot = std::clamp(pitch * 0.35f, 2.0f, 6.0f);
  for (size_t i = 0; i < trace_.layers.size(); ++i) {
    if (trace_.ranks[i] <= 0) {
      flush();
      continue;
    }
    const Point at{plot.x + trace_.probabilities[i] / high * plot.width,
                   plot.y + (static_cast<float>(i) + 0.5f) * pitch};
    points.push_back(at);
    const bool chosen = trace_.layers[i] == now_.layer;
    b_.box({at.x - dot / 2, at.y - dot / 2, dot, dot}, Paint::of(chosen ? ColourRole::kAccent : ColourRole::kSeries1));
  }
  flush();
}

// What the layer says, and the followed token's numbers.
void LensFollow::row(size_t i, const Rect& area, const Rect& plot, float pitch, float said) {
  const float y = plot.y + (static_cast<float>(i) + 0.5f) * pitch;
  const std::vector<LensCandidate> eight = lens_candidates(history_, trace_.layers[i], now_.step);
  const int32_t id = eight.empty() ? -1 : eight.front().id;
  if (said > 0 && id >= 0) {
    b_.label({area.x, y}, names_(id), said - 8, Align::kLeft,
             Paint::of(id == followed_.id ? ColourRole::kAccent : ColourRole::kForeground), TextRole::kToken);
  }
  const bool has_numbers = plot.right() + 20 < area.right();
  if (has_numbers && trace_.ranks[i] > 0) {
    b_.label({area.right(), y},
             "#" + std::to_string(trace_.ranks[i]) + " " + format_percent(static_cast<double>(trace_.probabilities[i])),
             area.right() - plot.right() - 4, Align::kRight, Paint::of(ColourRole::kMuted), TextRole::kValue);
  }
  Selection target;
  target.layer = trace_.layers[i];
  Select click{.layer = trace_.layers[i]};
  if (id >= 0 && said > 0) click.token = id;
  b_.scene.regions.push_back(
      {.rect = {area.x, plot.y + static_cast<float>(i) * pitch, std::max(said, 1.0f), pitch},
       .click = click,
       .hover = Hover{target},
       .tooltip =
           id < 0 ? "" : layer_name(history_.info(), target.layer) + " says " + names_(id) + ": a click follows it"});
  b_.scene.regions.push_back({.rect = {plot.x, plot.y + static_cast<float>(i) * pitch, area.right() - plot.x, pitch},
                              .click = Select{.layer = target.layer},
                              .hover = Hover{target},
                              .tooltip = layer_name(history_.info(), target.layer) + ": " + place_of(i)});
}

bool LensFollow::is_left(size_t i) const {
  return trace_.row && trace_.ranks[i] < 0 && history_.info().config.loop.any();
}

std::string LensFollow::place_of(size_t i) {
  if (is_left(i)) return "the token was not in that iteration";
  if (followed_.id < 0 || trace_.ranks[i] < 0) return "not recorded";
  if (trace_.ranks[i] == 0) return names_(followed_.id) + " is not among the 8";
  return names_(followed_.id) + " is number " + std::to_string(trace_.ranks[i]) + ", " +
         format_percent(static_cast<double>(trace_.probabilities[i]));
}

}  // namespace orrery
