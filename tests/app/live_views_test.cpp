// The views of hybrids, experts, loops and fast weights on real runs: the same live and replayed from the session, and
// another prompt gives another picture.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "app/session_scene.h"
#include "tests/app/tiny_model.h"
#include "views/json_renderer.h"
#include "views/mixing_cells.h"
#include "views/registry.h"
#include "views/routing_cells.h"
#include "views/what_if.h"

namespace orrery {
namespace {

using nlohmann::json;
using testing::open_tiny;
using testing::TemporaryFolder;

struct Case {
  const char* model;
  std::vector<const char*> views;
};

void PrintTo(const Case& one, std::ostream* out) { *out << one.model; }

std::vector<Token> some_tokens(int64_t n, int64_t factor) {
  std::vector<Token> tokens;
  for (int64_t step = 0; step < n; ++step) {
    tokens.push_back({.step = step,
                      .id = static_cast<int32_t>(step * factor % 31),
                      .bytes = "t",
                      .segment = step < 10 ? Segment::kSystem : Segment::kUser});
  }
  return tokens;
}

struct Recorded {
  FrameHistory live;
  FrameHistory stored;
};

// 90 tokens, 8 new ones; `stored` has what the views want of the session.
Recorded record(const OpenedModel& opened, const std::string& path, int64_t factor, const Case& one,
                const ViewState& state) {
  Recorded recorded;
  Generator generator(opened.model, opened.kv);
  RunControl control;
  RunRequest request;
  request.prompt = some_tokens(90, factor);
  request.n_new_tokens = 8;
  request.schedule.level = Level::kFull;
  request.batches = plan_batches(generator, 90, request.schedule, {}, false);
  RunSinks sinks;
  std::vector<SharedBatch> batches;
  sinks.publish = [&](const SharedBatch& batch) { batches.push_back(batch); };
  const auto run = record_run(path, opened, generator, {.kind = "tokens", .text = ""}, request, false, sinks, control);
  EXPECT_TRUE(run) << run.error().message;
  const auto reader = SessionReader::open(path).value();
  const RunRecord info = reader->run(0).value();
  recorded.live.reset(run_info(info));
  for (const SharedBatch& batch : batches) recorded.live.add_batch(*batch);
  recorded.stored = open_history(*reader, info, recorded.live.n_processed()).value();
  std::vector<const View*> views{&timeline_view()};
  for (const char* name : one.views) views.push_back(*find_view(name));
  for (const View* view : views) {
    const auto fetched = fetch_wanted(*reader, info, *view, state, {}, control, recorded.stored);
    EXPECT_TRUE(fetched) << fetched.error().message;
  }
  return recorded;
}

json drawn(const View& view, const FrameHistory& history, const ViewState& state, Size size = {1280, 800}) {
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  json scene = render_json(view.scene({history, state, size, metrics}));
  for (json& one : scene["provenance"]) {
    one.erase("origin");
    one.erase("line");
  }
  scene.erase("texts");  // the footer says live or recorded
  return scene;
}

class LiveViews : public ::testing::TestWithParam<Case> {};

INSTANTIATE_TEST_SUITE_P(Models, LiveViews,
                         ::testing::Values(Case{"tiny-granite-hybrid", {"state", "routing", "cache", "convolution"}},
                                           Case{"tiny-falcon-h1", {"state", "cache"}},
                                           Case{"tiny-qwen3-next", {"state", "routing", "cache"}},
                                           Case{"tiny-lfm2-moe", {"routing", "cache", "convolution"}},
                                           Case{"tiny-mistral", {"cache", "attention"}},
                                           Case{"tiny-ouro", {"loop", "cache"}}, Case{"tiny-huginn-exits", {"loop"}},
                                           Case{"tiny-ttt-linear", {"fast"}}));

TEST_P(LiveViews, AreTheSameLiveAndReplayedAndDifferFromPromptToPrompt) {
  const TemporaryFolder folder;
  const OpenedModel opened = open_tiny(GetParam().model);
  ViewState state;
  state.follow = false;
  state.selected.step = 80;
  state.selected.expert = 1;
  if (opened.model->config().loop.any()) state.what_if = first_what_if(opened.model->config().loop);
  const Recorded one = record(opened, folder.file("one.orrery"), 7, GetParam(), state);
  const Recorded other = record(opened, folder.file("other.orrery"), 5, GetParam(), state);
  EXPECT_EQ(drawn(timeline_view(), one.live, state), drawn(timeline_view(), one.stored, state));
  for (const char* name : GetParam().views) {
    const View& view = **find_view(name);
    const json live = drawn(view, one.live, state);
    EXPECT_EQ(live, drawn(view, one.stored, state)) << name;
    EXPECT_FALSE(live["tiles"].empty()) << name;
    EXPECT_LE(live["missing"].size(), 1u) << name << ": but for the token that was sampled and not fed";
    EXPECT_NE(live["tiles"], drawn(view, other.live, state)["tiles"]) << name;
  }
}

TEST_P(LiveViews, DrawNumbersEvenInALowDock) {
  const TemporaryFolder folder;
  const OpenedModel opened = open_tiny(GetParam().model);
  const Recorded one = record(opened, folder.file("one.orrery"), 7, GetParam(), {});
  for (const char* name : GetParam().views) {
    const json low = drawn(**find_view(name), one.live, {}, {360, 92});
    EXPECT_FALSE(low["tiles"].empty() && low["series"].empty()) << name;
  }
}

// A later iteration of a token that has left is no missing number: it is said, and drawn in grey.
TEST(LiveViews, SayWhichIterationsATokenWasNotIn) {
  const TemporaryFolder folder;
  const Case hybrid{"orrery-hybrid", {"mixing", "routing", "attention", "state", "lens", "convolution"}};
  ViewState state;
  state.follow = false;
  const OpenedModel opened = open_tiny("orrery-hybrid");
  state.selected.step = 50;
  const Recorded one = record(opened, folder.file("one.orrery"), 7, hybrid, state);
  const LoopConfig loop = one.live.info().config.loop;
  ASSERT_EQ(one.live.row(*find_probe("loop.depth"), 50).i32()[0], 1) << "it leaves after the first";
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  for (const char* name : hybrid.views) {
    const json scene = render_json((*find_view(name))->scene({one.stored, state, {1600, 1200}, metrics}));
    EXPECT_NE(scene["notes"].dump().find("the token was not in that iteration"), std::string::npos) << name;
  }
  int n_left = 0;
  for (const MixingLane& lane : mixing_lanes(one.live.info().config)) {
    const bool is_later = lane.name.find("loop") != std::string::npos && lane.name.find("loop 1") == std::string::npos;
    const LaneForm form = lane_cells(one.stored, lane, 50, {0, 51}, 100).form;
    if (lane.kind == LaneKind::kState) continue;  // not computed by a view
    EXPECT_EQ(form == LaneForm::kLeft, is_later) << lane.name;
    EXPECT_EQ(lane_row(one.stored, lane, 0, 50).form == LaneForm::kLeft, is_later) << lane.name;
    n_left += is_later ? 1 : 0;
  }
  EXPECT_EQ(n_left, 2 * (loop.n_iterations - 1)) << "attention and a convolution each";
  const RoutingCells cells = routing_cells(one.stored, {0, 90}, 50);
  ASSERT_EQ(std::ssize(cells.layers), loop.n_iterations);
  for (size_t row = 0; row < cells.layers.size(); ++row) {
    EXPECT_EQ(std::isnan(cells.weights[row * static_cast<size_t>(cells.n_columns)]), row > 0);
  }
}

// What an exit would do is what it does: of a model that computes all iterations whatever the exit says.
TEST(WhatIfDepths, AreThoseOfARunWithThatExit) {
  const TemporaryFolder folder;
  const Case loop{"tiny-ouro", {"loop"}};
  const Recorded one = record(open_tiny("tiny-ouro"), folder.file("own.orrery"), 7, loop, {});
  const LoopConfig own = one.live.info().config.loop;
  // At the run's own exit it foretells what was recorded.
  const MeanDepths same = mean_depths(one.live, {own.rule, own.threshold}, 0, 90);
  EXPECT_EQ(same.n_tokens, 90);
  EXPECT_EQ(same.asked, same.recorded);
  for (const WhatIf asked :
       {WhatIf{ExitRule::kGate, 0.3f}, WhatIf{ExitRule::kGate, 0.8f}, WhatIf{ExitRule::kStep, 0.7f}}) {
    LoopRequest request;
    request.exit = LoopRequest::Exit{asked.rule, asked.threshold};
    Result<OpenedModel> opened = open_model({.model = testing::asset("models/tiny-ouro"),
                                             .backend = {.name = "cpu", .threads = 1},
                                             .kv = {},
                                             .loop = request});
    ASSERT_TRUE(opened) << opened.error().message;
    const Recorded run = record(*opened, folder.file("asked.orrery"), 7, loop, {});
    const std::vector<float> foretold = depths_if(one.live, asked, 0, 90);
    int n_changed = 0;
    for (int64_t step = 0; step < 90; ++step) {
      const auto depth = static_cast<float>(run.live.row(*find_probe("loop.depth"), step).i32()[0]);
      EXPECT_EQ(foretold[static_cast<size_t>(step)], depth) << step << " at " << asked.threshold;
      n_changed += depth != static_cast<float>(one.live.row(*find_probe("loop.depth"), step).i32()[0]);
    }
    EXPECT_GT(n_changed, 0) << "the exit must matter";
  }
}

// What a token that left does not tell is missing; what it tells is what was recorded.
TEST(WhatIfDepths, OfTokensThatLeftAreKnownUpToThere) {
  const TemporaryFolder folder;
  const Case loop{"tiny-huginn", {"loop"}};
  const Recorded all = record(open_tiny("tiny-huginn"), folder.file("all.orrery"), 7, loop, {});
  std::vector<float> second;  // how far the second iteration moves each token
  for (int64_t step = 0; step < 90; ++step) {
    second.push_back(all.live.row(*find_probe("loop.step"), step).f32()[1]);
  }
  std::ranges::nth_element(second, second.begin() + 45);
  const WhatIf own{ExitRule::kStep, second[45]};
  LoopRequest request;
  request.exit = LoopRequest::Exit{own.rule, own.threshold};
  Result<OpenedModel> opened = open_model({.model = testing::asset("models/tiny-huginn"),
                                           .backend = {.name = "cpu", .threads = 1},
                                           .kv = {},
                                           .loop = request});
  ASSERT_TRUE(opened) << opened.error().message;
  const Recorded one = record(*opened, folder.file("own.orrery"), 7, loop, {});
  const MeanDepths same = mean_depths(one.live, own, 0, 90);
  EXPECT_EQ(same.n_tokens, 90);
  EXPECT_EQ(same.asked, same.recorded);
  EXPECT_LT(same.recorded, one.live.info().config.loop.n_iterations) << "some leave";
  const MeanDepths never = mean_depths(one.live, {ExitRule::kStep, 1e-6f}, 0, 90);
  EXPECT_GT(never.n_unknown, 0);
  EXPECT_EQ(never.n_tokens + never.n_unknown, 90);
  EXPECT_TRUE(never.n_tokens == 0 || never.asked == one.live.info().config.loop.n_iterations);
}

}  // namespace
}  // namespace orrery
