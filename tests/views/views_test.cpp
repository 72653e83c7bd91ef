// The cache, output, text, timeline and window views by value, the registry and the inspector.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/views/sample_run.h"
#include "views/inspector.h"
#include "views/json_renderer.h"
#include "views/registry.h"
#include "views/scene_builder.h"

namespace orrery {
namespace {

using nlohmann::json;

json draw_json(const View& view, const FrameHistory& history, const ViewState& state, Size size = {1000, 700}) {
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  const SampleTexts texts;
  return render_json(view.scene({history, state, size, metrics, &texts}));
}
json draw_json(const char* view, const FrameHistory& history, const ViewState& state, Size size = {1000, 700}) {
  return draw_json(**find_view(view), history, state, size);
}

json series(const json& scene, const std::string& name) {
  for (const json& one : scene["series"]) {
    if (one["name"] == name) return one;
  }
  return nullptr;
}

bool says(const json& scene, const std::string& part) {
  for (const json& text : scene["texts"]) {
    if (text["text"].get<std::string>().find(part) != std::string::npos) return true;
  }
  return false;
}

ViewState at_step(int64_t step) {
  ViewState state;
  state.follow = false;
  state.selected.step = step;
  return state;
}

RunInfo hybrid() {
  RunInfo info = SampleRun{.n_layers = 2, .n_heads = 1}.info();
  info.config.layers[1].mixers = {MixerKind::kMatrixState};
  info.layer_labels[1] = "1 Mamba-2";
  return info;
}

TEST(Registry, ListsTheViewsAndRefusesOthersByName) {
  std::vector<std::string> names;
  for (const View* view : all_views()) names.emplace_back(view->name());
  EXPECT_EQ(names, (std::vector<std::string>{"attention", "state", "convolution", "fast", "mixing", "routing", "loop",
                                             "cache", "lens", "output", "text", "window"}));
  EXPECT_EQ(find_view("attentoin").error().code, ErrorCode::kInvalidArgument);
}

TEST(Registry, EveryWantedProbeIsReal) {
  const FrameHistory history = SampleRun{.n_layers = 2, .n_heads = 2}.history(5);
  for (const View* view : all_views()) {
    for (const Wanted& wanted : view->wanted(history, {})) {
      ASSERT_NE(wanted.probe, nullptr) << view->name();
      EXPECT_LT(wanted.begin, wanted.end) << view->name();
    }
  }
}

TEST(CacheView, DrawsBytesByComponentOverStepsAndByLayer) {
  FrameHistory history;
  history.reset(hybrid());
  for (int64_t step = 0; step < 6; ++step) {
    history.add_token(SampleRun{}.token(step));
    history.add_frame(make_frame_i64("cache.bytes", step, {0, 1}, {4}, {1000 * (step + 1), 0, 0, 0, 0, 5000, 300, 0}));
    history.add_frame(make_frame_i32("cache.entries", step, {0}, {}, {static_cast<int32_t>(step + 1)}));
    history.add_frame(make_frame_i32("cache.evicted", step, {0}, {}, {2}));
  }
  const json scene = draw_json("cache", history, at_step(3));
  EXPECT_EQ(series(scene, "keys and values")["y"], json({1000., 2000., 3000., 4000., 5000., 6000.}));
  EXPECT_EQ(series(scene, "keys and values")["x"], json({0., 1., 2., 3., 4., 5.}));
  EXPECT_EQ(series(scene, "recurrent state")["y"], json({5000., 5000., 5000., 5000., 5000., 5000.}));
  EXPECT_EQ(series(scene, "keys and values by layer")["y"], json({4000., 0.}));
  EXPECT_EQ(series(scene, "recurrent state by layer")["y"], json({0., 5000.}));
  EXPECT_TRUE(says(scene, "4 keys in each layer with attention, 2 dropped"));
  EXPECT_TRUE(says(scene, "recurrent state 4.88 KiB"));
  EXPECT_TRUE(says(scene, "convolution state 300 B"));
  EXPECT_TRUE(says(scene, "1 Mamba-2"));
  EXPECT_TRUE(says(scene, "KiB"));
  EXPECT_FALSE(says(scene, "fast weights"));  // there are none: not in the legend
}

TEST(CacheView, HatchesStepsThatAreNotHeld) {
  FrameHistory history;
  history.reset(hybrid());
  for (const int64_t step : {0, 1, 8, 9}) {
    history.add_token(SampleRun{}.token(step));
    history.add_frame(make_frame_i64("cache.bytes", step, {0, 1}, {4}, {1, 0, 0, 0, 0, 1, 0, 0}));
  }
  EXPECT_EQ(draw_json("cache", history, at_step(1))["missing"].size(), 3u);  // and both block maps: no keys are told of
  EXPECT_EQ(draw_json("cache", history, at_step(5))["missing"].size(), 4u);  // the layers of step 5 as well
  EXPECT_TRUE(says(draw_json("cache", history, at_step(5)), "step 5: not recorded"));
}

FrameHistory output_history(Segment segment, int32_t next_id) {
  FrameHistory history;
  history.reset(hybrid());
  Token token = SampleRun{}.token(0);
  history.add_token(token);
  token.step = 1;
  token.id = next_id;
  token.bytes = "<b>";
  token.segment = segment;
  history.add_token(token);
  std::vector<float> top;
  for (int i = 0; i < 64; ++i) {
    top.push_back(static_cast<float>(i + 10));
    top.push_back(std::log(0.5f) * static_cast<float>(i + 1));
  }
  history.add_frame(make_frame("output.top", 0, {}, {64, 2}, top));
  history.add_frame(make_frame("output.entropy", 0, {}, {}, {1.25f}));
  history.add_frame(make_frame("output.tail", 0, {}, {}, {0.03f}));
  return history;
}

TEST(OutputView, DrawsTheCandidatesWithTheirProbabilitiesAndMarksTheOneThatCame) {
  const json scene = draw_json("output", output_history(Segment::kGenerated, 11), at_step(0));
  const json candidates = series(scene, "candidates");
  EXPECT_EQ(candidates["x"][0], 10);
  EXPECT_NEAR(candidates["y"][0].get<double>(), 0.5, 1e-6);
  EXPECT_NEAR(candidates["y"][2].get<double>(), 0.125, 1e-6);
  EXPECT_EQ(candidates["labels"][0], "␣the");
  EXPECT_TRUE(says(scene, "Sampled: <b>, number 2 before the samplers, 25.0 %"));
  EXPECT_TRUE(says(scene, "entropy 1.25 nats"));
  EXPECT_TRUE(says(scene, "3.00 %"));
}

TEST(OutputView, DoesNotCallAPromptTokenSampledNorInventARank) {
  EXPECT_TRUE(
      says(draw_json("output", output_history(Segment::kUser, 11), at_step(0)), "Next in the prompt: <b>, number 2"));
  EXPECT_TRUE(
      says(draw_json("output", output_history(Segment::kGenerated, 9000), at_step(0)), "outside the 64 likeliest"));
}

TEST(OutputView, SaysWhatIsMissing) {
  const json scene = draw_json("output", output_history(Segment::kGenerated, 11), at_step(1));
  EXPECT_EQ(scene["missing"].size(), 1u);
  EXPECT_TRUE(scene["series"].empty());
}

TEST(TextView, CarriesTheScalarOfEveryVisibleToken) {
  const SampleRun run{.n_layers = 2, .n_heads = 2};
  const FrameHistory history = run.history(30);
  const json scene = draw_json("text", history, at_step(4));
  const json entropy = series(scene, "next-token entropy");
  ASSERT_EQ(entropy["y"].size(), 31u);
  for (int64_t step = 0; step < 30; ++step) {
    EXPECT_FLOAT_EQ(entropy["y"][static_cast<size_t>(step)].get<float>(),
                    history.row(*find_probe("output.entropy"), step).f32()[0]);
  }
  EXPECT_TRUE(entropy["y"][30].is_null());  // sampled, not fed back
  EXPECT_EQ(entropy["labels"][2], "␣clock");
  EXPECT_EQ(scene["missing"].size(), 1u);
}

TEST(TextView, TellsTheProbabilityThatATokenHad) {
  ViewState state = at_step(0);
  state.token_scalar = "token.probability";
  const json scene = draw_json("text", output_history(Segment::kGenerated, 12), state);
  const json values = series(scene, "token probability");
  EXPECT_TRUE(values["y"][0].is_null());
  EXPECT_NEAR(values["y"][1].get<double>(), 0.125, 1e-6);
}

TEST(TextView, ScrollsByWheelAndKeepsItsPlaceOnClick) {
  const FrameHistory history = SampleRun{.n_layers = 1, .n_heads = 1, .exact_steps = 0}.history(600);
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  const View& view = **find_view("text");
  ViewState state;
  Scene scene = view.scene({history, state, {500, 260}, metrics});
  const auto first_visible = [](const Scene& s) { return static_cast<int64_t>(s.series[0].x.front()); };
  const int64_t bottom = first_visible(scene);
  EXPECT_EQ(static_cast<int64_t>(scene.series[0].x.back()), 600);  // follows
  EXPECT_FALSE(wheel_at(scene, {100, 100}, -1).has_value());
  const auto up = wheel_at(scene, {100, 100}, 1);
  ASSERT_TRUE(up.has_value());
  apply(state, *up);
  scene = view.scene({history, state, {500, 260}, metrics});
  const int64_t top = first_visible(scene);
  EXPECT_LT(top, bottom);
  const auto hit = hit_test(scene, {60, 80});
  ASSERT_TRUE(hit.has_value() && hit->click.has_value());
  EXPECT_NE(hit->tooltip.find("next-token entropy"), std::string::npos);
  apply(state, *hit->click);
  EXPECT_FALSE(state.follow);
  scene = view.scene({history, state, {500, 260}, metrics});
  EXPECT_EQ(first_visible(scene), top);
  apply(state, Select{.step = 3});
  scene = view.scene({history, state, {500, 260}, metrics});
  EXPECT_EQ(first_visible(scene), 0);
}

TEST(TimelineView, ClicksSeekAndStripsCarryTheLargestOfEachColumn) {
  const FrameHistory history = SampleRun{.n_layers = 2, .n_heads = 2, .exact_steps = 0}.history(400);
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  const Scene scene = timeline_view().scene({history, at_step(10), {500, 100}, metrics});
  const auto hit = hit_test(scene, {250, 50});
  ASSERT_TRUE(hit.has_value());
  EXPECT_TRUE(hit->scrub);
  EXPECT_NEAR(static_cast<double>(*std::get<Select>(*hit->click).step), 200, 40);
  const Series& strip = scene.series.front();
  ASSERT_GT(strip.x.size(), 2u);
  float most = 0;
  for (auto step = static_cast<int64_t>(strip.x[0]); step < static_cast<int64_t>(strip.x[1]); ++step) {
    most = std::max(most, history.row(*find_probe("output.entropy"), step).f32()[0]);
  }
  EXPECT_FLOAT_EQ(static_cast<float>(strip.y[0]), most);
}

TEST(WindowView, TilesTheOtherViews) {
  const FrameHistory history = SampleRun{.n_layers = 2, .n_heads = 2}.history(20);
  const json scene = draw_json("window", history, {}, {1280, 800});
  std::vector<std::string> names;
  for (const json& panel : scene["panels"]) names.push_back(panel["name"]);
  EXPECT_EQ(names, (std::vector<std::string>{"text", "attention", "cache", "output", "timeline"}));
  EXPECT_EQ(scene["panels"][1]["scene"]["view"], "attention");
  EXPECT_FALSE(scene["panels"][1]["scene"]["tiles"].empty());
  EXPECT_FALSE(draw_json("window", history, {}, {300, 200})["notes"].empty());
  EXPECT_NE(scene["notes"].dump().find("Routing: This model has no experts"), std::string::npos);
}

TEST(WindowView, TilesWhatTheModelHas) {
  const auto panels = [](const auto& run) {
    std::vector<std::string> names;
    const json scene = draw_json("window", run.history(20), {}, {1280, 900});
    for (const json& panel : scene["panels"]) names.push_back(panel["name"]);
    return names;
  };
  EXPECT_EQ(panels(HybridRun{}),
            (std::vector<std::string>{"text", "attention", "state", "routing", "cache", "output", "timeline"}));
  EXPECT_EQ(panels(HybridRun{.has_attention = false}),
            (std::vector<std::string>{"text", "state", "routing", "cache", "output", "timeline"}));
  EXPECT_EQ(panels(FastRun{}), (std::vector<std::string>{"text", "attention", "fast", "cache", "output", "timeline"}));
}

TEST(EveryView, DrawsAnEmptyHistory) {
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kDark));
  FrameHistory history;
  for (const View* view : all_views()) {
    const Scene scene = view->scene({history, {}, {600, 400}, metrics});
    EXPECT_EQ(scene.view, view->name());
    EXPECT_FALSE(scene.items.empty());
  }
  history.reset(hybrid());
  history.add_token(SampleRun{}.token(0));  // known, not processed
  for (const View* view : all_views()) EXPECT_FALSE(view->scene({history, {}, {600, 400}, metrics}).items.empty());
}

std::string value_of(const std::vector<InspectorRow>& rows, const std::string& name) {
  for (const InspectorRow& row : rows) {
    if (row.name == name) return row.value;
  }
  return "";
}

TEST(Inspector, TellsWhatAHeadWithFastWeightsLearns) {
  const FastRun run;
  ViewState state = at_step(7);
  state.selected.layer = 2;
  state.selected.head = 3;
  const std::vector<InspectorRow> rows = inspector_rows(run.history(10), state, nullptr);
  const auto number = [&](size_t probe) { return format_value(static_cast<double>(run.value(probe, 7, 2, 3))); };
  EXPECT_EQ(value_of(rows, "inner loss before"), number(0));
  EXPECT_EQ(value_of(rows, "inner loss after"), number(1));
  EXPECT_EQ(value_of(rows, "step size"), number(2));
  EXPECT_EQ(value_of(rows, "change"), number(3));
  EXPECT_EQ(value_of(rows, "drift"), number(4));
}

TEST(Inspector, TellsTheSelectionsNumbersWithTheirProvenance) {
  const FrameHistory history = SampleRun{.n_layers = 2, .n_heads = 2}.history(20);
  ViewState state = at_step(7);
  state.selected.layer = 1;
  state.selected.head = 1;
  state.selected.key = 3;
  const SampleTexts texts;
  const std::vector<InspectorRow> rows = inspector_rows(history, state, &texts);
  EXPECT_EQ(value_of(rows, "text"), "␣small");
  EXPECT_EQ(value_of(rows, "bytes"), "20 73 6d 61 6c 6c ");
  EXPECT_EQ(value_of(rows, "segment"), "user");
  EXPECT_EQ(value_of(rows, "layer"), "1 attention");
  EXPECT_EQ(value_of(rows, "keys held"), "8");
  bool has_weight = false;
  for (const InspectorRow& row : rows) {
    if (row.section == "Key" && row.name == "weight") {
      has_weight = true;
      EXPECT_EQ(row.provenance, "attention.row · F32 · exact · live");
    }
  }
  EXPECT_TRUE(has_weight);
}

TEST(Inspector, TellsOfAHybridLayerWhatItHas) {
  const HybridRun run;
  const FrameHistory history = run.history(20);
  ViewState state = at_step(7);
  state.selected.layer = 2;
  state.selected.head = 4;
  std::vector<InspectorRow> rows = inspector_rows(history, state);
  EXPECT_EQ(value_of(rows, "part"), "channels 13–15");
  EXPECT_EQ(value_of(rows, "norm"), format_value(static_cast<double>(run.norm(7, 2, 4))));
  EXPECT_EQ(value_of(rows, "half-life"),
            format_value(std::log(2.0) / -std::log(static_cast<double>(run.keep(7, 2, 4)))) + " tokens");
  EXPECT_EQ(value_of(rows, "weight of expert " + std::to_string(run.experts(7, 2)[1])), "0.250");
  EXPECT_EQ(value_of(rows, "margin to the next"), "0.250");
  EXPECT_EQ(value_of(rows, "this token"), "not recorded") << "conv.taps";
  EXPECT_EQ(value_of(rows, "reads"), "") << "no attention here";
  // Attention with 2 heads beside a state of 40.
  state.selected.layer = 3;
  state.selected.head = 30;
  rows = inspector_rows(history, state);
  EXPECT_EQ(value_of(rows, "part"), "head 30");
  EXPECT_EQ(value_of(rows, "head"), "");
}

TEST(Selection, StartsWhereTheModelHasHeadsAndStaysWithinThem) {
  FrameHistory history = HybridRun{.has_attention = false}.history(3);
  EXPECT_EQ(resolve(history, {}).layer, 0);
  EXPECT_EQ(resolve(history, {}).head, 0);
  ViewState state;
  state.selected.layer = 1;
  state.selected.head = 40;
  EXPECT_EQ(resolve(history, state).head, 15) << "groups of channels";
  apply(state, move_head(history, state, -1));
  EXPECT_EQ(state.selected.head, 14);
  history = HybridRun{}.history(3);
  EXPECT_EQ(resolve(history, {}).layer, 1) << "the first with attention";
  EXPECT_EQ(resolve_for(MixerKind::kMatrixState, history, {}).layer, 0);
  state.selected.layer = 3;
  state.selected.head = 39;
  EXPECT_EQ(resolve(history, state).head, 39) << "of the state";
  EXPECT_EQ(resolve_for(MixerKind::kAttention, history, state).head, 1);
  state.selected.layer = 1;
  EXPECT_EQ(resolve_for(MixerKind::kMatrixState, history, state).head, -1);
}

TEST(Inspector, SaysNotRecordedRatherThanZero) {
  FrameHistory history;
  history.reset(hybrid());
  history.add_token(SampleRun{}.token(0));
  const std::vector<InspectorRow> rows = inspector_rows(history, at_step(0));
  EXPECT_EQ(value_of(rows, "residual norm"), "not recorded");
  EXPECT_EQ(value_of(rows, "next token"), "not recorded");
}

}  // namespace
}  // namespace orrery
