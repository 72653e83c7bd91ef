#include "views/command.h"

#include <gtest/gtest.h>

#include "tests/views/sample_run.h"

namespace orrery {
namespace {

TEST(Command, SelectPinsWhatIsGivenAndEndsFollowing) {
  ViewState state;
  apply(state, Select{.layer = 3});
  EXPECT_TRUE(state.follow);
  apply(state, Select{.step = 7, .head = 2});
  EXPECT_FALSE(state.follow);
  EXPECT_EQ(state.selected, (Selection{.step = 7, .layer = 3, .head = 2, .key = -1}));
}

TEST(Command, BackAndForwardWalkThroughSelections) {
  ViewState state;
  apply(state, Select{.step = 1});
  apply(state, Select{.step = 2});
  apply(state, Select{.step = 2});  // nothing new: not remembered
  apply(state, Back{});
  EXPECT_EQ(state.selected.step, 1);
  apply(state, Back{});
  EXPECT_EQ(state.selected.step, -1);
  EXPECT_TRUE(state.follow);
  apply(state, Back{});
  apply(state, Forward{});
  apply(state, Forward{});
  EXPECT_EQ(state.selected.step, 2);
  apply(state, Back{});
  apply(state, Select{.step = 9});
  apply(state, Forward{});
  EXPECT_EQ(state.selected.step, 9);
}

TEST(Command, EscapeKeepsTheStepAndDropsTheRest) {
  ViewState state;
  apply(state, Select{.step = 4, .key = 2});
  apply(state, Hover{{.step = 3}});
  apply(state, ZoomKeys{{1, 9}});
  apply(state, ClearSelection{});
  EXPECT_EQ(state.selected.step, 4);
  EXPECT_EQ(state.selected.key, -1);
  EXPECT_EQ(state.hovered, Selection{});
  EXPECT_TRUE(state.keys.all());
}

TEST(Command, FollowReturnsToTheNewestStep) {
  const FrameHistory history = SampleRun{.n_layers = 1, .n_heads = 1}.history(10);
  ViewState state;
  apply(state, Select{.step = 2});
  EXPECT_EQ(resolve(history, state).step, 2);
  apply(state, Follow{true});
  EXPECT_EQ(resolve(history, state).step, 9);  // the sampled token behind it is not processed yet
}

TEST(Command, KeysStayInsideTheRunAndTheModel) {
  const FrameHistory history = SampleRun{.n_layers = 3, .n_heads = 2}.history(10);
  ViewState state;
  apply(state, move_step(history, state, -1));
  EXPECT_EQ(state.selected.step, 8);
  apply(state, move_step(history, state, -100));
  EXPECT_EQ(state.selected.step, 0);
  apply(state, move_layer(history, state, 5));
  EXPECT_EQ(state.selected.layer, 2);
  apply(state, move_head(history, state, 1));
  apply(state, move_head(history, state, 1));
  EXPECT_EQ(state.selected.head, 1);
}

TEST(Resolve, ClampsWhatIsOutsideAndHasNoHeadWithoutAttention) {
  RunInfo info = SampleRun{.n_layers = 2, .n_heads = 4}.info();
  info.config.layers[0].mixers = {MixerKind::kMatrixState};
  FrameHistory history;
  ViewState state;
  EXPECT_EQ(resolve(history, state), (Selection{-1, -1, -1, -1}));
  history.reset(info);
  history.add_token(SampleRun{}.token(0));
  EXPECT_EQ(resolve(history, state), (Selection{0, 1, 0, -1}));
  apply(state, Select{.step = 50, .layer = 90, .head = 90, .key = 50});
  EXPECT_EQ(resolve(history, state), (Selection{0, 1, 3, -1}));
  apply(state, Select{.layer = 0});
  EXPECT_EQ(resolve(history, state).head, -1);
}

}  // namespace
}  // namespace orrery
