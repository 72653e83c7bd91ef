#include "views/key_axis.h"

#include <algorithm>

namespace orrery {

float KeyAxis::x(double key) const {
  const auto span = static_cast<double>(std::max<int64_t>(end - keys.begin, 1));
  return plot.x + static_cast<float>((key - static_cast<double>(keys.begin)) / span) * plot.width;
}

Rect KeyAxis::within(const Rect& rect, int64_t from, int64_t to) const {
  const float left = x(static_cast<double>(std::clamp(from, keys.begin, end)));
  const float right = x(static_cast<double>(std::clamp(to, keys.begin, end)));
  return {left, rect.y, right - left, rect.height};
}

int KeyAxis::add_axis(SceneBuilder& builder, int64_t per_cell, std::vector<Tick> ticks) const {
  return builder.scene.add_axis({.name = "key",
                                 .unit = "token",
                                 .means = SceneAxis::Means::kKey,
                                 .begin = keys.begin,
                                 .end = keys.end,
                                 .per_cell = per_cell,
                                 .ticks = std::move(ticks)});
}

void KeyAxis::draw_marks(SceneBuilder& builder, const Rect& chart, const ViewState& state, int64_t selected) const {
  const auto mark = [&](int64_t key, Paint paint) {
    if (key < keys.begin || key >= keys.end) return;
    const float at = x(static_cast<double>(key) + 0.5);
    builder.rule({at, chart.y}, {at, chart.bottom()}, paint);
  };
  mark(state.hovered.key, Paint::of(ColourRole::kHover, 0.7f));
  mark(selected, Paint::of(ColourRole::kAccent, 0.8f));
}

void KeyAxis::draw_later(SceneBuilder& builder, const Rect& chart, int64_t step) const {
  builder.box(within(chart, step + 1, end), Paint::of(ColourRole::kGrid, 0.35f));
}

}  // namespace orrery
