// What-if of a loop's exit: the depths that tokens would have had with another rule or threshold, from what is recorded
// of the run, by the rules of engine/looped_pass. Without any drawing.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "probes/frame_history.h"
#include "views/view_state.h"

namespace orrery {

// Whether a rule can be asked of a run of this model: the gate's where it has one.
bool can_ask(const LoopConfig& loop, ExitRule rule);
// Where asking begins: the run's own exit, or that of the gate or of the step at a usual threshold where it has none.
// None without a loop.
std::optional<WhatIf> first_what_if(const LoopConfig& loop);
// The greatest threshold that is worth asking: 1, or as far as any state moves, rounded up. Asked are hundredths of it.
float greatest_threshold(const FrameHistory& history, ExitRule rule);
// The threshold at a share of the greatest, at least a hundredth of it, and the other way round.
WhatIf what_if_at(ExitRule rule, float greatest, float share);
// The what-if by so many hundredths more.
WhatIf moved(const WhatIf& what, float greatest, int hundredths);
// "exit once the gate's probabilities reach 0.700"
std::string what_if_text(const WhatIf& what);
std::string_view what_if_probe(ExitRule rule);  // what it is computed from: "loop.exit" or "loop.step"

// The iterations of a token of which `recorded` is held, loop.exit or loop.step [iteration]; -1: the token left before
// the rule says anything, and what it would have done is not recorded.
int32_t depth_if(const WhatIf& what, const LoopConfig& loop, std::span<const float> recorded);
// One depth per step of [begin, end); NaN where it is not held or not known.
std::vector<float> depths_if(const FrameHistory& history, const WhatIf& what, int64_t begin, int64_t end);

// Over the tokens of [begin, end) of which both depths are known.
struct MeanDepths {
  double asked = 0;
  double recorded = 0;
  int64_t n_tokens = 0;
  int64_t n_unknown = 0;  // tokens with a recorded depth whose other one is not known
};
MeanDepths mean_depths(const FrameHistory& history, const WhatIf& what, int64_t begin, int64_t end);

}  // namespace orrery
