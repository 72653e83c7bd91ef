// Events that follow from what is recorded.
#include "views/computed_marks.h"

#include <gtest/gtest.h>

#include "tests/views/sample_run.h"
#include "tests/views/scene_json.h"
#include "views/json_renderer.h"
#include "views/registry.h"

namespace orrery {
namespace {

using nlohmann::json;

// Layers 0 and 2 drop keys from step 8 on, layer 1 from step 20 on, layer 3 none.
void add_evicted(FrameHistory& history, int64_t step) {
  const auto past = [&](int64_t window) { return static_cast<int32_t>(std::max<int64_t>(step + 1 - window, 0)); };
  history.add_frame(make_frame_i32("cache.evicted", step, {0, 1, 2, 3}, {}, {past(8), past(20), past(8), 0}));
}

FrameHistory windows(int64_t n, int64_t gap_begin = -1, int64_t gap_end = -1) {
  FrameHistory history;
  history.reset(SampleRun{.n_layers = 4, .n_heads = 2}.info());
  for (int64_t step = 0; step < n; ++step) {
    history.add_token(SampleRun{}.token(step));
    if (step < gap_begin || step >= gap_end) add_evicted(history, step);
  }
  return history;
}

TEST(ComputedMarks, TellWhereLayersBeginToDropKeys) {
  const std::vector<ComputedMark> marks = eviction_marks(windows(40));
  ASSERT_EQ(marks.size(), 2u);
  EXPECT_EQ(marks[0].step, 8);
  EXPECT_EQ(marks[0].text, "2 layers, 0 attention the first, drop keys from step 8 on");
  EXPECT_EQ(marks[1].step, 20);
  EXPECT_EQ(marks[1].layer, 1);
  EXPECT_EQ(marks[1].text, "1 attention drops keys from step 20 on");
  EXPECT_TRUE(eviction_marks(windows(8)).empty());
  EXPECT_TRUE(eviction_marks(windows(0)).empty());
}

TEST(ComputedMarks, SayWhereStepsBeforeAreNotHeld) {
  const std::vector<ComputedMark> marks = eviction_marks(windows(40, 5, 12));
  ASSERT_EQ(marks.size(), 2u);
  EXPECT_EQ(marks[0].step, 12);
  EXPECT_EQ(marks[0].text, "2 layers, 0 attention the first, drop keys from or before step 12 on");
  EXPECT_EQ(marks[1].step, 20);
}

// 2 of 16: equal shares are one in eight, so that more than 24 of 64 tokens are hot.
RunInfo experts_info() {
  RunInfo info = SampleRun{.n_layers = 1, .n_heads = 2}.info();
  info.config.layers[0].feed_forward = FeedForwardKind::kMoe;
  info.config.layers[0].moe.router.n_experts = 16;
  info.config.layers[0].moe.router.n_chosen = 2;
  return info;
}

void add_experts(FrameHistory& history, int64_t step, int32_t a, int32_t b) {
  history.add_token(SampleRun{}.token(step));
  history.add_frame(make_frame_i32("moe.experts", step, {0}, {2}, {a, b}));
}

int32_t cold(int64_t step) { return static_cast<int32_t>(step % 15); }

TEST(ComputedMarks, TellWhereAnExpertBecomesHot) {
  FrameHistory history;
  history.reset(experts_info());
  // Expert 15 at the first 24 of 64, then at each: the 25th of the newest 64 is that of step 64, for step 0 has left.
  for (int64_t step = 0; step < 400; ++step) {
    const bool heat = step < 24 || (step >= 64 && step < 150);
    add_experts(history, step, cold(step), heat ? 15 : cold(step + 7));
  }
  const std::vector<ComputedMark> marks = hot_expert_marks(history, 0);
  // Counts of 15 in the windows that end at s: s = 63: 24, not more; from 64 to 87 one leaves as one comes; 88: 25.
  ASSERT_EQ(marks.size(), 1u);
  EXPECT_EQ(marks[0].step, 88);
  EXPECT_EQ(marks[0].expert, 15);
  EXPECT_EQ(marks[0].text,
            "expert 15 of 0 attention got 39.1 % of the last 64 tokens, more than 3 times its equal share of 12.5 %");
  EXPECT_TRUE(hot_expert_marks(history, -1).empty());
}

TEST(ComputedMarks, AWindowWithAGapSaysNothing) {
  FrameHistory history;
  history.reset(experts_info());
  for (int64_t step = 0; step < 120; ++step) {
    if (step % 60 != 30) add_experts(history, step, cold(step), 15);
  }
  EXPECT_TRUE(hot_expert_marks(history, 0).empty());
  FrameHistory whole;
  whole.reset(experts_info());
  for (int64_t step = 0; step < 120; ++step) add_experts(whole, step, cold(step), 15);
  const std::vector<ComputedMark> marks = hot_expert_marks(whole, 0);
  ASSERT_EQ(marks.size(), 1u) << "once, while it stays hot";
  EXPECT_EQ(marks[0].step, 63) << "the first whole window";
}

TEST(ComputedMarks, StandOnTheTimelineAsComputed) {
  const FrameHistory history = windows(40);
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  ViewState state = at(3);
  const Scene scene = timeline_view().scene({history, state, {800, 120}, metrics});
  const json drawn = named(render_json(scene)["series"], "computed marks");
  EXPECT_EQ(drawn["x"], json({8.0, 20.0}));
  EXPECT_EQ(drawn["labels"][1], "eviction: 1 attention drops keys from step 20 on");
  bool found = false;
  for (const HitRegion& region : scene.regions) {
    if (region.tooltip.find("eviction, computed") == std::string::npos || !region.click) continue;
    const Select select = std::get<Select>(*region.click);
    found = found || (select.step == 20 && select.layer == 1);
  }
  EXPECT_TRUE(found);
  bool wants = false;
  for (const Wanted& wanted : timeline_view().wanted(history, state))
    wants = wants || wanted.probe->name == "cache.evicted";
  EXPECT_TRUE(wants);
  for (const Wanted& wanted : timeline_view().wanted(windows(6), state)) EXPECT_NE(wanted.probe->name, "cache.evicted");
}

}  // namespace
}  // namespace orrery
