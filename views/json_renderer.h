// Scene -> JSON: the drawn cells with their values, axes, ticks, labels and provenance. Missing values are null.
#pragma once

#include <nlohmann/json.hpp>

#include "views/scene.h"

namespace orrery {

// {"view", "title", "size": [w, h], "selection", "axes", "scales", "tiles", "series", "texts", "notes", "provenance",
//  "panels"}; a tile's "cells" is [rows][cols].
nlohmann::json render_json(const Scene& scene);

}  // namespace orrery
