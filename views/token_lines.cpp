#include "views/token_lines.h"

#include <algorithm>
#include <cmath>

#include "views/token_text.h"

namespace orrery {

float TokenLines::draw(const Rect& area, const TokenTint& tint) {
  const float lh = b_.label();
  const Rect lines_area = area.inset(0, b_.scale_bar_height() + 4, 0, 0);
  const float pitch = b_.line(TextSize::kText) + 4;
  const auto capacity = static_cast<size_t>(std::max(0.0f, lines_area.height / pitch));
  if (capacity == 0 || lines_area.width < 40 || history_.n_steps() == 0) return 0;
  const float bar = std::min(area.width * 0.4f, 170.0f);
  b_.label({area.x, area.y + lh / 2}, tint.title, area.width - bar - 8, Align::kLeft, tint.title_paint);
  b_.scale_bar({area.right() - bar, area.y + 1, bar, 0}, tint.scale, "", tint.format);
  const int64_t anchor = std::clamp<int64_t>(now_.step, 0, history_.n_steps() - 1);
  const auto [begin, end] = layout_window(history_.tokens(), anchor);
  const std::vector<TextLine> lines = layout_text(history_.tokens(), begin, end, metrics_, lines_area.width);
  size_t at = 0;
  while (at + 1 < lines.size() && lines[at + 1].begin() <= anchor) ++at;
  const size_t latest = lines.size() - std::min(lines.size(), capacity);
  const size_t first = std::min(at - std::min(at, capacity / 2), latest);
  const size_t last = std::min(lines.size(), first + capacity);
  if (first == last) return 0;
  const StepRange seen{lines[first].begin(), lines[last - 1].end()};
  scale_ = tint.scale;
  first_step_ = seen.begin;
  values_ = tint.values(seen);
  Series series = tint.series;
  series.x_name = "step";
  for (int64_t step = seen.begin; step < seen.end; ++step) {
    series.x.push_back(static_cast<double>(step));
    series.y.push_back(static_cast<double>(values_[static_cast<size_t>(step - seen.begin)]));
    series.labels.push_back(token_label(history_.tokens()[static_cast<size_t>(step)].bytes));
  }
  const auto index = static_cast<int>(b_.scene.series.size());
  b_.scene.series.push_back(std::move(series));
  for (size_t i = first; i < last; ++i) {
    const float top = lines_area.y + static_cast<float>(i - first) * pitch;
    line(lines[i], {lines_area.x, top, lines_area.width, pitch}, index);
  }
  return lines_area.y + static_cast<float>(last - first) * pitch - area.y;
}

void TokenLines::line(const TextLine& line, const Rect& place, int series) {
  HitRegion region{.rect = {place.x, place.y, 0, place.height}, .rows = 1};
  region.first_step = line.begin();
  region.series = series;
  for (const PlacedPiece& placed : line.pieces) {
    const float cell = placed.width / static_cast<float>(placed.piece.count);
    for (int64_t i = 0; i < placed.piece.count; ++i) {
      const int64_t step = placed.piece.first + i;
      const float x = place.x + placed.x + static_cast<float>(i) * cell;
      const Rect at{x, place.y + 1, std::max(cell - 1, 1.0f), place.height - 2};
      const float value = values_[static_cast<size_t>(step - first_step_)];
      if (std::isnan(value)) {
        b_.hatch(at);
      } else {
        b_.box(at, Paint::mapped(scale_, value));
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

}  // namespace orrery
