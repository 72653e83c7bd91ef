#include "views/what_if.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "views/frame_rows.h"
#include "views/scene_builder.h"

namespace orrery {
namespace {

constexpr float kUsualGate = 0.5f;
constexpr float kUsualStep = 0.1f;
constexpr int64_t kRangeSteps = 1024;  // that tell how far the states move

// The iterations that the token was in.
size_t n_known(std::span<const float> recorded, const LoopConfig& loop) {
  const auto first_nan = std::ranges::find_if(recorded, [](float value) { return std::isnan(value); });
  return std::min(static_cast<size_t>(first_nan - recorded.begin()), static_cast<size_t>(loop.n_iterations));
}

}  // namespace

bool can_ask(const LoopConfig& loop, ExitRule rule) {
  return loop.any() && (rule == ExitRule::kStep || (rule == ExitRule::kGate && loop.has_gate));
}

std::optional<WhatIf> first_what_if(const LoopConfig& loop) {
  if (!loop.any()) return std::nullopt;
  if (can_ask(loop, loop.rule)) return WhatIf{loop.rule, loop.threshold};
  return loop.has_gate ? WhatIf{ExitRule::kGate, kUsualGate} : WhatIf{ExitRule::kStep, kUsualStep};
}

float greatest_threshold(const FrameHistory& history, ExitRule rule) {
  if (rule == ExitRule::kGate) return 1.0f;
  float high = 0;
  const int64_t end = history.n_processed();
  for_each_row(history, *find_probe("loop.step"), std::max<int64_t>(0, end - kRangeSteps), end,
               [&](const FrameRow& row) {
                 for (const float value : row.f32()) high = value > high ? value : high;
               });
  if (high <= 0) return 1.0f;
  const float tenth = std::pow(10.0f, std::floor(std::log10(high)) - 1);  // two digits
  return std::ceil(high / tenth) * tenth;
}

WhatIf what_if_at(ExitRule rule, float greatest, float share) {
  return {rule, greatest * std::max(std::round(std::clamp(share, 0.0f, 1.0f) * 100), 1.0f) / 100};
}

WhatIf moved(const WhatIf& what, float greatest, int hundredths) {
  return what_if_at(what.rule, greatest, what.threshold / greatest + static_cast<float>(hundredths) / 100);
}

std::string what_if_text(const WhatIf& what) {
  const std::string threshold = format_value(static_cast<double>(what.threshold));
  return what.rule == ExitRule::kStep ? "exit at changes below " + threshold
                                      : "exit once the gate's probabilities reach " + threshold;
}

std::string_view what_if_probe(ExitRule rule) { return rule == ExitRule::kStep ? "loop.step" : "loop.exit"; }

int32_t depth_if(const WhatIf& what, const LoopConfig& loop, std::span<const float> recorded) {
  const size_t n = n_known(recorded, loop);
  float sum = 0;
  for (size_t i = 0; i < n; ++i) {
    const auto depth = static_cast<int32_t>(i + 1);
    if (depth == loop.n_iterations) return depth;  // after the last nobody asks
    if (what.rule == ExitRule::kStep) {
      if (recorded[i] < what.threshold) return depth;
      continue;
    }
    // The last one of a token that left holds what was left of 1, not what the gate said there.
    if (i + 1 == n) return loop.rule == what.rule && what.threshold <= loop.threshold ? depth : -1;
    sum += recorded[i];
    if (sum >= what.threshold) return depth;
  }
  return -1;
}

std::vector<float> depths_if(const FrameHistory& history, const WhatIf& what, int64_t begin, int64_t end) {
  std::vector<float> depths(static_cast<size_t>(std::max<int64_t>(end - begin, 0)),
                            std::numeric_limits<float>::quiet_NaN());
  const LoopConfig& loop = history.info().config.loop;
  if (!can_ask(loop, what.rule)) return depths;
  for_each_row(history, *find_probe(what_if_probe(what.rule)), begin, end, [&](const FrameRow& row) {
    const int32_t depth = depth_if(what, loop, row.f32());
    if (depth > 0) depths[static_cast<size_t>(row.step - begin)] = static_cast<float>(depth);
  });
  return depths;
}

MeanDepths mean_depths(const FrameHistory& history, const WhatIf& what, int64_t begin, int64_t end) {
  MeanDepths means;
  const std::vector<float> asked = depths_if(history, what, begin, end);
  for_each_row(history, *find_probe("loop.depth"), begin, end, [&](const FrameRow& row) {
    const float depth = asked[static_cast<size_t>(row.step - begin)];
    if (std::isnan(depth)) {
      ++means.n_unknown;
      return;
    }
    means.asked += static_cast<double>(depth);
    means.recorded += row.i32()[0];
    ++means.n_tokens;
  });
  if (means.n_tokens == 0) return means;
  means.asked /= static_cast<double>(means.n_tokens);
  means.recorded /= static_cast<double>(means.n_tokens);
  return means;
}

}  // namespace orrery
