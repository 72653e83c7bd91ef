#include "tests/views/scene_json.h"

#include "views/json_renderer.h"
#include "views/registry.h"

namespace orrery {

using nlohmann::json;

json draw_json(const std::string& view, const FrameHistory& history, const ViewState& state, Size size) {
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  return render_json((*find_view(view))->scene({history, state, size, metrics}));
}

json named(const json& list, const std::string& name) {
  for (const json& one : list) {
    if (one["name"] == name) return one;
  }
  return nullptr;
}

bool says(const json& scene, const std::string& part) { return scene["texts"].dump().find(part) != std::string::npos; }

ViewState at(int64_t step, int32_t layer, int32_t head) {
  ViewState state;
  state.follow = false;
  state.selected = {.step = step, .layer = layer, .head = head};
  return state;
}

}  // namespace orrery
