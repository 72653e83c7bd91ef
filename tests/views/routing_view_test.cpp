// The routing view by value.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/views/sample_run.h"
#include "tests/views/scene_json.h"
#include "views/registry.h"
#include "views/routing_balance.h"
#include "views/routing_cells.h"
#include "views/token_scalars.h"

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

TEST(RoutingBalance, ComparesLoadsWithIdealOnes) {
  const HybridRun run;
  const RoutingCells cells = routing_cells(run.history(30), {0, 30}, 9);
  const std::vector<LayerBalance> balance = balance_of(cells);
  ASSERT_EQ(balance.size(), 4u);
  for (size_t row = 0; row < 4; ++row) {
    const auto n = static_cast<size_t>(cells.n_experts[row]);
    std::vector<double> counts(n, 0);
    for (int64_t step = 0; step < 10; ++step) {
      for (const int32_t id : run.experts(step, cells.layers[row])) counts[static_cast<size_t>(id)] += 1;
    }
    const double sum = 10.0 * cells.n_chosen[row];
    double entropy = 0;
    for (const double count : counts) entropy -= count > 0 ? count / sum * std::log(count / sum) : 0;
    EXPECT_NEAR(balance[row].greatest_load, std::ranges::max(counts) / (sum / static_cast<double>(n)), 1e-6);
    EXPECT_NEAR(balance[row].idle_share, static_cast<double>(std::ranges::count(counts, 0.0)) / static_cast<double>(n),
                1e-9);
    EXPECT_NEAR(balance[row].evenness, std::exp(entropy) / static_cast<double>(n), 1e-6);
  }
  FrameHistory empty;
  empty.reset(run.info());
  EXPECT_TRUE(std::isnan(balance_of(routing_cells(empty, {0, 0}, -1))[0].evenness)) << "of no token nothing is said";
}

TEST(RoutingChange, IsTheShareOfExpertsThatTheTokenBeforeDidNotHave) {
  EXPECT_FLOAT_EQ(change_between(std::vector<int32_t>{1, 2, 3}, std::vector<int32_t>{3, 4, 1}), 1.0f / 3);
  EXPECT_EQ(change_between(std::vector<int32_t>{1, 2, -1}, std::vector<int32_t>{2, 1, -1}), 0);
  EXPECT_TRUE(std::isnan(change_between(std::vector<int32_t>{-1}, std::vector<int32_t>{1})));
  const HybridRun run;
  FrameHistory history;
  history.reset(run.info());
  for (int64_t step = 0; step < 12; ++step) {
    if (step != 5) history.add_batch(run.batch(step));
  }
  const RoutingChange change = routing_change(history, {0, 12}, 100);
  ASSERT_EQ(change.cols, 12);
  for (size_t row = 0; row < change.layers.size(); ++row) {
    for (int64_t step = 0; step < 12; ++step) {
      const float drawn = change.values[row * 12 + static_cast<size_t>(step)];
      if (step == 0 || step == 5 || step == 6) {
        EXPECT_TRUE(std::isnan(drawn)) << step;
        continue;
      }
      EXPECT_EQ(drawn,
                change_between(run.experts(step - 1, change.layers[row]), run.experts(step, change.layers[row])));
    }
  }
  ASSERT_EQ(change.missing.size(), 1u) << "the first step has none before it: not missing";
  EXPECT_EQ(change.missing[0], (StepRange{5, 7}));
}

TEST(CoActivation, CountsTheTokensThatWentToBoth) {
  const HybridRun run;
  const CoActivation pairs = co_activation(run.history(30), 2, {0, 20});
  ASSERT_EQ(pairs.n_experts, 6);
  EXPECT_EQ(pairs.n_tokens, 20);
  for (int32_t a = 0; a < 6; ++a) {
    for (int32_t b = 0; b < 6; ++b) {
      int n = 0;
      for (int64_t step = 0; step < 20; ++step) {
        const std::vector<int32_t> ids = run.experts(step, 2);
        n += std::ranges::find(ids, a) != ids.end() && std::ranges::find(ids, b) != ids.end();
      }
      const float drawn = pairs.shares[static_cast<size_t>(a * 6 + b)];
      if (a == b) {
        EXPECT_TRUE(std::isnan(drawn));
      } else {
        EXPECT_FLOAT_EQ(drawn, static_cast<float>(n) / 20);
      }
    }
  }
  EXPECT_EQ(co_activation(run.history(3), 0, {0, 3}).n_experts, 0) << "a layer without experts";
}

TEST(RoutingView, AChosenExpertHasItsTokensAndColoursTheText) {
  const HybridRun run;
  const FrameHistory history = run.history(30);
  ViewState state = at(9, 2);
  const int32_t expert = run.experts(9, 2)[1];
  apply(state, Select{.layer = 2, .expert = expert});
  EXPECT_EQ(state.token_scalar, "moe.expert");
  const json scene = draw_json(history, state, {1280, 800});
  const json lane = named(scene["tiles"], "tokens of the selected expert");
  const std::vector<float> values =
      token_values(shown_token_scalar(state), history, 0, 30, place_of(resolve(history, state), state));
  int n = 0;
  for (int64_t step = 0; step < 30; ++step) {
    const std::vector<int32_t> ids = run.experts(step, 2);
    const auto found = std::ranges::find(ids, expert) - ids.begin();
    const float weight = found == static_cast<std::ptrdiff_t>(ids.size()) ? 0 : 0.5f / static_cast<float>(found + 1);
    EXPECT_EQ(lane["cells"][0][static_cast<size_t>(step)].get<float>(), weight) << step;
    EXPECT_EQ(values[static_cast<size_t>(step)], weight);
    n += step < 10 && weight > 0;
  }
  EXPECT_TRUE(says(scene, "tokens that went to expert " + std::to_string(expert) +
                              " of 2 Mamba, MoE: " + std::to_string(n) + " of 10"));
  EXPECT_TRUE(says(draw_json("text", history, state, {900, 400}), "weight of expert " + std::to_string(expert)));
  apply(state, ClearSelection{});
  EXPECT_EQ(state.selected.expert, -1);
  EXPECT_EQ(state.token_scalar, ViewState{}.token_scalar);
  state.selected.expert = 7;
  EXPECT_EQ(resolve(history, state).expert, -1) << "the layer has 6";
}

TEST(RoutingView, TwoRunsGiveTwoPictures) {
  const json one = draw_json(HybridRun{}.history(30), at(9, 2), {1280, 800});
  const json other = draw_json(HybridRun{.n_layers = 8, .has_attention = false}.history(30), at(9, 1), {1280, 800});
  for (const char* name : {"this token", "cumulative", "change", "chosen together"}) {
    EXPECT_NE(named(one["tiles"], name)["cells"], named(other["tiles"], name)["cells"]) << name;
  }
}

TEST(RoutingView, PrintsTokensCountedAndEqualShares) {
  const HybridRun run;
  const FrameHistory history = run.history(30);
  const json scene = draw_json(history, at(9, 2));
  ASSERT_EQ(scene["tiles"].size(), 4u);
  EXPECT_EQ(named(scene["tiles"], "this token")["rows"], 4);
  EXPECT_EQ(named(scene["tiles"], "cumulative")["rows"], 4);
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
  const auto tile = std::ranges::find_if(scene.items, [](const Item& item) {
    const auto* one = std::get_if<Tile>(&item);
    return one != nullptr && one->name == "this token";
  });
  const Rect rect = std::get<Tile>(*tile).rect;
  const auto hit = hit_test(scene, {rect.x + 3, rect.bottom() - 2});
  ASSERT_TRUE(hit.has_value());
  EXPECT_EQ(std::get<Select>(*hit->click).layer, 6);
  EXPECT_EQ(std::get<Select>(*hit->click).expert, 0);
  EXPECT_NE(hit->tooltip.find("expert 0"), std::string::npos);
}

}  // namespace
}  // namespace orrery
