// What-if depths by value, and what the loop view makes of them.
#include "views/what_if.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/views/loop_run.h"
#include "tests/views/scene_json.h"
#include "views/loop_cells.h"
#include "views/registry.h"
#include "views/token_scalars.h"

namespace orrery {
namespace {

using nlohmann::json;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr WhatIf kHalf{ExitRule::kGate, 0.5f};

LoopConfig loop_of(ExitRule rule, float threshold) {
  LoopConfig loop;
  loop.begin = 0;
  loop.end = 1;
  loop.n_iterations = 4;
  loop.rule = rule;
  loop.threshold = threshold;
  loop.has_gate = true;
  return loop;
}

TEST(WhatIf, TheGateStopsWhereTheSumReachesTheThreshold) {
  const LoopConfig all = loop_of(ExitRule::kFixed, 0);
  const std::vector<float> recorded{0.25f, 0.25f, 0.25f, 0.25f};
  EXPECT_EQ(depth_if({ExitRule::kGate, 0.25f}, all, recorded), 1) << "reaches: not only passes";
  EXPECT_EQ(depth_if({ExitRule::kGate, 0.26f}, all, recorded), 2);
  EXPECT_EQ(depth_if({ExitRule::kGate, 0.75f}, all, recorded), 3);
  EXPECT_EQ(depth_if({ExitRule::kGate, 1.0f}, all, recorded), 4);
}

// What a token that left holds last is what was left of 1, not the gate.
TEST(WhatIf, NothingIsSaidOfIterationsThatATokenWasNotIn) {
  const LoopConfig left = loop_of(ExitRule::kGate, 0.5f);
  const std::vector<float> recorded{0.25f, 0.75f, kNan, kNan};
  EXPECT_EQ(depth_if({ExitRule::kGate, 0.2f}, left, recorded), 1);
  EXPECT_EQ(depth_if({ExitRule::kGate, 0.5f}, left, recorded), 2) << "the run's own";
  EXPECT_EQ(depth_if({ExitRule::kGate, 0.3f}, left, recorded), 2);
  EXPECT_EQ(depth_if({ExitRule::kGate, 0.6f}, left, recorded), -1);
  EXPECT_EQ(depth_if({ExitRule::kGate, 0.3f}, loop_of(ExitRule::kStep, 0.1f), recorded), -1);
  EXPECT_EQ(depth_if(kHalf, left, std::vector<float>{}), -1);
}

TEST(WhatIf, TheStepStopsAtTheFirstSmallChange) {
  const LoopConfig loop = loop_of(ExitRule::kStep, 0.2f);
  const std::vector<float> recorded{0.9f, 0.4f, 0.1f, kNan};
  EXPECT_EQ(depth_if({ExitRule::kStep, 0.5f}, loop, recorded), 2);
  EXPECT_EQ(depth_if({ExitRule::kStep, 0.4f}, loop, recorded), 3) << "below: not at";
  EXPECT_EQ(depth_if({ExitRule::kStep, 0.05f}, loop, recorded), -1);
  EXPECT_EQ(depth_if({ExitRule::kStep, 0.05f}, loop, std::vector<float>{0.9f, 0.4f, 0.1f, 0.1f}), 4);
}

TEST(WhatIf, ItsMeanIsOverTheTokensWithBothDepths) {
  // Depths 2, 3, 4, 5 in turn, each probability 1 / depth; the step rule made them, so that the last is not the gate's.
  const FrameHistory history = LoopRun{}.history(30);
  const std::vector<float> depths = depths_if(history, kHalf, 4, 8);
  EXPECT_EQ(depths, (std::vector<float>{1, 2, 2, 3}));
  const MeanDepths means = mean_depths(history, kHalf, 0, 30);
  EXPECT_EQ(means.n_tokens, 30);
  EXPECT_NEAR(means.asked, 59.0 / 30, 1e-9);
  EXPECT_NEAR(means.recorded, 103.0 / 30, 1e-9);
  const MeanDepths high = mean_depths(history, {ExitRule::kGate, 0.9f}, 0, 30);
  EXPECT_EQ(high.n_tokens, 7) << "those that went through all";
  EXPECT_EQ(high.n_unknown, 23);
  EXPECT_EQ(mean_depths(LoopRun{.has_gate = false}.history(3), kHalf, 0, 3).n_tokens, 0) << "no gate to ask";
}

TEST(WhatIf, RecoloursTextAndLanesOfTheLoopViewAndSaysSo) {
  const FrameHistory history = LoopRun{}.history(30);
  ViewState state = at(6);
  const json before = draw_json("loop", history, state, {1100, 700});
  EXPECT_EQ(named(before["tiles"], "depth of the what-if"), nullptr);
  apply(state, AskWhatIf{kHalf});
  const json scene = draw_json("loop", history, state, {1100, 700});
  const json lane = named(scene["tiles"], "depth of the what-if");
  const json text = named(scene["series"], "depth of the what-if");
  const std::vector<float> depths = depths_if(history, kHalf, 0, 30);
  for (size_t step = 0; step < 30; ++step) {
    EXPECT_EQ(lane["cells"][0][step].get<float>(), depths[step]);
    EXPECT_EQ(text["y"][step].get<float>(), depths[step]);
  }
  EXPECT_EQ(lane["probe"], "loop.exit");
  EXPECT_EQ(named(scene["tiles"], "depth")["cells"][0][6], 4.0) << "as it was stays beside it";
  EXPECT_TRUE(says(scene, "mean depth 1.97 instead of 3.43, 30 tokens"));
  EXPECT_TRUE(says(scene, "what-if: exit once the gate's probabilities reach 0.500"));
  EXPECT_NE(scene["notes"].dump().find("computed from the recorded run"), std::string::npos);
  // What is not known is missing, not the depth that was.
  apply(state, AskWhatIf{WhatIf{ExitRule::kGate, 0.9f}});
  const json unknown = draw_json("loop", history, state, {1100, 700});
  EXPECT_TRUE(named(unknown["tiles"], "depth of the what-if")["cells"][0][0].is_null());
  EXPECT_EQ(named(unknown["tiles"], "depth of the what-if")["cells"][0][3], 5.0);
  EXPECT_TRUE(says(unknown, "7 tokens; 23 not known"));
  EXPECT_GT(unknown["missing"].size(), scene["missing"].size());
}

TEST(WhatIf, TheHandleFollowsTheHand) {
  const FrameHistory history = LoopRun{}.history(30);
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  ViewState state = at(6);
  apply(state, AskWhatIf{kHalf});
  const Scene scene = (*find_view("loop"))->scene({history, state, {1100, 700}, metrics});
  bool runs = false, ends = false, slides = false;
  for (const HitRegion& region : scene.regions) {
    if (region.slide) {
      slides = true;
      const auto hit = hit_test(scene, {region.rect.x + region.rect.width * 0.7f, region.rect.centre().y});
      ASSERT_TRUE(hit && hit->scrub && hit->click);
      const WhatIf asked = *std::get<AskWhatIf>(*hit->click).what;
      EXPECT_EQ(asked.rule, ExitRule::kGate);
      EXPECT_FLOAT_EQ(asked.threshold, 0.7f);
      EXPECT_GT(std::get<AskWhatIf>(*wheel_at(scene, region.rect.centre(), 1)).what->threshold, 0.5f);
    }
    if (!region.click) continue;
    if (const auto* run = std::get_if<RunWhatIf>(&*region.click)) runs = run->what == kHalf;
    if (const auto* ask = std::get_if<AskWhatIf>(&*region.click)) ends = ends || !ask->what;
  }
  EXPECT_TRUE(slides && runs && ends);
}

TEST(WhatIf, KeysMoveTheThresholdAndEscapeEndsIt) {
  const FrameHistory history = LoopRun{}.history(30);
  ViewState state;
  apply(state, move_what_if(history, state, 1));
  ASSERT_TRUE(state.what_if);
  EXPECT_EQ(state.what_if->rule, ExitRule::kStep) << "the run's own rule";
  EXPECT_GT(state.what_if->threshold, 0.25f) << "from the run's own threshold";
  apply(state, ClearSelection{});
  EXPECT_FALSE(state.what_if);
  const FrameHistory plain = SampleRun{.n_layers = 2, .n_heads = 2}.history(3);
  apply(state, move_what_if(plain, state, 1));
  EXPECT_FALSE(state.what_if) << "no loop";
}

TEST(WhatIf, ColoursTheTextWhereItIsColouredByDepth) {
  const FrameHistory history = LoopRun{}.history(12);
  ViewState state = at(6);
  state.token_scalar = "loop.depth";
  state.what_if = kHalf;
  const TokenScalar& scalar = shown_token_scalar(state);
  const TokenPlace place = place_of(resolve(history, state), state);
  EXPECT_EQ(token_values(scalar, history, 4, 8, place), (std::vector<float>{1, 2, 2, 3}));
  EXPECT_EQ(token_scalar_title(scalar, history, place),
            "what-if loop depth, exit once the gate's probabilities reach 0.500");
  state.what_if.reset();
  EXPECT_EQ(token_values(shown_token_scalar(state), history, 4, 8, place_of(resolve(history, state), state)),
            (std::vector<float>{2, 3, 4, 5}));
}

// A layer of the loop is a visit; , and . go from one to the next.
TEST(Iteration, MovesBetweenTheVisitsOfALayer) {
  const FrameHistory history = LoopRun{}.history(5);  // 0; 1 five times; 2
  ViewState state = at(3, 2);
  EXPECT_EQ(resolve(history, state).iteration, 1) << "what the layer is";
  apply(state, move_iteration(history, state, 2));
  EXPECT_EQ(resolve(history, state).layer, 4);
  EXPECT_EQ(resolve(history, state).iteration, 3);
  apply(state, move_iteration(history, state, 9));
  EXPECT_EQ(resolve(history, state).layer, 5);
  apply(state, move_layer(history, state, 1));
  EXPECT_EQ(resolve(history, state).layer, 6) << "behind the loop";
  EXPECT_EQ(resolve(history, state).iteration, -1);
  apply(state, move_iteration(history, state, 1));
  EXPECT_EQ(resolve(history, state).layer, 6);
  const FrameHistory plain = SampleRun{.n_layers = 2, .n_heads = 2}.history(3);
  EXPECT_EQ(std::get<Select>(move_iteration(plain, at(1, 1), 1)), Select{});
  EXPECT_EQ(resolve(plain, state).iteration, -1);
}

TEST(LoopLens, TellsWhatWouldBeSaidAfterEachIteration) {
  const LoopRun run;
  FrameHistory history = run.history(5);
  EXPECT_FALSE(loop_lens(history, resolve(history, at(3))).row);
  std::vector<int32_t> layers(7);
  std::vector<float> tops;
  for (int32_t layer = 0; layer < 7; ++layer) {
    layers[static_cast<size_t>(layer)] = layer;
    for (int32_t k = 0; k < 8; ++k) {
      tops.push_back(static_cast<float>(10 * layer + k));
      tops.push_back(0.5f / static_cast<float>(1 + k + layer));
    }
  }
  history.add_frame(make_frame("lens.top", 3, layers, {8, 2}, tops));
  const LoopLens lens = loop_lens(history, resolve(history, at(3, 0)));
  EXPECT_EQ(lens.layers, (std::vector<int32_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(lens.tops[2].size(), 8u);
  EXPECT_EQ(lens.tops[2][1].id, 31);
  EXPECT_FLOAT_EQ(lens.tops[2][1].probability, 0.5f / 5);
  const json scene = draw_json("loop", history, at(3), {1280, 800});
  const json third = named(scene["series"], "lens, iteration 3");
  EXPECT_EQ(third["x"][1], 31.0);
  EXPECT_FLOAT_EQ(third["y"][1].get<float>(), 0.5f / 5);
  EXPECT_TRUE(says(scene, "what would be said after 1 attention"));
  EXPECT_TRUE(says(scene, "id 30 "));
}

}  // namespace
}  // namespace orrery
