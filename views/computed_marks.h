// Events that nobody recorded but that follow from what is recorded, each by a stated rule: the first key that a layer
// drops, and experts that get far more than their share. Without any drawing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "probes/frame_history.h"
#include "views/view_state.h"

namespace orrery {

struct ComputedMark {
  int64_t step = 0;
  std::string kind;  // "eviction", "hot expert"
  std::string text;  // what, of which, by which rule; one sentence
  int32_t layer = -1;
  int32_t expert = -1;
};

// The first recorded step at which a layer has dropped a key (cache.evicted above 0), one mark for all layers that
// begin at the same step. Steps that are not held before it are said.
std::vector<ComputedMark> eviction_marks(const FrameHistory& history);

// An expert of one layer is hot once more than kTimes its equal share of the last kWindow tokens went to it, and stays
// so until it is at kEnds times or less. One mark where each begins. Windows with steps that are not held say nothing.
struct HotExperts {
  static constexpr int64_t kWindow = 64;
  static constexpr double kTimes = 3;
  static constexpr double kEnds = 2;
  static constexpr int64_t kMostSteps = 4096;  // the newest; a longer run is not counted anew for every picture
};
std::vector<ComputedMark> hot_expert_marks(const FrameHistory& history, int32_t layer);

// The layer whose experts are told of: the selected one where it has any, else the first that has; -1: none has.
int32_t layer_of_experts(const FrameHistory& history, const Selection& now);

}  // namespace orrery
