// The lens view by value.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/views/loop_run.h"
#include "tests/views/mixer_run.h"
#include "tests/views/scene_json.h"
#include "views/json_renderer.h"
#include "views/lens_cells.h"
#include "views/registry.h"

namespace orrery {
namespace {

using nlohmann::json;

constexpr Size kSize{1280, 800};

Scene draw(const FrameHistory& history, const ViewState& state, Size size = kSize) {
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  const SampleTexts texts;
  return (*find_view("lens"))->scene({history, state, size, metrics, &texts});
}

TEST(LensCells, HoldTheLikeliestOfEveryLayerAndStep) {
  const MixerRun run;
  const FrameHistory history = run.history(12);
  const LensMap map = lens_map(history, {2, 12}, 100);
  ASSERT_EQ(map.layers, (std::vector<int32_t>{0, 1, 2, 3}));
  ASSERT_EQ(map.cols, 10);
  for (int32_t layer = 0; layer < 4; ++layer) {
    for (int64_t step = 2; step < 12; ++step) {
      const auto i = static_cast<size_t>(layer * 10 + step - 2);
      EXPECT_EQ(map.ids[i], run.lens_id(step, layer, 0));
      EXPECT_EQ(map.probabilities[i], run.lens_probability(step, layer, 0));
    }
  }
  const std::vector<LensCandidate> eight = lens_candidates(history, 2, 5);
  ASSERT_EQ(eight.size(), 8u);
  for (int32_t place = 0; place < 8; ++place) {
    EXPECT_EQ(eight[static_cast<size_t>(place)].id, run.lens_id(5, 2, place));
    EXPECT_EQ(eight[static_cast<size_t>(place)].probability, run.lens_probability(5, 2, place));
  }
}

TEST(LensCells, BelieveNoIdThatCannotBe) {
  const MixerRun run;
  FrameHistory history = run.history(2);
  std::vector<float> top;
  for (int i = 0; i < 4 * 8; ++i) top.insert(top.end(), {i % 2 == 0 ? 1e30f : std::nanf(""), 0.5f});
  history.add_frame(make_frame("lens.top", 1, {0, 1, 2, 3}, {8, 2}, top));
  EXPECT_TRUE(lens_candidates(history, 2, 1).empty());
  EXPECT_EQ(lens_trace(history, 0, 1).ranks, (std::vector<int>{-1, -1, -1, -1}));
  EXPECT_EQ(lens_map(history, {0, 2}, 10).ids[1], -1);
}

TEST(LensCells, FollowATokenThroughTheLayersAndInventNoRank) {
  const MixerRun run;
  const FrameHistory history = run.history(12);
  const int32_t id = run.lens_id(5, 2, 3);
  const LensTrace trace = lens_trace(history, id, 5);
  ASSERT_EQ(trace.ranks.size(), 4u);
  EXPECT_EQ(trace.ranks[2], 4);
  EXPECT_EQ(trace.probabilities[2], run.lens_probability(5, 2, 3));
  for (int32_t layer = 0; layer < 4; ++layer) {
    int rank = 0;
    for (int32_t place = 0; place < 8; ++place) rank = run.lens_id(5, layer, place) == id ? place + 1 : rank;
    EXPECT_EQ(trace.ranks[static_cast<size_t>(layer)], rank);
    EXPECT_EQ(std::isnan(trace.probabilities[static_cast<size_t>(layer)]), rank == 0);
  }
  EXPECT_EQ(lens_trace(history, 1000, 5).ranks, (std::vector<int>{0, 0, 0, 0}));
  EXPECT_EQ(lens_trace(history, id, 12).ranks, (std::vector<int>{-1, -1, -1, -1})) << "that step was not processed";
}

TEST(LensCells, TheTokenThatCameNextIsFollowedUnlessAnotherIsPinned) {
  const MixerRun run;
  const FrameHistory history = run.history(12);
  EXPECT_EQ(followed_token(history, {.step = 5}).id, SampleRun{}.token(6).id);
  EXPECT_EQ(followed_token(history, {.step = 5, .token = 17}).id, 17);
  FrameHistory ended;
  ended.reset(run.info());
  FrameBatch last = run.batch(0);
  last.tokens.pop_back();
  ended.add_batch(last);
  EXPECT_EQ(followed_token(ended, {.step = 0}).id, run.lens_id(0, 3, 0)) << "nothing came: what the model would say";
}

TEST(LensCells, AWindowHoldsTheSelectedStepWhateverItsWidth) {
  const FrameHistory history = MixerRun{.exact = false, .implied = false, .lens = false}.history(100);
  const auto wanted = [&](const ViewState& state) { return (*find_view("lens"))->wanted(history, state).front(); };
  for (const int64_t most : {1, 2, 3, 7, 8, 20, 64}) {
    for (int64_t step = 0; step < 100; ++step) {
      const StepRange steps = lens_steps(history, at(step), most);
      EXPECT_TRUE(steps.begin <= step && step < steps.end) << most << " " << step;
      EXPECT_EQ(steps.size(), most);
      EXPECT_TRUE(steps.begin >= 0 && steps.end <= 100);
      EXPECT_LE(wanted(at(step)).begin, steps.begin) << "what is drawn is fetched";
      EXPECT_GE(wanted(at(step)).end, std::min(steps.end, step + 64));
    }
  }
  ViewState zoomed = at(5);
  zoomed.steps = {40, 60};
  EXPECT_EQ(lens_steps(history, zoomed, 8), (StepRange{40, 60}));
}

TEST(LensView, DrawsWhatIsRecorded) {
  const MixerRun run;
  const FrameHistory history = run.history(12);
  const json scene = render_json(draw(history, at(5, 2)));
  const json tile = named(scene["tiles"], "probability of the likeliest");
  ASSERT_EQ(tile["rows"], 4);
  ASSERT_EQ(tile["columns"], 12);
  const SampleTexts texts;
  for (int32_t layer = 0; layer < 4; ++layer) {
    const auto row = static_cast<size_t>(layer);
    for (size_t step = 0; step < 12; ++step) {
      EXPECT_FLOAT_EQ(tile["cells"][row][step].get<float>(),
                      run.lens_probability(static_cast<int64_t>(step), layer, 0));
    }
    EXPECT_EQ(named(scene["series"], "likeliest by layer")["y"][row], run.lens_id(5, layer, 0));
  }
  EXPECT_EQ(scene["selection"]["token"], SampleRun{}.token(6).id);
  EXPECT_TRUE(says(scene, "came next"));
  EXPECT_EQ(named(scene["series"], "candidates of the layer")["x"][3], run.lens_id(5, 2, 3));
}

TEST(LensView, DrawsTheFollowedTokensRankAndWhereItIsNotAmongTheEight) {
  const MixerRun run;
  const FrameHistory history = run.history(12);
  ViewState state = at(5, 2);
  state.selected.token = run.lens_id(5, 2, 0);
  const json scene = render_json(draw(history, state));
  const json ranks = named(scene["series"], "rank of the followed token");
  const json probabilities = named(scene["series"], "probability of the followed token");
  EXPECT_EQ(ranks["y"][2], 1.0);
  EXPECT_FLOAT_EQ(probabilities["y"][2].get<float>(), run.lens_probability(5, 2, 0));
  const LensTrace trace = lens_trace(history, state.selected.token, 5);
  bool any_missing = false;
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(ranks["y"][i].is_null(), trace.ranks[i] == 0);
    any_missing |= trace.ranks[i] == 0;
  }
  EXPECT_EQ(any_missing, !scene["missing"].empty());
  state.selected.token = 1000;
  const json none = render_json(draw(history, state));
  EXPECT_EQ(named(none["series"], "rank of the followed token")["y"], json({nullptr, nullptr, nullptr, nullptr}));
  EXPECT_TRUE(says(none, "not among the 8"));
}

TEST(LensView, AClickOnACellPinsItsTokenAndHoveringTellsAllEight) {
  const MixerRun run;
  const FrameHistory history = run.history(12);
  Scene scene = draw(history, at(5, 2));
  const Tile* tile = nullptr;
  for (const Item& item : scene.items) {
    if (const auto* one = std::get_if<Tile>(&item)) tile = one;
  }
  ASSERT_NE(tile, nullptr);
  const Point p{tile->rect.x + tile->rect.width * 8.5f / 12, tile->rect.y + tile->rect.height * 1.5f / 4};
  auto hit = hit_test(scene, p);
  ASSERT_TRUE(hit && hit->click && hit->hover);
  EXPECT_EQ(std::get<Select>(*hit->click), (Select{.step = 8, .layer = 1, .token = run.lens_id(8, 1, 0)}));
  ViewState state = at(5, 2);
  apply(state, *hit->hover);
  scene = draw(history, state);
  hit = hit_test(scene, p);
  ASSERT_TRUE(hit && hit->click);
  EXPECT_NE(hit->tooltip.find("8. "), std::string::npos) << hit->tooltip;
  EXPECT_EQ(hit->hover->target.step, 8);
  apply(state, *hit->click);
  EXPECT_EQ(state.selected.token, run.lens_id(8, 1, 0));
  EXPECT_EQ(state.selected.step, 8);
  apply(state, ClearSelection{});
  EXPECT_EQ(state.selected.token, -1);
  apply(state, Back{});
  EXPECT_EQ(state.selected.token, run.lens_id(8, 1, 0));
}

TEST(LensView, ManyStepsAreColoursAloneAndTheirMissingOnesHatched) {
  const MixerRun run{.exact = false, .implied = false};
  FrameHistory history;
  history.reset(run.info());
  for (int64_t step = 0; step < 200; ++step) {
    FrameBatch batch = run.batch(step);
    if (step >= 40 && step < 80)
      std::erase_if(batch.frames, [](const Frame& f) { return f.probe->name == "lens.top"; });
    history.add_batch(batch);
  }
  ViewState state = at(100, 2);
  state.steps = {0, 200};
  const json scene = render_json(draw(history, state));
  const json tile = named(scene["tiles"], "probability of the likeliest");
  EXPECT_EQ(tile["columns"], 200);
  EXPECT_TRUE(tile["cells"][0][50].is_null());
  EXPECT_FALSE(tile["cells"][0][39].is_null());
  EXPECT_FALSE(scene["missing"].empty());
  EXPECT_NE(scene["notes"].dump().find("Hatched columns"), std::string::npos);
}

TEST(LensView, OtherHistoriesOtherPicturesLiveAndRecordedAlike) {
  const json live = render_json(draw(MixerRun{}.history(12), at(5, 2)));
  EXPECT_NE(live["tiles"], render_json(draw(MixerRun{.seed = 2}.history(12), at(5, 2)))["tiles"]);
  const json recorded = render_json(draw(MixerRun{.origin = Origin::kRecorded}.history(12), at(5, 2)));
  for (const char* part : {"tiles", "series", "axes", "missing"}) EXPECT_EQ(live[part], recorded[part]) << part;
}

TEST(LensView, NamesTheVisitsOfALoop) {
  const LoopRun run;
  FrameHistory history = run.history(4);
  std::vector<float> top;
  const auto n_layers = static_cast<size_t>(run.info().config.n_layers());
  for (size_t i = 0; i < n_layers * 8; ++i) top.insert(top.end(), {static_cast<float>(i % 48), 0.1f});
  std::vector<int32_t> layers(n_layers);
  for (size_t i = 0; i < n_layers; ++i) layers[i] = static_cast<int32_t>(i);
  history.add_frame(make_frame("lens.top", 3, layers, {8, 2}, top));
  const json scene = render_json(draw(history, at(3)));
  const json tile = named(scene["tiles"], "probability of the likeliest");
  EXPECT_EQ(tile["rows"], n_layers);
  EXPECT_EQ(scene["axes"][tile["row_axis"].get<size_t>()]["labels"][2], "1 attention, loop 2");
  EXPECT_EQ(scene["selection"]["layer"], n_layers - 1);
}

TEST(LensView, TellsHowToGetWhatWasNotRecorded) {
  const FrameHistory history = MixerRun{.lens = false}.history(12);
  const Scene scene = draw(history, at(5, 2));
  const json said = render_json(scene);
  EXPECT_EQ(said["missing"].size(), 1u);
  EXPECT_TRUE(said["tiles"].empty());
  for (const char* part : {"--level full", "--span", "shot --model", "export --recompute"}) {
    EXPECT_NE(said["notes"].dump().find(part), std::string::npos) << part;
  }
}

TEST(LensView, ColoursAreThoseOfTheMap) {
  const MixerRun run;
  const Scene scene = draw(run.history(12), at(5, 2));
  for (const Item& item : scene.items) {
    const auto* tile = std::get_if<Tile>(&item);
    if (tile == nullptr) continue;
    const auto pixels = tile_pixels(*tile, scene.scales[static_cast<size_t>(tile->scale)], theme_of(ThemeKind::kLight));
    const float p = run.lens_probability(7, 3, 0);
    EXPECT_EQ(pixels[3 * 12 + 7],
              colour_table(ColourMapId::kSequential, false)[static_cast<size_t>(std::lround(p * 255))]);
    return;
  }
  FAIL() << "no map";
}

}  // namespace
}  // namespace orrery
