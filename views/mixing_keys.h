// The axis of keys that all of the mixing view stands on, and how each kind of weights is coloured.
#pragma once

#include <array>
#include <vector>

#include "views/mixing_cells.h"
#include "views/scene_builder.h"

namespace orrery {

// One kind of weights: its colours, and what its scale bar says.
struct MixingLook {
  const char* name;
  ColourMapId map;
  ColourRole bars;
};
inline constexpr std::array<MixingLook, 3> kMixingLooks{{
    {"attention weight", ColourMapId::kSequential, ColourRole::kSeries1},
    {"implied weight, signed", ColourMapId::kDiverging, ColourRole::kSeries1},
    {"size of a tap's part", ColourMapId::kSequential, ColourRole::kSeries2},
}};
constexpr size_t mixing_look_of(LaneKind kind) {
  return kind == LaneKind::kState ? 1 : kind == LaneKind::kTaps ? 2 : 0;
}

struct MixingKeys {
  Rect plot;        // whose width the keys span; charts above and below have it, too
  StepRange keys;   // that are drawn
  int64_t end = 0;  // with the whole of the last cell
  int64_t per_col = 1;

  float x(double key) const;
  // Where [from, to) of the keys lies, with the height of rect.
  Rect within(const Rect& rect, int64_t from, int64_t to) const;
  int add_axis(SceneBuilder& builder, int64_t per_cell, std::vector<Tick> ticks = {}) const;
  std::vector<Tick> draw_ticks(SceneBuilder& builder, const Rect& below) const;
  // The hovered and the selected key.
  void draw_marks(SceneBuilder& builder, const Rect& chart, const ViewState& state, int64_t selected) const;
  // What is later than the step, in grey.
  void draw_later(SceneBuilder& builder, const Rect& chart, int64_t step) const;
};

}  // namespace orrery
