// A long session as the window opens it: what is there at once, and what views get from the file while the cursor
// moves.
#include "tests/bench/long_session.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <thread>

#include "app/window/frame_fetcher.h"
#include "app/window/stored_run.h"
#include "views/registry.h"

namespace orrery {
namespace {

class LongSessionTest : public ::testing::Test {
 protected:
  static constexpr int64_t kTokens = 6000;

  static void SetUpTestSuite() {
    std::string name = (std::filesystem::temp_directory_path() / "orrery-long-XXXXXX").string();
    folder_ = mkdtemp(name.data());
    const bench::LongSession shape{.n_tokens = kTokens, .n_layers = 4, .n_heads = 4, .n_experts = 8};
    const auto recorded = bench::record_long_session(path(), shape);
    ASSERT_TRUE(recorded) << recorded.error().message;
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(folder_); }
  static std::string path() { return (folder_ / "long.orrery").string(); }

  void SetUp() override {
    auto stored = open_stored_run(path(), 0);
    ASSERT_TRUE(stored) << stored.error().message;
    history_.reset(stored->info);
    for (const Token& token : stored->tokens) history_.add_token(token);
    for (const Frame& frame : stored->skeleton) history_.add_frame(frame);
    fetcher_.emplace(std::move(stored->source));
  }

  std::vector<FrameRange> wanted(const View& view, const ViewState& state) const {
    std::vector<FrameRange> ranges;
    for (const Wanted& one : view.wanted(history_, state)) {
      if (one.probe->level > Level::kLight || !is_offered(*one.probe, history_.info().config)) continue;
      const int64_t cell = steps_per_cell(one.level);
      ranges.push_back({one.probe, one.begin, std::min(one.end, history_.n_processed() / cell * cell), one.level});
    }
    return ranges;
  }
  int64_t n_missing(const std::vector<FrameRange>& ranges) const {
    int64_t n = 0;
    for (const FrameRange& range : ranges) {
      for (const auto& [begin, end] : history_.missing(*range.probe, range.begin, range.end, range.level)) {
        n += end - begin;
      }
    }
    return n;
  }
  void show(const View& view, const ViewState& state) {
    const std::vector<FrameRange> ranges = wanted(view, state);
    history_.set_cursor(state.selected.step);
    history_.set_on_screen(ranges);
    fetcher_->ask(history_, ranges, state.selected.step, false, FrameFetcher::Clock::now());
  }
  // Until all that the view wants is there; false after ten seconds.
  bool arrives(const View& view, const ViewState& state) {
    const auto deadline = FrameFetcher::Clock::now() + std::chrono::seconds(10);
    while (n_missing(wanted(view, state)) > 0 && FrameFetcher::Clock::now() < deadline) {
      fetcher_->take(history_);
      show(view, state);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return n_missing(wanted(view, state)) == 0;
  }

  static inline std::filesystem::path folder_;
  FrameHistory history_{size_t{8} << 20};
  std::optional<FrameFetcher> fetcher_;
};

ViewState at(int64_t step, StepRange steps = {}) {
  ViewState state;
  state.follow = false;
  state.selected.step = step;
  state.steps = steps;
  return state;
}

TEST_F(LongSessionTest, TokensAndScalarsAreThereAtOnce) {
  EXPECT_EQ(history_.n_steps(), kTokens);
  EXPECT_EQ(history_.n_processed(), kTokens);
  EXPECT_TRUE(history_.missing(*find_probe("output.entropy"), 0, kTokens).empty());
  EXPECT_TRUE(history_.row(*find_probe("state.norm"), kTokens - 1)) << "the newest step";
  EXPECT_LT(history_.used_bytes(), size_t{1} << 20);
}

TEST_F(LongSessionTest, MapsOfAllStepsComeAsCells) {
  const View& state = **find_view("state");
  EXPECT_GT(n_missing(wanted(state, at(3000))), 0);
  ASSERT_TRUE(arrives(state, at(3000)));
  EXPECT_TRUE(arrives(timeline_view(), at(3000)));
  EXPECT_FALSE(history_.row(*find_probe("state.norm"), 1000)) << "not step by step";
  EXPECT_LT(history_.used_bytes(), history_.max_bytes());
}

TEST_F(LongSessionTest, WhatAMovedCursorLeftBehindIsCancelledAndMemoryStaysBounded) {
  const View& state = **find_view("state");
  for (int64_t i = 0; i < 50; ++i) {
    const int64_t begin = i * 7919 % (kTokens - 900);
    show(state, at(begin, {begin, begin + 900}));
    if (i % 10 == 9) fetcher_->take(history_);
  }
  const ViewState last = at(2000, {2000, 2900});
  EXPECT_TRUE(arrives(state, last));
  EXPECT_GT(fetcher_->n_cancelled(), 0);
  for (int64_t begin = 0; begin + 900 < kTokens; begin += 450) {
    ASSERT_TRUE(arrives(state, at(begin, {begin, begin + 900})));
    EXPECT_LE(history_.used_bytes(), history_.max_bytes());
  }
  const auto rows_of_last = wanted(state, at(0, {0, 900}));
  EXPECT_TRUE(arrives(state, at(0, {0, 900}))) << "and comes back where it was dropped";
  EXPECT_EQ(n_missing(rows_of_last), 0);
}

}  // namespace
}  // namespace orrery
