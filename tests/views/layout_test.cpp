// Every view at every size: nothing is clipped, nothing overlaps. With ORRERY_PICTURES=DIR the pictures are written
// there.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "tests/views/loop_run.h"
#include "tests/views/mixer_run.h"
#include "tests/views/sample_run.h"
#include "views/registry.h"
#include "views/svg_renderer.h"

namespace orrery {
namespace {

const FrameHistory& sample() {
  static const FrameHistory kHistory = SampleRun{.n_layers = 12, .exact_steps = 200}.history(330);
  return kHistory;
}

std::vector<const View*> views() {
  std::vector<const View*> list(all_views().begin(), all_views().end());
  list.push_back(&timeline_view());
  return list;
}

void write_picture(const Scene& scene, const Theme& theme, const TextMetrics& metrics, const std::string& name) {
  const char* folder = std::getenv("ORRERY_PICTURES");
  if (folder == nullptr) return;
  std::ofstream(std::string(folder) + "/" + name + ".svg")
      << render_svg(scene, theme, metrics, {.font_family = "DejaVu Sans Mono, monospace"});
}

void expect_tidy(const Scene& scene, const TextMetrics& metrics, const std::string& what) {
  const std::vector<PlacedText> texts = placed_texts(scene, metrics);
  constexpr float kSlack = 1.0f;
  for (size_t i = 0; i < texts.size(); ++i) {
    const Rect& a = texts[i].rect;
    EXPECT_GE(a.x, -kSlack) << what << ": " << texts[i].text;
    EXPECT_GE(a.y, -kSlack) << what << ": " << texts[i].text;
    EXPECT_LE(a.right(), scene.size.width + kSlack) << what << ": " << texts[i].text;
    EXPECT_LE(a.bottom(), scene.size.height + kSlack) << what << ": " << texts[i].text;
    for (size_t j = i + 1; j < texts.size(); ++j) {
      const Rect& b = texts[j].rect;
      const bool apart = a.right() <= b.x + kSlack || b.right() <= a.x + kSlack || a.bottom() <= b.y + 2 * kSlack ||
                         b.bottom() <= a.y + 2 * kSlack;
      EXPECT_TRUE(apart) << what << ": \"" << texts[i].text << "\" over \"" << texts[j].text << "\"";
    }
  }
}

class EveryView : public testing::TestWithParam<ThemeKind> {};

const FrameHistory& hybrid_sample() {
  static const FrameHistory kHistory = HybridRun{.n_layers = 14}.history(330);
  return kHistory;
}

TEST_P(EveryView, OfAHybridDrawsTextInsideTheSceneAndApart) {
  const Theme& theme = theme_of(GetParam());
  const FixedWidthMetrics metrics(theme);
  static const FrameHistory kMamba = HybridRun{.n_layers = 5, .has_attention = false}.history(40);
  static const FrameHistory kFast = FastRun{.n_layers = 7}.history(150);
  static const FrameHistory kMixers = MixerRun{}.history(90);
  static const FrameHistory kBlocks = MixerRun{.exact = false, .implied = false}.history(200);
  for (const FrameHistory* history : {&hybrid_sample(), &kMamba, &kFast, &kMixers, &kBlocks}) {
    for (const View* view : views()) {
      for (const Size size : {Size{0, 0}, Size{1, 1}, Size{240, 140}, Size{300, 200}, Size{420, 300}, Size{640, 400},
                              Size{640, 480}, Size{800, 300}, Size{300, 900}, Size{1280, 800}, Size{2560, 1440}}) {
        for (const int32_t layer : {-1, 0, 2, 3}) {
          ViewState state;
          state.theme = GetParam();
          state.selected = {.step = layer < 0 ? -1 : 20, .layer = layer, .head = 1, .expert = layer};
          state.follow = layer < 0;
          const Scene scene = view->scene({*history, state, size, metrics});
          const std::string what = std::string(view->name()) + "_hybrid_" +
                                   std::to_string(static_cast<int>(size.width)) + "x" +
                                   std::to_string(static_cast<int>(size.height)) + "_" +
                                   std::string(theme_name(GetParam())) + "_layer" + std::to_string(layer) +
                                   (history == &kMamba    ? "_mamba"
                                    : history == &kFast   ? "_fast"
                                    : history == &kMixers ? "_mixers"
                                    : history == &kBlocks ? "_blocks"
                                                          : "");
          expect_tidy(scene, metrics, what);
          write_picture(scene, theme, metrics, what);
        }
      }
    }
  }
}

// The frames of a loop with what the model would say after every visit of a layer.
const FrameHistory& loop_with_lens() {
  static const FrameHistory kHistory = [] {
    FrameHistory history = LoopRun{}.history(330);
    std::vector<int32_t> layers;
    std::vector<float> tops;
    for (int32_t layer = 0; layer < history.info().config.n_layers(); ++layer) {
      layers.push_back(layer);
      for (int32_t k = 0; k < 8; ++k)
        tops.insert(tops.end(), {static_cast<float>(layer + k), 0.5f / static_cast<float>(k + 1)});
    }
    history.add_frame(make_frame("lens.top", 20, layers, {8, 2}, tops));
    return history;
  }();
  return kHistory;
}

TEST_P(EveryView, OfALoopDrawsTextInsideTheSceneAndApart) {
  const Theme& theme = theme_of(GetParam());
  const FixedWidthMetrics metrics(theme);
  static const FrameHistory kPlain = LoopRun{.has_gate = false}.history(25);
  for (const FrameHistory* history : {&loop_with_lens(), &kPlain}) {
    for (const View* view : views()) {
      for (const Size size : {Size{1, 1}, Size{80, 50}, Size{300, 200}, Size{420, 300}, Size{640, 400}, Size{800, 300},
                              Size{300, 900}, Size{1280, 800}, Size{2560, 1440}, Size{240, 140}}) {
        for (const int64_t step : {-1, 20, 400}) {
          ViewState state;
          state.theme = GetParam();
          state.follow = step < 0;
          state.selected.step = step;
          if (step >= 0) state.what_if = WhatIf{step == 20 ? ExitRule::kGate : ExitRule::kStep, 0.6f};
          const Scene scene = view->scene({*history, state, size, metrics});
          const std::string what = std::string(view->name()) + "_loop_" + std::to_string(static_cast<int>(size.width)) +
                                   "x" + std::to_string(static_cast<int>(size.height)) + "_" +
                                   std::string(theme_name(GetParam())) + "_" + std::to_string(step) +
                                   (history == &kPlain ? "_plain" : "");
          expect_tidy(scene, metrics, what);
          write_picture(scene, theme, metrics, what);
        }
      }
    }
  }
}

TEST_P(EveryView, DrawsTextInsideTheSceneAndApart) {
  const Theme& theme = theme_of(GetParam());
  const FixedWidthMetrics metrics(theme);
  const SampleTexts texts;
  for (const View* view : views()) {
    for (const Size size : {Size{1, 1}, Size{80, 50}, Size{300, 200}, Size{420, 300}, Size{640, 480}, Size{800, 300},
                            Size{300, 900}, Size{1280, 800}, Size{2560, 1440}}) {
      for (const int64_t step : {int64_t{-1}, int64_t{0}, int64_t{150}}) {
        ViewState state;
        state.theme = GetParam();
        state.follow = step < 0;
        state.selected = {
            .step = step, .layer = step < 0 ? -1 : 7, .head = step < 0 ? -1 : 4, .key = step < 0 ? -1 : 12};
        const Scene scene = view->scene({sample(), state, size, metrics, &texts});
        const std::string what = std::string(view->name()) + "_" + std::to_string(static_cast<int>(size.width)) + "x" +
                                 std::to_string(static_cast<int>(size.height)) + "_" +
                                 std::string(theme_name(GetParam())) + "_" + (step < 0 ? "last" : std::to_string(step));
        expect_tidy(scene, metrics, what);
        write_picture(scene, theme, metrics, what);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Themes, EveryView,
                         testing::Values(ThemeKind::kLight, ThemeKind::kDark, ThemeKind::kProjector));

}  // namespace
}  // namespace orrery
