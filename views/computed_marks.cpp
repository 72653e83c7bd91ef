#include "views/computed_marks.h"

#include <algorithm>
#include <map>

#include "probes/model_axes.h"
#include "views/frame_rows.h"
#include "views/scene_builder.h"

namespace orrery {
namespace {

int32_t dropped(const FrameRow& row, int32_t layer) {
  const std::span<const int32_t> count = row ? row.layer_i32(layer) : std::span<const int32_t>{};
  return count.empty() ? 0 : count[0];
}

// The steps of [0, n) that are held, as maximal half-open ranges.
std::vector<StepRange> held_ranges(const FrameHistory& history, const Probe& probe, int64_t n) {
  std::vector<StepRange> held;
  int64_t from = 0;
  for (const auto& [begin, end] : history.missing(probe, 0, n)) {
    if (begin > from) held.push_back({from, begin});
    from = end;
  }
  if (from < n) held.push_back({from, n});
  return held;
}

// Counts never fall: the first range that ends above 0 has the step, found by halving.
int64_t first_drop(const FrameHistory& history, const Probe& probe, const std::vector<StepRange>& held, int32_t layer) {
  for (const StepRange& range : held) {
    if (dropped(history.row(probe, range.end - 1), layer) == 0) continue;
    int64_t none = range.begin - 1, some = range.end - 1;
    while (none + 1 < some) {
      const int64_t middle = none + (some - none) / 2;
      (dropped(history.row(probe, middle), layer) > 0 ? some : none) = middle;
    }
    return some;
  }
  return -1;
}

std::string names_of(const RunInfo& info, const std::vector<int32_t>& layers) {
  if (layers.size() == 1) return layer_name(info, layers.front()) + " drops";
  return std::to_string(layers.size()) + " layers, " + layer_name(info, layers.front()) + " the first, drop";
}

}  // namespace

std::vector<ComputedMark> eviction_marks(const FrameHistory& history) {
  const Probe& probe = *find_probe("cache.evicted");
  const std::vector<StepRange> held = held_ranges(history, probe, history.n_processed());
  std::vector<ComputedMark> marks;
  if (held.empty()) return marks;
  const FrameRow newest = history.row(probe, held.back().end - 1);
  std::map<int64_t, std::vector<int32_t>> by_step;
  for (const int32_t layer : attention_layers(history.info().config)) {
    if (dropped(newest, layer) == 0) continue;
    by_step[first_drop(history, probe, held, layer)].push_back(layer);
  }
  for (const auto& [step, layers] : by_step) {
    const bool begins = step == 0 || history.row(probe, step - 1);
    marks.push_back({.step = step,
                     .kind = "eviction",
                     .text = names_of(history.info(), layers) + " keys from " + (begins ? "" : "or before ") + "step " +
                             std::to_string(step) + " on",
                     .layer = layers.front()});
  }
  return marks;
}

int32_t layer_of_experts(const FrameHistory& history, const Selection& now) {
  const std::vector<int32_t> layers = moe_layers(history.info().config);
  if (std::ranges::binary_search(layers, now.layer)) return now.layer;
  return layers.empty() ? -1 : layers.front();
}

std::vector<ComputedMark> hot_expert_marks(const FrameHistory& history, int32_t layer) {
  std::vector<ComputedMark> marks;
  if (layer < 0) return marks;
  const RouterConfig& router = history.info().config.layers[static_cast<size_t>(layer)].moe.router;
  const auto n_experts = static_cast<size_t>(router.n_experts);
  if (n_experts == 0) return marks;
  const double uniform = static_cast<double>(router.n_chosen) / static_cast<double>(router.n_experts);
  constexpr auto kWindow = HotExperts::kWindow;
  std::vector<int32_t> counts(n_experts, 0);
  std::vector<bool> hot(n_experts, false);
  const auto n_chosen = static_cast<size_t>(std::max(router.n_chosen, 1));
  std::vector<int32_t> window(static_cast<size_t>(kWindow) * n_chosen, -1);  // experts of step s at (s % kWindow)
  int64_t first = -1, last = -2;                                             // the steps that are counted without a gap
  const auto share_of = [&](size_t expert) {
    return static_cast<double>(counts[expert]) / static_cast<double>(kWindow);
  };
  const auto look_at = [&](size_t expert) {
    if (hot[expert]) {
      hot[expert] = share_of(expert) > HotExperts::kEnds * uniform;
      return;
    }
    if (share_of(expert) <= HotExperts::kTimes * uniform) return;
    hot[expert] = true;
    marks.push_back({.step = last,
                     .kind = "hot expert",
                     .text = "expert " + std::to_string(expert) + " of " + layer_name(history.info(), layer) + " got " +
                             format_percent(share_of(expert)) + " of the last " + std::to_string(kWindow) +
                             " tokens, more than " + format_tick(HotExperts::kTimes) + " times its equal share of " +
                             format_percent(uniform),
                     .layer = layer,
                     .expert = static_cast<int32_t>(expert)});
  };
  const int64_t end = history.n_processed();
  const int64_t begin = std::max<int64_t>(end - HotExperts::kMostSteps, 0);
  for_each_row(history, *find_probe("moe.experts"), begin, end, [&](const FrameRow& row) {
    if (row.step != last + 1) {
      std::ranges::fill(counts, 0);
      std::fill(hot.begin(), hot.end(), false);
      std::ranges::fill(window, -1);
      first = row.step;
    }
    last = row.step;
    const std::span<int32_t> of_step =
        std::span(window).subspan(static_cast<size_t>(row.step % kWindow) * n_chosen, n_chosen);
    const std::span<const int32_t> ids = row.layer_i32(layer);
    for (size_t i = 0; i < n_chosen; ++i) {
      const int32_t left = of_step[i];
      if (left >= 0) --counts[static_cast<size_t>(left)];
      of_step[i] = i < ids.size() && ids[i] >= 0 && ids[i] < router.n_experts ? ids[i] : -1;
      if (of_step[i] >= 0) ++counts[static_cast<size_t>(of_step[i])];
    }
    // Shares of a part of a window say nothing; all are looked at, so that those that cool are seen to.
    if (last - first + 1 < kWindow) return;
    for (size_t expert = 0; expert < n_experts; ++expert) look_at(expert);
  });
  return marks;
}

}  // namespace orrery
