// What is looked at, as JSON text: kept with a note, so that a click on it looks again.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "views/view_state.h"

namespace orrery {

// {"step", "layer", "head", "key", "steps", "keys", "text_top", "token_scalar", "head_scalar"}: what is selected (the
// step also where the run was followed), zoomed and coloured. Theme, hovering and the way back are not in it.
std::string view_state_to_json(const FrameHistory& history, const ViewState& state);

// Text comes from a session file, a stranger's: what is absent or cannot be keeps its default, and text that is no
// object gives a state that shows `step`. Never null.
std::shared_ptr<const ViewState> view_state_from_json(std::string_view text, int64_t step);

}  // namespace orrery
