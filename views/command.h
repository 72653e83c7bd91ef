// Commands: what input to a view means. Views never act; they offer Commands, and `apply` changes the ViewState.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "views/view_state.h"

namespace orrery {

// Pins what is given; the rest stays. Remembered for Back. A step ends following, and the text scrolls to it unless
// text_top says which step its first line is to keep. An expert colours the text, until ClearSelection.
struct Select {
  std::optional<int64_t> step = {};
  std::optional<int32_t> layer = {};
  std::optional<int32_t> head = {};
  std::optional<int64_t> key = {};
  std::optional<int64_t> text_top = {};
  std::optional<int32_t> token = {};
  std::optional<int32_t> iteration = {};  // from 0; a layer without one is the visit that it names
  std::optional<int32_t> expert = {};
  bool operator==(const Select&) const = default;
};
// Previews what is given; an empty one ends the preview.
struct Hover {
  Selection target;
  bool operator==(const Hover&) const = default;
};
// Esc: no key, no token, no expert, no hover, no zoom, no what-if; step, layer and head stay.
struct ClearSelection {
  bool operator==(const ClearSelection&) const = default;
};
struct Follow {
  bool on = true;
  bool operator==(const Follow&) const = default;
};
// Empty ranges show all.
struct ZoomSteps {
  StepRange range;
  bool operator==(const ZoomSteps&) const = default;
};
struct ZoomKeys {
  StepRange range;
  bool operator==(const ZoomKeys&) const = default;
};
struct ScrollText {
  std::optional<int64_t> top;
  bool operator==(const ScrollText&) const = default;
};
struct ChooseTokenScalar {
  std::string name;
  bool operator==(const ChooseTokenScalar&) const = default;
};
struct ChooseHeadScalar {
  std::string name;
  bool operator==(const ChooseHeadScalar&) const = default;
};
// Depths as another exit would give them; none: as they were.
struct AskWhatIf {
  std::optional<WhatIf> what;
  bool operator==(const AskWhatIf&) const = default;
};
// The window makes a new run of it, with this exit, the prompt and the settings of the one on the screen.
struct RunWhatIf {
  WhatIf what;
  bool operator==(const RunWhatIf&) const = default;
};
struct ChooseTheme {
  ThemeKind kind = ThemeKind::kLight;
  bool operator==(const ChooseTheme&) const = default;
};
// The exact rows of a head are measured at every step from now on, or no more.
struct PinHead {
  int32_t layer = 0;
  int32_t head = 0;
  bool on = true;
  bool operator==(const PinHead&) const = default;
};
// Looks again as was looked before, at a note's step: selection, zoom, colours and what-if; theme and pins stay.
// Remembered for Back.
struct RestoreView {
  std::shared_ptr<const ViewState> state;
  bool operator==(const RestoreView&) const = default;
};
struct Back {
  bool operator==(const Back&) const = default;
};
struct Forward {
  bool operator==(const Forward&) const = default;
};

using Command = std::variant<Select, Hover, ClearSelection, Follow, ZoomSteps, ZoomKeys, ScrollText, ChooseTokenScalar,
                             ChooseHeadScalar, ChooseTheme, PinHead, RestoreView, Back, Forward, AskWhatIf, RunWhatIf>;

// Scroll and zoom that come from moving on (a new step is chosen, another run is opened) are ended here as well.
// By value, so that std::apply is never the better match.
void apply(ViewState& state, Command command);

// Keys of the keyboard: the neighbour of what is selected now, kept inside the run and the model.
Command move_step(const FrameHistory& history, const ViewState& state, int64_t by);
Command move_layer(const FrameHistory& history, const ViewState& state, int by);
Command move_head(const FrameHistory& history, const ViewState& state, int by);
// Between the visits of the selected layer, where the model has a loop.
Command move_iteration(const FrameHistory& history, const ViewState& state, int by);
// The threshold of the what-if by a twentieth of its range, from the run's own where none is asked yet.
Command move_what_if(const FrameHistory& history, const ViewState& state, int by);
// Pins the head of attention that is looked at, or unpins it; nothing where the layer has none.
std::optional<Command> toggle_pin(const FrameHistory& history, const ViewState& state);

}  // namespace orrery
