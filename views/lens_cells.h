// The numbers behind the lens view, without any drawing.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "probes/frame_history.h"
#include "views/view_state.h"

namespace orrery {

// What would be said next if the model stopped after each layer (in a loop: after each visit of one), over steps.
struct LensMap {
  StepRange steps;
  int64_t steps_per_col = 1;    // powers of two; a column is as its last recorded step
  std::vector<int32_t> layers;  // rows, in the order in which they are visited
  int cols = 0;
  std::vector<int32_t> ids;          // [rows, cols] the likeliest token, -1: not recorded, or the token was not there
  std::vector<float> probabilities;  // [rows, cols] its probability, NaN where ids has -1
  std::vector<StepRange> missing;    // columns without any recorded step, maximal, as steps
  FrameRow row;                      // the last one that was read; empty: none
};
LensMap lens_map(const FrameHistory& history, StepRange steps, int max_cols);

struct LensCandidate {
  int32_t id = -1;
  float probability = 0;
};
// The recorded candidates of one layer at a step, likeliest first; empty where there are none.
std::vector<LensCandidate> lens_candidates(const FrameHistory& history, int32_t layer, int64_t step);

// One token through all layers at a step.
struct LensTrace {
  std::vector<int32_t> layers;
  std::vector<int> ranks;            // from 1; 0: not among those that are recorded; -1: nothing is recorded there
  std::vector<float> probabilities;  // NaN where the rank is below 1
  FrameRow row;                      // empty: the step is not held
};
LensTrace lens_trace(const FrameHistory& history, int32_t id, int64_t step);

// The token that is followed at a step: the pinned one, else the one that came next, else what the last
// layer says that the step was in.
struct FollowedToken {
  enum class Why : uint8_t { kPinned, kCameNext, kLikeliest, kNone };
  int32_t id = -1;
  Why why = Why::kNone;
};
FollowedToken followed_token(const FrameHistory& history, const Selection& selection);

// The steps that are drawn: the zoom where there is one, else `most` around the selected step, so placed that choosing
// one of them moves nothing as long as it stays in the second half.
StepRange lens_steps(const FrameHistory& history, const ViewState& state, int64_t most);

}  // namespace orrery
