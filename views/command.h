// Commands: what input to a view means. Views never act; they offer Commands, and `apply` changes the ViewState.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "views/view_state.h"

namespace orrery {

// Pins what is given; the rest stays. Remembered for Back. A step ends following, and the text scrolls to it unless
// text_top says which step its first line is to keep.
struct Select {
  std::optional<int64_t> step = {};
  std::optional<int32_t> layer = {};
  std::optional<int32_t> head = {};
  std::optional<int64_t> key = {};
  std::optional<int64_t> text_top = {};
  std::optional<int32_t> token = {};
  bool operator==(const Select&) const = default;
};
// Previews what is given; an empty one ends the preview.
struct Hover {
  Selection target;
  bool operator==(const Hover&) const = default;
};
// Esc: no key, no token, no hover, no zoom; step, layer and head stay.
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
struct ChooseTheme {
  ThemeKind kind = ThemeKind::kLight;
  bool operator==(const ChooseTheme&) const = default;
};
struct Back {
  bool operator==(const Back&) const = default;
};
struct Forward {
  bool operator==(const Forward&) const = default;
};

using Command = std::variant<Select, Hover, ClearSelection, Follow, ZoomSteps, ZoomKeys, ScrollText, ChooseTokenScalar,
                             ChooseHeadScalar, ChooseTheme, Back, Forward>;

// Scroll and zoom that come from moving on (a new step is chosen, another run is opened) are ended here as well.
// By value, so that std::apply is never the better match.
void apply(ViewState& state, Command command);

// Keys of the keyboard: the neighbour of what is selected now, kept inside the run and the model.
Command move_step(const FrameHistory& history, const ViewState& state, int64_t by);
Command move_layer(const FrameHistory& history, const ViewState& state, int by);
Command move_head(const FrameHistory& history, const ViewState& state, int by);

}  // namespace orrery
