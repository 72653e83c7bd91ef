// The axis of keys that the charts and maps of a view stand on.
#pragma once

#include <cstdint>
#include <vector>

#include "views/scene_builder.h"
#include "views/view_state.h"

namespace orrery {

struct KeyAxis {
  Rect plot;        // whose width the keys span; charts above and below have it, too
  StepRange keys;   // that are drawn
  int64_t end = 0;  // with the whole of the last cell
  int64_t per_col = 1;

  int64_t cols() const { return (end - keys.begin) / per_col; }
  float x(double key) const;
  // Where [from, to) of the keys lies, with the height of rect.
  Rect within(const Rect& rect, int64_t from, int64_t to) const;
  int add_axis(SceneBuilder& builder, int64_t per_cell, std::vector<Tick> ticks = {}) const;
  std::vector<Tick> draw_ticks(SceneBuilder& builder, const Rect& below) const {
    return builder.token_ticks(below, keys.begin, end);
  }
  // The hovered and the selected key.
  void draw_marks(SceneBuilder& builder, const Rect& chart, const ViewState& state, int64_t selected) const;
  // What is later than the step, in grey.
  void draw_later(SceneBuilder& builder, const Rect& chart, int64_t step) const;
};

}  // namespace orrery
