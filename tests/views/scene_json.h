// A view's scene as JSON, and what tests ask of it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "probes/frame_history.h"
#include "views/view.h"

namespace orrery {

// The scene of a registered view in light colours, letters of one width, and no texts to read tokens by.
nlohmann::json draw_json(const std::string& view, const FrameHistory& history, const ViewState& state, Size size);
// The first of a scene's tiles, series or the like with that name; null where there is none.
nlohmann::json named(const nlohmann::json& list, const std::string& name);
// Whether the scene's texts have it.
bool says(const nlohmann::json& scene, const std::string& part);

// A state that stands at a step and doesn't follow the run.
ViewState at(int64_t step, int32_t layer = Selection{}.layer, int32_t head = Selection{}.head);

}  // namespace orrery
