// The loop view by value.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/views/loop_run.h"
#include "tests/views/scene_json.h"
#include "views/inspector.h"
#include "views/loop_cells.h"
#include "views/registry.h"

namespace orrery {
namespace {

using nlohmann::json;

json draw_json(const FrameHistory& history, const ViewState& state, Size size = {1100, 700}) {
  return draw_json("loop", history, state, size);
}

TEST(LoopMap, IterationsAreDrawnAsRecorded) {
  const FrameHistory history = LoopRun{}.history(12);
  const LoopMap map = loop_map(history, *find_probe("loop.cosine"), {2, 12}, 100);
  ASSERT_EQ(map.rows, 5);
  ASSERT_EQ(map.cols, 10);
  for (int32_t i = 0; i < 5; ++i) {
    for (int64_t step = 2; step < 12; ++step) {
      const float drawn = map.values[static_cast<size_t>(i * 10 + step - 2)], expected = LoopRun::cosine(step, i);
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(drawn)) << i << ", " << step;
      } else {
        EXPECT_EQ(drawn, expected) << i << ", " << step;
      }
    }
  }
  const LoopMap depths = loop_map(history, *find_probe("loop.depth"), {0, 12}, 100);
  EXPECT_EQ(depths.rows, 1);
  EXPECT_EQ(depths.values, (std::vector<float>{2, 3, 4, 5, 2, 3, 4, 5, 2, 3, 4, 5}));
  EXPECT_EQ(depths.high, 5.0f);
}

TEST(LoopMap, ManyStepsShareColumnsAndWhatIsMissingStaysMissing) {
  const LoopRun run;
  FrameHistory history;
  history.reset(run.info());
  for (int64_t step = 0; step < 40; ++step) {
    history.add_token(SampleRun{}.token(step));
    if (step < 8 || step >= 16) run.add_step(history, step);
  }
  const LoopMap map = loop_map(history, *find_probe("loop.step"), {0, 40}, 10);
  EXPECT_EQ(map.steps_per_col, 4);
  ASSERT_EQ(map.missing.size(), 1u);
  EXPECT_EQ(map.missing[0], (StepRange{8, 16}));
  EXPECT_TRUE(std::isnan(map.values[2]));
  EXPECT_EQ(map.values[4], LoopRun::step_size(19, 0)) << "a column is as its last step";
}

TEST(LoopView, DrawsDepthsStepsAndWhenTheSelectedTokenStops) {
  const FrameHistory history = LoopRun{}.history(30);
  const json scene = draw_json(history, at(6));
  const json steps = named(scene["tiles"], "change of the state, |Δh| / |h|: iterations × tokens");
  EXPECT_EQ(steps["rows"], 5);
  EXPECT_EQ(steps["columns"], 30);
  EXPECT_FLOAT_EQ(steps["cells"][3][10].get<float>(), LoopRun::step_size(10, 3));
  EXPECT_EQ(scene["axes"][steps["row_axis"].get<size_t>()]["name"], "iteration");
  EXPECT_EQ(scene["axes"][steps["column_axis"].get<size_t>()]["means"], "step");
  EXPECT_EQ(named(scene["tiles"], "depth")["cells"][0][7], 5.0);
  EXPECT_EQ(named(scene["tiles"], "cosine with the change before: iterations × tokens")["cells"][0][0], nullptr)
      << "there is none before";
  EXPECT_EQ(named(scene["series"], "depth")["y"][6], 4.0);
  EXPECT_EQ(named(scene["series"], "loop.exit")["y"], json({0.25, 0.25, 0.25, 0.25, nullptr}));
  EXPECT_EQ(named(scene["series"], "loop.exit")["x"], json({1.0, 2.0, 3.0, 4.0, 5.0}));
  EXPECT_FLOAT_EQ(named(scene["series"], "loop.step")["y"][1].get<float>(), LoopRun::step_size(6, 1));
  EXPECT_TRUE(says(scene, "layer 1 up to 5 times"));
  EXPECT_TRUE(says(scene, ": 4 of 5"));
  EXPECT_TRUE(says(scene, "exit at changes below 0.25"));
  EXPECT_NE(scene["notes"].dump().find("Grey: the token was not in that iteration"), std::string::npos);
  EXPECT_TRUE(scene["missing"].empty());
}

TEST(LoopView, AModelWithoutAGateHasNoProbabilitiesOfStopping) {
  const FrameHistory history = LoopRun{.has_gate = false}.history(9);
  const json scene = draw_json(history, at(3));
  EXPECT_EQ(named(scene["series"], "loop.exit"), nullptr);
  EXPECT_FALSE(says(scene, "probability of stopping"));
  for (const Wanted& wanted : (*find_view("loop"))->wanted(history, at(3))) EXPECT_NE(wanted.probe->name, "loop.exit");
}

TEST(LoopView, HatchesWhatIsNotHeld) {
  const LoopRun run;
  FrameHistory history;
  history.reset(run.info());
  for (int64_t step = 0; step < 6; ++step) {
    history.add_token(SampleRun{}.token(step));
    if (step != 2) run.add_step(history, step);
  }
  EXPECT_EQ(draw_json(history, at(4))["missing"].size(), 5u);  // its token, and a column of the lane and of each map
  EXPECT_EQ(draw_json(history, at(2))["missing"].size(), 7u);  // and both charts of the selected token
  EXPECT_TRUE(says(draw_json(history, at(2)), "not recorded"));
}

TEST(LoopView, AClickSelectsAStepAndTheWheelZoomsSteps) {
  const FrameHistory history = LoopRun{}.history(30);
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  const Scene scene = (*find_view("loop"))->scene({history, at(10), {1100, 700}, metrics});
  int n_maps = 0;
  for (const HitRegion& region : scene.regions) {
    if (region.tile_item < 0) continue;
    ++n_maps;
    const Point p{region.rect.x + region.rect.width * 0.5f, region.rect.bottom() - 1};
    const auto hit = hit_test(scene, p);
    ASSERT_TRUE(hit.has_value() && hit->click.has_value());
    EXPECT_EQ(std::get<Select>(*hit->click).step, 15);
    if (region.rows == 5) {
      EXPECT_EQ(std::get<Select>(*hit->click).iteration, 4) << "the last, from 0";
    }
    EXPECT_NE(hit->tooltip.find("loop."), std::string::npos);
    EXPECT_TRUE(std::holds_alternative<ZoomSteps>(*wheel_at(scene, p, 1)));
  }
  EXPECT_EQ(n_maps, 4);
}

TEST(LoopView, TheInspectorTellsTheDepth) {
  const FrameHistory history = LoopRun{}.history(5);
  const auto depth_at = [&](int64_t step) {
    for (const InspectorRow& row : inspector_rows(history, at(step))) {
      if (row.name == "iterations of the loop") return row.value;
    }
    return std::string();
  };
  EXPECT_EQ(depth_at(2), "4");
  EXPECT_EQ(depth_at(3), "5");
}

TEST(LoopView, SaysWhyAModelHasNone) {
  const FrameHistory history = SampleRun{.n_layers = 2, .n_heads = 2}.history(3);
  EXPECT_EQ((*find_view("loop"))->unavailable(history.info()),
            "This model has no loop: every token goes through each layer once.");
  EXPECT_TRUE(says(draw_json(history, {}), "This model has no loop"));
  EXPECT_FALSE((*find_view("loop"))->unavailable(LoopRun{}.info()).has_value());
}

}  // namespace
}  // namespace orrery
