// The state view by value.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/views/sample_run.h"
#include "tests/views/scene_json.h"
#include "views/json_renderer.h"
#include "views/registry.h"
#include "views/state_cells.h"
#include "views/token_scalars.h"

namespace orrery {
namespace {

using nlohmann::json;

json draw_json(const FrameHistory& history, const ViewState& state, Size size = {1200, 700}) {
  return draw_json("state", history, state, size);
}

TEST(StateMap, HeadsAreDrawnAsRecorded) {
  const HybridRun run;
  const FrameHistory history = run.history(12);
  const StateMap map = state_map(history, StateQuantity::kNorm, 2, {0, 12}, 100, 100);
  ASSERT_EQ(map.rows.size(), 16u);
  ASSERT_EQ(map.cols, 12);
  EXPECT_EQ(map.labels[1], "4–6") << "channels of a group";
  for (int32_t head = 0; head < 16; ++head) {
    for (int64_t step = 0; step < 12; ++step) {
      EXPECT_EQ(map.values[static_cast<size_t>(head * 12 + step)], run.norm(step, 2, head));
    }
  }
  const StateMap keep = state_map(history, StateQuantity::kKeep, 2, {0, 12}, 100, 100);
  EXPECT_EQ(keep.values[12 * 3 + 5], run.keep(5, 2, 3)) << "the geometric mean, not the least";
}

TEST(StateMap, ALayerIsItsHeadsTogether) {
  const HybridRun run;
  const FrameHistory history = run.history(5);
  const StateMap norm = state_map(history, StateQuantity::kNorm, std::nullopt, {0, 5}, 100, 100);
  EXPECT_EQ(norm.rows, (std::vector<int64_t>{0, 2, 3, 4, 6, 7}));
  EXPECT_EQ(norm.labels[1], "2 Mamba, MoE");
  const StateMap keep = state_map(history, StateQuantity::kKeep, std::nullopt, {0, 5}, 100, 100);
  double squares = 0;
  double logs = 0;
  for (int32_t head = 0; head < 6; ++head) {
    squares += std::pow(static_cast<double>(run.norm(4, 0, head)), 2);
    logs += std::log(static_cast<double>(run.keep(4, 0, head)));
  }
  EXPECT_NEAR(norm.values[4], std::sqrt(squares), 1e-4);
  EXPECT_NEAR(keep.values[4], std::exp(logs / 6), 1e-5);
}

TEST(StateMap, ManyStepsAndHeadsShareCellsAndWhatIsMissingStaysMissing) {
  const HybridRun run;
  FrameHistory history;
  history.reset(run.info());
  for (int64_t step = 0; step < 40; ++step) {
    if (step < 8 || step >= 16) history.add_batch(run.batch(step));
  }
  const StateMap map = state_map(history, StateQuantity::kWrite, 3, {0, 40}, 10, 10);
  EXPECT_EQ(map.steps_per_col, 4);
  EXPECT_EQ(map.heads_per_row, 4);
  EXPECT_EQ(map.labels[1], "4–7");
  ASSERT_EQ(map.missing.size(), 1u);
  EXPECT_EQ(map.missing[0], (StepRange{8, 16}));
  EXPECT_TRUE(std::isnan(map.values[2]));
  double squares = 0;
  for (int32_t head = 4; head < 8; ++head) {
    double mean = 0;
    for (int64_t step = 16; step < 20; ++step) mean += static_cast<double>(run.write(step, 3, head)) / 4;
    squares += mean * mean;
  }
  EXPECT_NEAR(map.values[10 + 4], std::sqrt(squares), 1e-5) << "a column is the mean of its steps";
}

TEST(StateView, DrawsLayersAndTheHeadsOfOneLayer) {
  const HybridRun run;
  const FrameHistory history = run.history(30);
  const json scene = draw_json(history, at(10, 2, 3));
  EXPECT_EQ(scene["tiles"].size(), 10u) << "norm, write, keep, half-life, read";
  const json heads = named(scene["tiles"], "norm of the state by head");
  EXPECT_EQ(heads["rows"], 16);
  EXPECT_EQ(heads["columns"], 30);
  EXPECT_FLOAT_EQ(heads["cells"][3][10].get<float>(), run.norm(10, 2, 3));
  const json layers = named(scene["tiles"], "kept by the token by layer");
  EXPECT_EQ(scene["axes"][layers["row_axis"].get<size_t>()]["labels"][0], "0 Mamba-2");
  EXPECT_EQ(scene["axes"][heads["row_axis"].get<size_t>()]["name"], "channels");
  EXPECT_EQ(scene["axes"][heads["column_axis"].get<size_t>()]["means"], "step");
  EXPECT_TRUE(says(scene, "16 groups of 50 channels of 2 Mamba"));
  EXPECT_TRUE(says(scene, "channels 10"));
  EXPECT_EQ(scene["selection"]["layer"], 2);
}

TEST(StateView, BeginsWithTheFirstLayerThatHasAState) {
  const FrameHistory history = HybridRun{}.history(5);
  EXPECT_EQ(draw_json(history, {})["selection"]["layer"], 0) << "not the first with attention";
  // A layer without a state: the layers alone.
  EXPECT_EQ(draw_json(history, at(3, 1, 0))["tiles"].size(), 5u);
}

TEST(StateView, AClickSelectsStepLayerAndHeadAndTheWheelZoomsSteps) {
  const FrameHistory history = HybridRun{}.history(30);
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  const Scene scene = (*find_view("state"))->scene({history, at(10, 3, 0), {1200, 700}, metrics});
  for (const HitRegion& region : scene.regions) {
    const Point p{region.rect.x + region.rect.width * 0.5f, region.rect.bottom() - 1};
    const auto hit = hit_test(scene, p);
    ASSERT_TRUE(hit.has_value() && hit->click.has_value());
    const Select select = std::get<Select>(*hit->click);
    EXPECT_EQ(select.step, 15);
    const bool is_heads = scene.axes[static_cast<size_t>(region.row_axis)].means == SceneAxis::Means::kHead;
    EXPECT_EQ(select.layer, is_heads ? 3 : 7);
    if (is_heads) {
      EXPECT_GE(select.head.value_or(-1), 36);
    }
    EXPECT_NE(hit->tooltip.find("state."), std::string::npos);
    EXPECT_TRUE(std::holds_alternative<ZoomSteps>(*wheel_at(scene, p, 1)));
  }
}

TEST(StateView, DrawsTheImpliedRowWhereItWasComputed) {
  FrameHistory history = HybridRun{}.history(4);
  EXPECT_TRUE(draw_json(history, at(3, 0, 1))["series"].empty());
  std::vector<float> rows(6 * 40 * 4, 0.0f);
  for (size_t key = 0; key < 4; ++key) rows[1 * 4 + key] = key == 2 ? -0.5f : 0.25f * static_cast<float>(key);
  history.add_frame(make_frame("state.row", 3, {0, 2, 3, 4, 6, 7}, {40, 4}, rows, Origin::kRecomputed));
  const json scene = draw_json(history, at(3, 0, 1));
  ASSERT_EQ(scene["series"].size(), 1u);
  EXPECT_EQ(scene["series"][0]["y"], json({0.0, 0.25, -0.5, 0.75}));
  EXPECT_TRUE(says(scene, "recomputed"));
}

TEST(StateView, DrawsAnImpliedRowThatWasComputedOnRequest) {
  FrameHistory history = HybridRun{}.history(4);
  std::vector<float> row(40 * 4, 0.0f);
  row[1 * 4 + 2] = -0.5f;
  history.add_recalled(make_frame("state.row", 3, {0}, {40, 4}, row, Origin::kRecomputed));
  const json scene = draw_json(history, at(3, 0, 1));
  ASSERT_EQ(scene["series"].size(), 1u);
  EXPECT_EQ(scene["series"][0]["y"], json({0.0, 0.0, -0.5, 0.0}));
  EXPECT_TRUE(draw_json(history, at(3, 2, 1))["series"].empty()) << "of another layer it is not there";
}

TEST(StateView, KeepsThePlaceOfAnImpliedRowThatIsComing) {
  FrameHistory history = HybridRun{}.history(4);
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  const auto draw = [&](std::string_view why, bool may_come) {
    const ViewState state = at(3, 0, 1);
    return render_json((*find_view("state"))
                           ->scene({.history = history,
                                    .state = state,
                                    .size = {1200, 700},
                                    .metrics = metrics,
                                    .no_exact_row = why,
                                    .row_may_come = may_come}));
  };
  const json coming = draw("The implied row is being computed.", true);
  EXPECT_TRUE(says(coming, "being computed"));
  const json refused = draw("The implied row was not recorded.", false);
  EXPECT_TRUE(says(refused, "not recorded"));
  EXPECT_GT(refused["tiles"][0]["rect"][3].get<float>(), coming["tiles"][0]["rect"][3].get<float>());
  std::vector<float> row(40 * 4, 0.25f);
  history.add_recalled(make_frame("state.row", 3, {0}, {40, 4}, row, Origin::kRecomputed));
  const json come = draw("", false);
  EXPECT_EQ(come["tiles"][0]["rect"], coming["tiles"][0]["rect"]) << "nothing moves when it comes";
}

TEST(StateMap, AHalfLifeIsInTokensAndInfiniteWhereNothingDecays) {
  const HybridRun run;
  FrameHistory history = run.history(3);
  std::vector<float> keeps(6 * 40 * 3, 1.0f);
  for (size_t i = 0; i < 6; ++i) keeps[i] = 0.5f;  // two heads of the first layer
  history.add_frame(make_frame("state.keep", 3, {0, 2, 3, 4, 6, 7}, {40, 3}, keeps));
  const StateMap heads = state_map(history, StateQuantity::kHalfLife, 0, {0, 4}, 100, 100);
  const auto kept = static_cast<double>(run.keep(2, 0, 4));
  EXPECT_NEAR(heads.values[4 * 4 + 2], std::log(2.0) / -std::log(kept), 1e-3);
  EXPECT_NEAR(heads.values[3], 1.0f, 1e-6) << "one token at 0.5";
  EXPECT_TRUE(std::isinf(heads.values[2 * 4 + 3]));
  EXPECT_TRUE(std::isfinite(heads.high)) << "a scale ends somewhere";
  const json scene = draw_json(history, at(3, 0, 2), {1200, 900});
  const json drawn = named(scene["tiles"], "half-life in tokens by head");
  EXPECT_EQ(drawn["unit"], "tokens");
  EXPECT_EQ(drawn["cells"][2][3], "inf") << "not missing";
  EXPECT_EQ(scene["scales"][drawn["scale"].get<size_t>()]["transfer"], "logarithm");
  EXPECT_NE(scene["notes"].dump().find("also where it never decays"), std::string::npos);
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  const Scene picture = (*find_view("state"))->scene({history, at(3, 0, 2), {1200, 900}, metrics});
  bool told = false;
  for (const HitRegion& region : picture.regions) {
    const Point last{region.rect.right() - 1, region.rect.bottom() - 1};
    told = told || hit_test(picture, last)->tooltip.find("never decays") != std::string::npos;
  }
  EXPECT_TRUE(told);
}

TEST(StateView, DrawsErasingOnlyWhereTheRecurrenceErases) {
  HybridRun run;
  const json none = draw_json(run.history(5), at(3, 0, 1), {1200, 900});
  EXPECT_EQ(named(none["tiles"], "erased by the token by layer"), nullptr);
  RunInfo info = run.info();
  info.config.layers[0].state.recurrence = Recurrence::kGatedDelta;
  FrameHistory history;
  history.reset(info);
  for (int64_t step = 0; step < 5; ++step) history.add_batch(run.batch(step));
  const json scene = draw_json(history, at(3, 0, 1), {1200, 900});
  const json layers = named(scene["tiles"], "erased by the token by layer");
  EXPECT_EQ(layers["rows"], 1) << "the others' recurrences take nothing away";
  const json heads = named(scene["tiles"], "erased by the token by head");
  EXPECT_FLOAT_EQ(heads["cells"][1][3].get<float>(), run.erase(3, 0, 1));
  EXPECT_FLOAT_EQ(named(scene["tiles"], "read gain, |S q| / |q| by head")["cells"][2][3].get<float>(),
                  run.read(3, 0, 2));
  EXPECT_EQ(named(draw_json(history, at(3, 2, 1), {1200, 900})["tiles"], "erased by the token by head"), nullptr);
}

TEST(StateView, AnAttentionRowOfTheSameLayerStandsBesideTheImpliedOne) {
  FrameHistory history = HybridRun{}.history(4);
  std::vector<float> implied(6 * 40 * 4, 0.0f);
  for (size_t key = 0; key < 4; ++key) implied[2 * 40 * 4 + 30 * 4 + key] = 0.1f * static_cast<float>(key) - 0.15f;
  history.add_frame(make_frame("state.row", 3, {0, 2, 3, 4, 6, 7}, {40, 4}, implied, Origin::kRecomputed));
  json scene = draw_json(history, at(3, 3, 30), {1200, 900});
  EXPECT_TRUE(says(scene, "attention head 1 of the same layer reads: not recorded"));
  EXPECT_EQ(named(scene["series"], "attention row"), nullptr);
  std::vector<float> weights(4 * 9 * 4, 0.0f);  // layers 1, 3, 5, 7
  for (size_t key = 0; key < 4; ++key) weights[9 * 4 + 4 + key] = 0.1f * static_cast<float>(key + 1);
  history.add_frame(make_frame("attention.row", 3, {1, 3, 5, 7}, {9, 4}, weights));
  scene = draw_json(history, at(3, 3, 30), {1200, 900});
  for (size_t key = 0; key < 4; ++key) {
    EXPECT_FLOAT_EQ(named(scene["series"], "attention row")["y"][key].get<float>(), 0.1f * static_cast<float>(key + 1));
    EXPECT_FLOAT_EQ(named(scene["series"], "implied row")["y"][key].get<float>(),
                    0.1f * static_cast<float>(key) - 0.15f);
  }
  EXPECT_TRUE(says(scene, "attention head 1 of the same layer reads: weight by key"));
}

TEST(TokenScalars, WriteKeepEraseAndHalfLifeColourTheText) {
  const HybridRun run;
  const FrameHistory history = run.history(6);
  const auto value = [&](const char* name) {
    return static_cast<double>(token_values(find_token_scalar(name), history, 4, 5, {.layer = 0})[0]);
  };
  double writes = 0, erased = 0, logs = 0;
  for (int32_t head = 0; head < 6; ++head) {
    writes += std::pow(static_cast<double>(run.write(4, 0, head)), 2);
    erased += std::pow(static_cast<double>(run.erase(4, 0, head)), 2);
    logs += std::log(static_cast<double>(run.keep(4, 0, head))) / 6;
  }
  EXPECT_NEAR(value("state.write"), std::sqrt(writes), 1e-5);
  EXPECT_NEAR(value("state.erase"), std::sqrt(erased), 1e-5);
  EXPECT_NEAR(value("state.keep"), std::exp(logs), 1e-6);
  EXPECT_NEAR(value("state.half_life"), std::log(2.0) / -logs, 1e-4);
  ViewState state = at(4, 0, 0);
  state.token_scalar = "state.half_life";
  const json scene = orrery::draw_json("text", history, state, {1000, 400});
  EXPECT_NEAR(scene["series"][0]["y"][4].get<double>(), std::log(2.0) / -logs, 1e-4);
  EXPECT_TRUE(says(scene, "half-life of the state, layer 0 Mamba-2 (tokens)"));
}

TEST(StateView, SaysWhyAModelHasNone) {
  const FrameHistory history = SampleRun{.n_layers = 2, .n_heads = 2}.history(3);
  EXPECT_EQ((*find_view("state"))->unavailable(history.info()), "This model has no layers with a recurrent state.");
  EXPECT_TRUE(says(draw_json(history, {}), "no layers with a recurrent state"));
  EXPECT_FALSE((*find_view("state"))->unavailable(HybridRun{}.info()).has_value());
}

}  // namespace
}  // namespace orrery
