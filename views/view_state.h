// ViewState: what the user looks at, one for all views. Plain data: views read it, `apply` changes it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "probes/frame_history.h"
#include "probes/tap_mask.h"
#include "views/theme.h"

namespace orrery {

// -1: not chosen.
struct Selection {
  int64_t step = -1;
  int32_t layer = -1;
  int32_t head = -1;
  int64_t key = -1;
  int32_t token = -1;  // the candidate that the lens follows; -1: the one that came next
  // Of a loop, from 0, where it is chosen beside the layer; else that of the layer, which in a loop is a visit.
  int32_t iteration = -1;
  int32_t expert = -1;
  bool operator==(const Selection&) const = default;
};

// Half-open; empty (end <= begin): all of it.
struct StepRange {
  int64_t begin = 0;
  int64_t end = 0;
  bool all() const { return end <= begin; }
  int64_t size() const { return end - begin; }
  bool operator==(const StepRange&) const = default;
};

// A rule by which tokens would leave a loop, asked of what is recorded of a run that had another.
struct WhatIf {
  ExitRule rule = ExitRule::kGate;  // or kStep
  float threshold = 0;
  bool operator==(const WhatIf&) const = default;
};

struct ViewState {
  Selection selected;                             // pinned by clicks and keys
  Selection hovered;                              // under the pointer; all -1 where nothing is
  bool follow = true;                             // the step follows the newest; any chosen step ends it
  StepRange steps;                                // zoom of step axes
  StepRange keys;                                 // zoom of key axes
  std::optional<int64_t> text_top;                // first step of the text view's first line while the user scrolls it
  std::string token_scalar = "output.entropy";    // colours the text: a name of token_scalars()
  std::string head_scalar = "attention.entropy";  // colours the heads: a name of head_scalars()
  std::optional<WhatIf> what_if;                  // depths are drawn as they would be with it
  ThemeKind theme = ThemeKind::kLight;
  std::vector<PinnedHead> pins;    // heads whose exact rows are measured at every step; ascending
  std::vector<Selection> back;     // oldest first
  std::vector<Selection> forward;  // nearest last
};

// The selection with every gap filled from what is there: the newest processed step while following or where none is
// chosen, the first layer with attention (else with a recurrent state, else with fast weights, else the first of all),
// head 0. Clamped to the run; head -1 where the layer has none. `key` stays -1 where none is chosen, `expert` where
// none is or the layer has no such. Where an iteration is chosen, a layer of the loop is its visit in that iteration.
Selection resolve(const FrameHistory& history, const ViewState& state);

// The same as a view of one kind of mixer takes it: where no layer is chosen, the first that has the kind; the head is
// one of those, -1 where the layer has none of the kind.
Selection resolve_for(MixerKind kind, const FrameHistory& history, const ViewState& state);

// How many heads a layer has of a kind: query heads, heads of the recurrent state as state.* counts them, heads with
// fast weights; the most that it has of any.
int32_t n_heads_of(const LayerConfig& layer, MixerKind kind);
int32_t n_heads_of(const LayerConfig& layer);

// The visit that a layer of the loop, given by any of its visits, has in an iteration (from 0); the layer itself where
// it is in no loop.
int32_t visit_in(const ModelConfig& config, int32_t layer, int32_t iteration);

}  // namespace orrery
