// How each kind of weights of the mixing view is coloured.
#pragma once

#include <array>

#include "views/mixing_cells.h"
#include "views/scene.h"

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

}  // namespace orrery
