// TapMask: what the views, the recorder and the pins want at a step; compiled to the engine's ProbePlan.
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "engine/probe_plan.h"
#include "probes/probe.h"

namespace orrery {

struct TapMask {
  std::set<const Probe*> probes;
  // Whose rows are wanted where `probes` has attention.row or state.row; empty: all layers, all heads.
  std::vector<int32_t> row_layers;
  std::vector<int32_t> row_heads;
  // Recurrences keep what goes into them: so at every step before one at which state.row is wanted.
  bool keeps_history = false;

  static TapMask none() { return {}; }
  static TapMask of(Level level);  // what a recording at this level keeps
  bool needs_history() const;      // whether state.row is wanted
  bool operator==(const TapMask& other) const = default;
};

// Only what the model has; field order is the registry's.
ProbePlan compile(const TapMask& mask, const ModelConfig& config);

// A head whose rows are always exact.
struct PinnedHead {
  int32_t layer = 0;
  int32_t head = 0;
  auto operator<=>(const PinnedHead&) const = default;
};

// What is wanted over the steps of a run: a level, finer levels over spans of it, exact rows for the first steps, and
// of pinned heads.
struct TapSchedule {
  struct Span {
    int64_t begin = 0;  // half-open [begin, end)
    int64_t end = 0;
    Level level = Level::kFull;
  };
  bool recording = true;  // false: nothing is measured
  Level level = Level::kStandard;
  std::vector<Span> spans;
  int64_t pinned_steps = 0;  // attention.row of all heads is wanted for steps below this
  // attention.row is wanted of these heads (with several, of each of their layers in each of their heads: rows are
  // packed as one block) from step `begin` on; the entry with the largest begin at or before a step holds there.
  struct Pins {
    int64_t begin = 0;
    std::vector<PinnedHead> heads;  // none: from here on no head is pinned
    bool operator==(const Pins&) const = default;
  };
  std::vector<Pins> pins;  // ascending by begin

  // The heads that are pinned at a step.
  std::vector<PinnedHead> pinned_at(int64_t step) const;
  // From step `begin` on; what was said of later steps is forgotten.
  void pin(int64_t begin, std::vector<PinnedHead> heads);

  Level level_at(int64_t step) const;
  TapMask mask_at(int64_t step) const;
  // The first step after `step` at which mask_at may differ; INT64_MAX where there is none. Prefill batches end there.
  int64_t next_change(int64_t step) const;
};

}  // namespace orrery
