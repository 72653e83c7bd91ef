// The routing view by value.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/views/sample_run.h"
#include "tests/views/scene_json.h"
#include "views/registry.h"
#include "views/routing_cells.h"

namespace orrery {
namespace {

using nlohmann::json;

json draw_json(const FrameHistory& history, const ViewState& state, Size size = {1200, 600}) {
  return draw_json("routing", history, state, size);
}

TEST(RoutingCells, HoldTheWeightsOfTheTokenAndTheSharesOfAllUpToIt) {
  const HybridRun run;
  const FrameHistory history = run.history(30);
  const RoutingCells cells = routing_cells(history, {0, 30}, 9);
  EXPECT_EQ(cells.layers, (std::vector<int32_t>{1, 2, 5, 6}));
  EXPECT_EQ(cells.n_columns, 8);
  EXPECT_EQ(cells.n_tokens, 10);
  EXPECT_EQ(cells.counted, (StepRange{0, 10}));
  EXPECT_DOUBLE_EQ(cells.uniform(0), 3.0 / 8);
  EXPECT_DOUBLE_EQ(cells.uniform(1), 2.0 / 6);
  for (size_t row = 0; row < cells.layers.size(); ++row) {
    const int32_t n_experts = cells.n_experts[row];
    std::vector<float> weights(8, 0.0f);
    std::vector<float> counts(8, 0.0f);
    const std::vector<int32_t> now = run.experts(9, cells.layers[row]);
    for (size_t i = 0; i < now.size(); ++i) weights[static_cast<size_t>(now[i])] = 0.5f / static_cast<float>(i + 1);
    for (int64_t step = 0; step < 10; ++step) {
      for (const int32_t id : run.experts(step, cells.layers[row])) counts[static_cast<size_t>(id)] += 1;
    }
    double sum = 0;
    for (int32_t expert = 0; expert < 8; ++expert) {
      const size_t i = row * 8 + static_cast<size_t>(expert);
      if (expert >= n_experts) {
        EXPECT_TRUE(std::isnan(cells.weights[i]) && std::isnan(cells.shares[i])) << "the layer has no such expert";
        continue;
      }
      EXPECT_EQ(cells.weights[i], weights[static_cast<size_t>(expert)]);
      EXPECT_FLOAT_EQ(cells.shares[i], counts[static_cast<size_t>(expert)] / 10);
      sum += static_cast<double>(cells.shares[i]);
    }
    EXPECT_NEAR(sum, cells.n_chosen[row], 1e-5);
  }
}

TEST(RoutingCells, CountOnlyWhatIsRecordedAndBelieveNoIdThatCannotBe) {
  const HybridRun run;
  FrameHistory history;
  history.reset(run.info());
  for (const int64_t step : {0, 1, 5}) history.add_batch(run.batch(step));
  history.add_frame(make_frame_i32("moe.experts", 6, {1, 2, 5, 6}, {3}, {7, 8, -1, 5, 6, -1, -9, 1 << 30, 0, 0, 0, 0}));
  const RoutingCells cells = routing_cells(history, {0, 7}, 6);
  EXPECT_EQ(cells.n_tokens, 4);
  EXPECT_TRUE(std::isnan(cells.weights[0])) << "no weights were recorded at this step";
  EXPECT_GE(cells.shares[7], 0.25f);
}

TEST(RoutingCells, BinsShowTheGreatest) {
  const float nan = std::nanf("");
  const std::vector<float> binned = greatest_in_bins({1, 5, 2, nan, nan, nan, 0, 3, 4, nan}, 5, 2);
  ASSERT_EQ(binned.size(), 6u);
  EXPECT_EQ(binned[0], 5);
  EXPECT_EQ(binned[1], 2);
  EXPECT_TRUE(std::isnan(binned[2]));
  EXPECT_EQ(binned[4], 4);
}

TEST(RoutingView, PrintsTokensCountedAndEqualShares) {
  const HybridRun run;
  const FrameHistory history = run.history(30);
  const json scene = draw_json(history, at(9, 2));
  ASSERT_EQ(scene["tiles"].size(), 2u);
  EXPECT_EQ(scene["tiles"][0]["name"], "this token");
  EXPECT_EQ(scene["tiles"][1]["name"], "cumulative");
  EXPECT_EQ(scene["tiles"][0]["rows"], 4);
  EXPECT_TRUE(says(scene, "10 tokens counted"));
  EXPECT_TRUE(says(scene, "equal shares: 33.3 % to 37.5 %"));
  EXPECT_TRUE(says(scene, "equal shares, 33.3 % (2 of 6)"));
  EXPECT_TRUE(says(scene, "2 Mamba, MoE"));
  EXPECT_EQ(named(scene["series"], "equal shares by layer")["y"][0], 0.375);
  EXPECT_EQ(named(scene["series"], "share of tokens by expert")["x"].size(), 6u);
  const std::vector<int32_t> now = run.experts(9, 2);
  EXPECT_TRUE(says(scene, "experts " + std::to_string(now[0]) + " (0.500), " + std::to_string(now[1]) + " (0.250)"));
}

TEST(RoutingView, SaysWhereALayerHasNoneAndStartsWithOneThatHas) {
  const FrameHistory history = HybridRun{}.history(5);
  EXPECT_TRUE(says(draw_json(history, at(3, 0)), "Layer 0 Mamba-2 has no experts"));
  EXPECT_EQ(draw_json(HybridRun{.has_attention = false}.history(5), {})["selection"]["layer"], 1);
  const FrameHistory dense = SampleRun{.n_layers = 2, .n_heads = 2}.history(3);
  EXPECT_EQ((*find_view("routing"))->unavailable(dense.info()), "This model has no experts to choose among.");
  EXPECT_TRUE(says(draw_json(dense, {}), "no experts to choose among"));
}

TEST(RoutingView, AClickSelectsTheLayer) {
  const FrameHistory history = HybridRun{}.history(5);
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  const Scene scene = (*find_view("routing"))->scene({history, at(3, 1), {1200, 600}, metrics});
  const Rect rect = scene.regions.front().rect;
  const auto hit = hit_test(scene, {rect.x + 3, rect.bottom() - 2});
  ASSERT_TRUE(hit.has_value());
  EXPECT_EQ(std::get<Select>(*hit->click).layer, 6);
  EXPECT_NE(hit->tooltip.find("expert 0"), std::string::npos);
}

}  // namespace
}  // namespace orrery
