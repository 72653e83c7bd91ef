// Window: the other views' scenes, tiled as the window has them. Views that do not fit, or that the model lacks, are
// named.
#include <algorithm>
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

// Views that a model has, in order; the first of all where it has none, to say why.
std::vector<const View*> offered(std::span<const View* const> views, const RunInfo& info) {
  std::vector<const View*> list;
  for (const View* view : views) {
    if (!view->unavailable(info)) list.push_back(view);
  }
  if (list.empty()) list.push_back(views.front());
  return list;
}

// One below the other in equal parts.
void stack(std::span<const View* const> views, const Rect& area, std::vector<Place>& list) {
  const auto n = static_cast<float>(views.size());
  const float each = (area.height - kGap * (n - 1)) / n;
  for (size_t i = 0; i < views.size(); ++i) {
    list.push_back({views[i], {area.x, area.y + static_cast<float>(i) * (each + kGap), area.width, each}});
  }
}

// What a layer mixes with fills the middle; the rest stands beside it.
std::array<const View*, 3> mixer_views() { return {&attention_view(), &state_view(), &fast_view()}; }
std::array<const View*, 3> side_views() { return {&routing_view(), &cache_view(), &output_view()}; }

std::vector<Place> places(Size size, const RunInfo& info) {
  const float w = size.width;
  const float h = size.height;
  const std::vector<const View*> mixers = offered(mixer_views(), info);
  std::vector<Place> list;
  if (w < 560 || h < 420) {
    // One above the other, as many as stay readable.
    const std::array<const View*, 3> order{&text_view(), mixers.front(), &output_view()};
    const auto n = std::min<size_t>(order.size(), std::max<size_t>(1, static_cast<size_t>(h / 130)));
    stack(std::span(order).first(n), {0, 0, w, h}, list);
    return list;
  }
  const float timeline = std::clamp(h * 0.13f, 64.0f, 150.0f);
  const float text = std::clamp(h * 0.24f, 110.0f, 360.0f);
  const float middle = h - timeline - text - 2 * kGap;
  const float side = std::clamp(w * 0.34f, 220.0f, 900.0f);
  const float top = text + kGap;
  list.push_back({&text_view(), {0, 0, w, text}});
  stack(mixers, {0, top, w - side - kGap, middle}, list);
  stack(offered(side_views(), info), {w - side, top, side, middle}, list);
  list.push_back({&timeline_view(), {0, h - timeline, w, timeline}});
  return list;
}

class WindowView final : public View {
 public:
  std::string_view name() const override { return "window"; }
  std::string_view title() const override { return "Window"; }
  std::optional<std::string> unavailable(const RunInfo&) const override { return std::nullopt; }

  std::vector<Wanted> wanted(const FrameHistory& history, const ViewState& state) const override {
    std::vector<Wanted> all;
    for (const View* view : tiled_views()) {
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
    const RunInfo& info = input.history.info();
    const std::vector<Place> list = places(input.size, info);
    for (const Place& place : list) {
      const Size size{place.rect.width, place.rect.height};
      Scene child = place.view->scene({input.history, input.state, size, input.metrics, input.texts});
      for (const Provenance& one : child.provenance) scene.provenance.push_back(one);
      scene.panels.push_back({std::string(place.view->name()), place.rect, std::make_shared<Scene>(std::move(child))});
    }
    name_left_out(list, info, scene);
    return scene;
  }

 private:
  static std::vector<const View*> tiled_views() {
    std::vector<const View*> views{&text_view()};
    for (const View* view : mixer_views()) views.push_back(view);
    for (const View* view : side_views()) views.push_back(view);
    views.push_back(&timeline_view());
    return views;
  }

  // Why a view is not among the tiles: the model lacks it, or there is no room.
  static void name_left_out(const std::vector<Place>& list, const RunInfo& info, Scene& scene) {
    bool fits = true;
    for (const View* view : tiled_views()) {
      if (std::ranges::any_of(list, [view](const Place& place) { return place.view == view; })) continue;
      if (const auto reason = view->unavailable(info)) {
        scene.notes.push_back(std::string(view->title()) + ": " + *reason);
      } else {
        fits = false;
      }
    }
    if (!fits) scene.notes.push_back("Some views do not fit at this size.");
  }
};

}  // namespace

const View& window_view() {
  static const WindowView kView;
  return kView;
}

}  // namespace orrery
