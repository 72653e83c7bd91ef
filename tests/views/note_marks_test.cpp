// Notes on the timeline, and looking again as was looked when one was written.
#include <gtest/gtest.h>

#include "tests/views/sample_run.h"
#include "tests/views/scene_json.h"
#include "views/command.h"
#include "views/registry.h"
#include "views/text_metrics.h"
#include "views/view_state_json.h"

namespace orrery {
namespace {

TEST(NoteMarks, AClickOnAMarkLooksAgainAsBefore) {
  const FrameHistory history = SampleRun{.n_layers = 3, .n_heads = 2}.history(40);
  ViewState then = at(12, 2, 1);
  then.keys = {4, 9};
  then.head_scalar = "attention.distance";
  then.selected.token = 5;
  then.selected.expert = 3;
  then.what_if = WhatIf{ExitRule::kStep, 0.25f};
  const std::string json = view_state_to_json(history, then);
  const std::vector<NoteMark> notes{{12, "look <b>here</b>\nand there", view_state_from_json(json, 12)},
                                    {400, "beyond the run", view_state_from_json("", 400)}};
  const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
  ViewState now;
  now.theme = ThemeKind::kDark;
  now.pins.push_back({.layer = 1, .head = 0});
  const SceneInput input{.history = history, .state = now, .size = {900, 120}, .metrics = metrics, .notes = notes};
  const Scene with = timeline_view().scene(input);
  const Scene without = timeline_view().scene({history, now, {900, 120}, metrics});
  EXPECT_EQ(with.items.size(), without.items.size() + 2) << "one mark: the other lies beyond the run";
  ASSERT_EQ(with.regions.size(), without.regions.size() + 1);
  const HitRegion& mark = with.regions.back();
  const auto hit = hit_test(with, mark.rect.centre());
  ASSERT_TRUE(hit && hit->click);
  EXPECT_EQ(hit->tooltip, "note at step 12\nlook <b>here</b>↵and there");
  apply(now, *hit->click);
  EXPECT_EQ(now.selected, then.selected);
  EXPECT_EQ(now.keys, then.keys);
  EXPECT_EQ(now.head_scalar, then.head_scalar);
  EXPECT_EQ(now.what_if, then.what_if);
  EXPECT_EQ(now.pins.size(), 1u) << "what is measured is no matter of looking";
  EXPECT_FALSE(now.follow);
  EXPECT_EQ(now.theme, ThemeKind::kDark) << "the theme is the room's";
  apply(now, Back{});
  EXPECT_TRUE(now.follow) << "and back to where it was";
}

TEST(NoteMarks, AFollowedRunNotesTheStepThatWasShown) {
  const FrameHistory history = SampleRun{.n_layers = 1, .n_heads = 1}.history(40);
  const auto state = view_state_from_json(view_state_to_json(history, ViewState{}), 0);
  EXPECT_EQ(state->selected.step, 39);
  EXPECT_FALSE(state->follow);
}

// The text comes from a stranger's file.
TEST(NoteMarks, TakesAnyTextForAViewState) {
  for (const char* text : {"", "{", "[]", "null", "{\"step\": \"x\", \"layer\": 1e99, \"steps\": [1], \"keys\": {}}",
                           R"({"step": -7, "layer": -99999999999, "head": 99999999999999, "steps": [-1, 1e9]})",
                           R"({"token_scalar": "no such", "head_scalar": 3, "what_if": {"threshold": 1e99}})"}) {
    const auto state = view_state_from_json(text, 5);
    ASSERT_NE(state, nullptr) << text;
    EXPECT_GE(state->selected.step, 0) << text;
    EXPECT_GE(state->selected.layer, -1) << text;
    EXPECT_GE(state->steps.begin, 0) << text;
    EXPECT_FALSE(state->token_scalar.empty()) << text;
    // And every view draws it.
    const FrameHistory history = SampleRun{.n_layers = 2, .n_heads = 2}.history(20);
    const FixedWidthMetrics metrics(theme_of(ThemeKind::kLight));
    for (const View* view : all_views()) (void)view->scene({history, *state, {700, 400}, metrics});
  }
  EXPECT_EQ(view_state_from_json("no json", 5)->selected.step, 5);
}

}  // namespace
}  // namespace orrery
