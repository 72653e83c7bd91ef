// The view of fast weights by value.
#include <gtest/gtest.h>

#include <cmath>
#include <iterator>

#include "tests/views/sample_run.h"
#include "tests/views/scene_json.h"
#include "views/registry.h"

namespace orrery {
namespace {

using nlohmann::json;

json draw_json(const FrameHistory& history, const ViewState& state, Size size = {1200, 800}) {
  return draw_json("fast", history, state, size);
}

TEST(FastView, DrawsWhatIsRecordedOfLayersAndOfTheHeadsOfOne) {
  const json scene = draw_json(FastRun{}.history(30), at(10, 2, 4));
  EXPECT_EQ(scene["tiles"].size(), 10u);
  const char* titles[] = {"loss before the step", "loss after the step", "inner step size", "change of the weights",
                          "drift of the weights"};
  for (size_t probe = 0; probe < std::size(titles); ++probe) {
    const json heads = named(scene["tiles"], std::string(titles[probe]) + " by head");
    EXPECT_EQ(heads["probe"], FastRun::kProbes[probe]);
    ASSERT_EQ(heads["rows"], 5) << titles[probe];
    ASSERT_EQ(heads["columns"], 30);
    for (int32_t head = 0; head < 5; ++head) {
      for (int64_t step = 0; step < 30; ++step) {
        EXPECT_FLOAT_EQ(heads["cells"][static_cast<size_t>(head)][static_cast<size_t>(step)].get<float>(),
                        FastRun{}.value(probe, step, 2, head));
      }
    }
  }
  const json layers = named(scene["tiles"], "loss before the step by layer");
  ASSERT_EQ(layers["rows"], 2);
  EXPECT_FLOAT_EQ(layers["cells"][0][7].get<float>(), FastRun{}.value(0, 7, 0, 1)) << "the mean of three heads";
  const json drifts = named(scene["tiles"], "drift of the weights by layer");
  double squares = 0;
  for (int32_t head = 0; head < 3; ++head) squares += std::pow(static_cast<double>(FastRun{}.value(4, 7, 0, head)), 2);
  EXPECT_NEAR(drifts["cells"][0][7].get<double>(), std::sqrt(squares), 1e-4) << "all heads' weights as one";
  EXPECT_EQ(scene["axes"][layers["row_axis"].get<size_t>()]["labels"][1], "2 TTT-MLP");
  EXPECT_TRUE(says(scene, "heads of 2 TTT-MLP"));
  EXPECT_TRUE(says(scene, "mini-batches of 8"));
}

// So that what a step gains is seen.
TEST(FastView, TheTwoLossesHaveOneScale) {
  const json scene = draw_json(FastRun{}.history(30), at(10, 0, 1));
  const auto high = [&](const char* name) {
    return scene["scales"][named(scene["tiles"], name)["scale"].get<size_t>()]["high"].get<float>();
  };
  EXPECT_EQ(high("loss before the step by head"), high("loss after the step by head"));
  EXPECT_FLOAT_EQ(high("loss before the step by head"), FastRun{}.value(1, 29, 0, 2));
  EXPECT_FLOAT_EQ(high("inner step size by head"), FastRun{}.value(2, 29, 0, 2));
}

TEST(FastView, BeginsWithTheFirstLayerThatLearnsAndDrawsLayersAloneForOthers) {
  const FrameHistory history = FastRun{}.history(5);
  EXPECT_EQ(draw_json(history, {})["selection"]["layer"], 0);
  EXPECT_EQ(draw_json(history, {})["selection"]["head"], 0);
  EXPECT_EQ(draw_json(history, at(3, 1, 0))["tiles"].size(), 5u) << "attention";
}

TEST(FastView, WhatIsMissingIsDrawnAsMissing) {
  FrameHistory history;
  history.reset(FastRun{}.info());
  for (int64_t step = 0; step < 20; ++step) {
    if (step < 6 || step >= 9) history.add_batch(FastRun{}.batch(step));
  }
  const json scene = draw_json(history, at(3, 2, 0));
  const json heads = named(scene["tiles"], "drift of the weights by head");
  EXPECT_TRUE(heads["cells"][0][7].is_null()) << heads["cells"][0].dump();
  EXPECT_FALSE(heads["cells"][0][5].is_null());
  EXPECT_NE(scene["notes"].dump().find("Hatched: not recorded"), std::string::npos);
}

TEST(FastView, SaysNothingOfFewerThanTwoUpdates) {
  const json one = draw_json(FastRun{}.history(1), {});
  EXPECT_TRUE(says(one, "Fewer than two updates"));
  EXPECT_TRUE(one["tiles"].empty());
  EXPECT_FALSE(draw_json(FastRun{}.history(2), {})["tiles"].empty());
}

TEST(FastView, SaysWhyAModelHasNone) {
  const FrameHistory history = SampleRun{.n_layers = 2, .n_heads = 2}.history(3);
  EXPECT_EQ((*find_view("fast"))->unavailable(history.info()), "This model has no layers with fast weights.");
  EXPECT_TRUE(says(draw_json(history, {}), "no layers with fast weights"));
  EXPECT_FALSE((*find_view("fast"))->unavailable(FastRun{}.info()).has_value());
}

}  // namespace
}  // namespace orrery
