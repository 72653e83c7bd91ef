// What steps of the shown run are called in a picture.
#pragma once

#include <cstdint>
#include <string>

#include "probes/frame_history.h"

namespace orrery {

// The label of the token that was processed there: "␣cat"; empty outside the text.
std::string token_at(const FrameHistory& history, int64_t step);
// "step 12 ␣cat"
std::string step_text(const FrameHistory& history, int64_t step);

}  // namespace orrery
