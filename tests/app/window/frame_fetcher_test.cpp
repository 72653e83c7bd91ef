// FrameFetcher: what it asks a source for, and when it stops asking.
#include "app/window/frame_fetcher.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>

namespace orrery {
namespace {

using Range = std::pair<int64_t, int64_t>;

TEST(NearestMissing, BeginsAroundTheCursor) {
  EXPECT_EQ(nearest_missing({{0, 1000}}, {}, 500, 100), Range(450, 550));
  EXPECT_EQ(nearest_missing({{0, 1000}}, {}, 10, 100), Range(0, 100));
  EXPECT_EQ(nearest_missing({{0, 100}, {600, 700}}, {}, 550, 50), Range(600, 650));
  EXPECT_EQ(nearest_missing({{0, 100}, {900, 1000}}, {}, 120, 50), Range(50, 100));
}

TEST(NearestMissing, LeavesOutWhatIsKnownToBeAbsent) {
  EXPECT_EQ(nearest_missing({{0, 100}}, {{0, 40}, {60, 100}}, 0, 100), Range(40, 60));
  const Range none = nearest_missing({{0, 100}}, {{0, 100}}, 0, 100);
  EXPECT_EQ(none.first, none.second);
}

// Answers by hand.
class ScriptedSource final : public FrameSource {
 public:
  void request(const FrameRequest& request) override { requests.push_back(request); }
  void cancel(uint64_t tag) override { cancelled.push_back(tag); }
  bool poll(FrameReply& reply) override {
    if (replies.empty()) return false;
    reply = std::move(replies.front());
    replies.pop_front();
    return true;
  }
  std::vector<FrameRequest> requests;
  std::deque<FrameReply> replies;
  std::vector<uint64_t> cancelled;
};

Frame entropy_frame(int64_t begin, int64_t end) {
  Frame frame;
  frame.probe = find_probe("output.entropy");
  frame.step_begin = begin;
  frame.step_end = end;
  frame.shape = {end - begin};
  frame.payload_bytes = static_cast<size_t>(end - begin) * sizeof(float);
  std::shared_ptr<std::byte[]> bytes(new std::byte[frame.payload_bytes]());
  frame.payload = std::shared_ptr<const std::byte>(bytes, bytes.get());
  return frame;
}

class FetcherTest : public ::testing::Test {
 protected:
  FetcherTest() : history_(size_t{1} << 20) {
    auto source = std::make_unique<ScriptedSource>();
    source_ = source.get();
    fetcher_ = std::make_unique<FrameFetcher>(std::move(source));
    history_.reset(RunInfo{});
  }
  void want(int64_t begin, int64_t end, bool growing = false, FrameFetcher::Clock::time_point now = {}) {
    const std::vector<FrameRange> wanted{{find_probe("output.entropy"), begin, end}};
    fetcher_->ask(history_, wanted, begin, growing, now);
  }
  void answer(std::vector<Frame> frames) {
    source_->replies.push_back({source_->requests.back().tag, source_->requests.back(), std::move(frames), true});
    fetcher_->take(history_);
  }

  FrameHistory history_;
  ScriptedSource* source_ = nullptr;
  std::unique_ptr<FrameFetcher> fetcher_;
};

TEST_F(FetcherTest, AsksOnceUntilItIsAnswered) {
  want(0, 50);
  want(0, 50);
  ASSERT_EQ(source_->requests.size(), 1u);
  EXPECT_EQ(source_->requests[0].step_end, 50);
  answer({entropy_frame(0, 50)});
  want(0, 50);
  EXPECT_EQ(source_->requests.size(), 1u) << "all of it is there";
  EXPECT_FALSE(fetcher_->busy());
}

TEST_F(FetcherTest, GoesOnUntilAllIsThere) {
  for (int i = 0; i < 20; ++i) {
    want(0, 1000);
    if (!fetcher_->busy()) break;
    const FrameRequest last = source_->requests.back();
    answer({entropy_frame(last.step_begin, last.step_end)});
  }
  EXPECT_TRUE(history_.missing(*find_probe("output.entropy"), 0, 1000).empty());
}

TEST_F(FetcherTest, CancelsWhatNobodyWantsAnyMore) {
  want(0, 50);
  want(40, 90);
  EXPECT_TRUE(source_->cancelled.empty()) << "a part of it is still wanted";
  want(500, 550);
  ASSERT_EQ(source_->cancelled.size(), 1u);
  EXPECT_EQ(source_->cancelled[0], source_->requests[0].tag);
  EXPECT_EQ(fetcher_->n_cancelled(), 1);
  ASSERT_EQ(source_->requests.size(), 2u);
  EXPECT_EQ(source_->requests[1].step_begin, 500);
}

TEST_F(FetcherTest, AsksForCoarseLevelsInWholeCells) {
  const std::vector<FrameRange> wanted{
      {find_probe("output.entropy"), 0, 640, level_of(Statistic::kMean, 1)},
      {find_probe("output.entropy"), 640, 643},
  };
  fetcher_->ask(history_, wanted, 100, false, {});
  ASSERT_EQ(source_->requests.size(), 2u) << "one of each level";
  EXPECT_EQ(source_->requests[0].level, level_of(Statistic::kMean, 1));
  EXPECT_EQ(source_->requests[0].step_begin % 8, 0);
  EXPECT_EQ(source_->requests[0].step_end % 8, 0);
  EXPECT_EQ(source_->requests[1].level, 0);
}

TEST_F(FetcherTest, DoesNotAskAgainForWhatWasNotRecorded) {
  want(0, 50);
  answer({entropy_frame(0, 20)});
  want(0, 50);
  EXPECT_EQ(source_->requests.size(), 1u);
}

// Of rows over keys a request is a few steps: a long run that has none is known to have none after some requests.
TEST_F(FetcherTest, ReachesFartherWhileNothingIsFound) {
  constexpr int64_t kSteps = 100000;
  int64_t first = 0;
  for (int i = 0; i < 100; ++i) {
    want(0, kSteps * 100);
    if (!fetcher_->busy()) break;
    const FrameRequest last = source_->requests.back();
    if (i == 0) first = last.step_end - last.step_begin;
    answer({});
  }
  EXPECT_FALSE(fetcher_->busy());
  EXPECT_LT(source_->requests.size(), 10u);
  EXPECT_GT(kSteps * 100 / first, 20) << "many of the first one's length";
}

TEST_F(FetcherTest, AsksForAFewAgainOnceSomethingIsFound) {
  constexpr int64_t kSteps = 10000000;
  want(0, kSteps);
  const int64_t usual = source_->requests.back().step_end;
  answer({});
  want(0, kSteps);
  const FrameRequest longer = source_->requests.back();
  EXPECT_EQ(longer.step_end - longer.step_begin, 2 * usual);
  answer({entropy_frame(longer.step_begin, longer.step_begin + 10)});
  want(0, kSteps);
  const FrameRequest next = source_->requests.back();
  EXPECT_EQ(next.step_end - next.step_begin, usual);
}

TEST_F(FetcherTest, AsksAgainLaterWhileTheRunGrows) {
  const auto start = FrameFetcher::Clock::now();
  want(0, 50, true, start);
  answer({});
  want(0, 50, true, start);
  EXPECT_EQ(source_->requests.size(), 1u);
  want(0, 50, true, start + std::chrono::seconds(3));
  EXPECT_EQ(source_->requests.size(), 2u);
}

}  // namespace
}  // namespace orrery
