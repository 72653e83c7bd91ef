// Window: the other views' scenes, tiled as the window has them. Views that do not fit, or that the model lacks, are
// named.
#include <array>

#include "views/registry.h"
#include "views/scene_builder.h"
#include "views/views.h"

namespace orrery {
namespace {

constexpr float kGap = 6;

struct Place {
  const View* view = nullptr;
  Rect rect;
};

std::vector<Place> places(Size size) {
  const float w = size.width;
  const float h = size.height;
  if (w < 560 || h < 420) {
    // One above the other, as many as stay readable.
    const std::array<const View*, 3> order{&text_view(), &attention_view(), &output_view()};
    const auto n = std::min<size_t>(order.size(), std::max<size_t>(1, static_cast<size_t>(h / 130)));
    const float each = (h - kGap * static_cast<float>(n - 1)) / static_cast<float>(n);
    std::vector<Place> list;
    for (size_t i = 0; i < n; ++i) list.push_back({order[i], {0, static_cast<float>(i) * (each + kGap), w, each}});
    return list;
  }
  const float timeline = std::clamp(h * 0.13f, 64.0f, 150.0f);
  const float text = std::clamp(h * 0.24f, 110.0f, 360.0f);
  const float middle = h - timeline - text - 2 * kGap;
  const float side = std::clamp(w * 0.34f, 220.0f, 900.0f);
  const float half = (middle - kGap) / 2;
  const float top = text + kGap;
  return {{&text_view(), {0, 0, w, text}},
          {&attention_view(), {0, top, w - side - kGap, middle}},
          {&cache_view(), {w - side, top, side, half}},
          {&output_view(), {w - side, top + half + kGap, side, half}},
          {&timeline_view(), {0, h - timeline, w, timeline}}};
}

class WindowView final : public View {
 public:
  std::string_view name() const override { return "window"; }
  std::string_view title() const override { return "Window"; }
  std::optional<std::string> unavailable(const RunInfo&) const override { return std::nullopt; }

  std::vector<Wanted> wanted(const FrameHistory& history, const ViewState& state) const override {
    std::vector<Wanted> all;
    for (const View* view : {&text_view(), &attention_view(), &cache_view(), &output_view(), &timeline_view()}) {
      if (view->unavailable(history.info())) continue;
      const std::vector<Wanted> some = view->wanted(history, state);
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }

  Scene scene(const SceneInput& input) const override {
    Scene scene;
    scene.view = "window";
    scene.title = "Orrery";
    scene.size = input.size;
    scene.selection = resolve(input.history, input.state);
    scene.add(Box{{0, 0, input.size.width, input.size.height}, Paint::of(ColourRole::kGround), Paint::none()});
    const std::vector<Place> list = places(input.size);
    for (const Place& place : list) {
      const Size size{place.rect.width, place.rect.height};
      if (const auto reason = place.view->unavailable(input.history.info())) {
        SceneBuilder builder({input.history, input.state, size, input.metrics, input.texts}, place.view->name(),
                             std::string(place.view->title()));
        builder.message(*reason);
        scene.panels.push_back(
            {std::string(place.view->name()), place.rect, std::make_shared<Scene>(builder.finish())});
        continue;
      }
      Scene child = place.view->scene({input.history, input.state, size, input.metrics, input.texts});
      for (const Provenance& one : child.provenance) scene.provenance.push_back(one);
      scene.panels.push_back({std::string(place.view->name()), place.rect, std::make_shared<Scene>(std::move(child))});
    }
    if (list.size() < 5) scene.notes.push_back("Some views do not fit at this size.");
    return scene;
  }
};

}  // namespace

const View& window_view() {
  static const WindowView kView;
  return kView;
}

}  // namespace orrery
