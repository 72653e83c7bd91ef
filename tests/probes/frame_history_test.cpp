#include "probes/frame_history.h"

#include <gmock/gmock.h>

#include <chrono>
#include <cstring>

namespace orrery {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

const Probe& norm() { return *find_probe("residual.norm"); }

// [n_steps, 2 layers, inner...]: every value is the step plus `offset`.
Frame make_frame(const Probe& probe, int64_t begin, int64_t end, float offset = 0, std::vector<int64_t> inner = {}) {
  Frame frame;
  frame.probe = &probe;
  frame.step_begin = begin;
  frame.step_end = end;
  frame.layers = {1, 4};
  frame.shape = {end - begin, 2};
  frame.shape.insert(frame.shape.end(), inner.begin(), inner.end());
  const auto n = static_cast<size_t>(frame.n_values());
  const std::shared_ptr<std::byte[]> memory = std::make_shared<std::byte[]>(n * sizeof(float));
  const size_t per_step = n / static_cast<size_t>(end - begin);
  for (size_t i = 0; i < n; ++i) {
    const size_t nth_step = i / per_step;
    const float value = static_cast<float>(begin) + static_cast<float>(nth_step) + offset;
    std::memcpy(memory.get() + i * sizeof(float), &value, sizeof(float));
  }
  frame.payload = std::shared_ptr<const std::byte>(memory, memory.get());
  frame.payload_bytes = n * sizeof(float);
  return frame;
}

TEST(FrameHistory, GivesARowOfALayer) {
  FrameHistory history;
  history.add_frame(make_frame(*find_probe("attention.entropy"), 3, 6, 0.5f, {3}));
  const FrameRow row = history.row(*find_probe("attention.entropy"), 4);
  ASSERT_TRUE(row);
  EXPECT_THAT(row.layer_f32(4), ElementsAre(4.5f, 4.5f, 4.5f));
  EXPECT_TRUE(row.layer_f32(2).empty());
  EXPECT_THAT(row.inner_shape(), ElementsAre(3));
  EXPECT_FALSE(history.row(*find_probe("attention.entropy"), 6));
  EXPECT_FALSE(history.row(norm(), 4));
  EXPECT_EQ(history.n_processed(), 6);
}

TEST(FrameHistory, KnowsWhatIsMissing) {
  FrameHistory history;
  EXPECT_THAT(history.missing(norm(), 2, 5), ElementsAre(Pair(2, 5)));
  history.add_frame(make_frame(norm(), 3, 5));
  history.add_frame(make_frame(norm(), 8, 9));
  EXPECT_THAT(history.missing(norm(), 0, 12), ElementsAre(Pair(0, 3), Pair(5, 8), Pair(9, 12)));
  EXPECT_THAT(history.missing(norm(), 4, 9), ElementsAre(Pair(5, 8)));
  EXPECT_THAT(history.missing(norm(), 3, 5), IsEmpty());
  EXPECT_THAT(history.missing(*find_probe("cache.entries"), 3, 5), ElementsAre(Pair(3, 5)));
}

TEST(FrameHistory, NewerFramesWinOverOlderOnesTheyOverlap) {
  FrameHistory history;
  for (int64_t step = 0; step < 10; ++step) history.add_frame(make_frame(norm(), step, step + 1));
  history.add_frame(make_frame(norm(), 4, 6, 100));
  history.add_frame(make_frame(norm(), 10, 12));
  history.add_frame(make_frame(norm(), 6, 7, 200));
  std::vector<float> values;
  for (int64_t step = 0; step < 12; ++step) values.push_back(history.row(norm(), step).f32()[0]);
  EXPECT_THAT(values, ElementsAre(0, 1, 2, 3, 104, 105, 206, 7, 8, 9, 10, 11));
  EXPECT_THAT(history.missing(norm(), 0, 12), IsEmpty());
}

TEST(FrameHistory, ARowStaysWhatItWasWhileStepsAreAdded) {
  FrameHistory history;
  history.add_frame(make_frame(norm(), 0, 1, 7));
  const FrameRow row = history.row(norm(), 0);
  for (int64_t step = 1; step < 600; ++step) history.add_frame(make_frame(norm(), step, step + 1));
  history.add_frame(make_frame(norm(), 0, 600, 50));
  EXPECT_THAT(row.f32(), ElementsAre(7, 7));
  EXPECT_EQ(history.row(norm(), 599).f32()[1], 649);
}

TEST(FrameHistory, LeavesOutOtherRunsAndLevelsThatThereAreNot) {
  FrameHistory history;
  Frame other = make_frame(norm(), 0, 1);
  other.run = 2;
  history.add_frame(other);
  Frame coarse = make_frame(norm(), 0, 8);
  coarse.level = 8;
  history.add_frame(coarse);
  EXPECT_FALSE(history.row(norm(), 0));
  EXPECT_EQ(history.used_bytes(), 0u);
}

TEST(FrameHistory, EvictsTheFramesFarthestFromTheCursor) {
  constexpr size_t kLimit = size_t{2} << 20;
  FrameHistory history(kLimit);
  history.set_cursor(50);
  const Probe& top = *find_probe("attention.top");
  for (int64_t step = 0; step < 100; ++step) history.add_frame(make_frame(top, step, step + 1, 0, {8, 32, 2}));
  for (int64_t step = 0; step < 100; ++step) history.add_frame(make_frame(top, step, step + 1, 0, {256, 32, 2}));
  EXPECT_LE(history.used_bytes(), kLimit);
  EXPECT_TRUE(history.row(top, 50));
  EXPECT_FALSE(history.row(top, 0));
  EXPECT_FALSE(history.row(top, 99));
  EXPECT_EQ(history.n_processed(), 100);
  EXPECT_EQ(history.missing(top, 0, 100).size(), 2u);
}

TEST(FrameHistory, KeepsTokensByStepAndCountsVersions) {
  FrameHistory history;
  const uint64_t version = history.version();
  FrameBatch batch;
  batch.tokens = {{.step = 0, .id = 5, .bytes = "a"}, {.step = 2, .id = 6, .bytes = "b"}};
  batch.events = {{.step = 2, .kind = "stop", .detail = {}}};
  history.add_batch(batch);
  ASSERT_EQ(history.n_steps(), 3);
  EXPECT_EQ(history.tokens()[1].id, -1);
  FrameBatch late;
  late.lost_end = 3;
  history.add_batch(late);
  EXPECT_EQ(history.n_processed(), 3) << "their frames were lost on the way, and can be fetched";
  history.add_token({.step = 1, .id = 9, .bytes = "c"});
  EXPECT_EQ(history.tokens()[1].id, 9);
  EXPECT_EQ(history.events().size(), 1u);
  EXPECT_GT(history.version(), version);
  RunInfo next;
  next.run = 3;
  history.reset(next);
  EXPECT_EQ(history.n_steps(), 0);
  EXPECT_EQ(history.used_bytes(), 0u);
}

TEST(FrameHistory, HundredThousandStepsCostLittle) {
  FrameHistory history(size_t{1} << 30);
  for (int64_t step = 0; step < 100000; ++step) history.add_frame(make_frame(norm(), step, step + 1));
  EXPECT_LT(history.used_bytes(), size_t{4} << 20) << "single steps are gathered";
  const auto start = std::chrono::steady_clock::now();
  double sum = 0;
  for (int64_t step = 0; step < 100000; ++step) sum += history.row(norm(), step).f32()[0];
  EXPECT_EQ(sum, 100000.0 * 99999.0 / 2);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
  EXPECT_THAT(history.missing(norm(), 0, 100001), ElementsAre(Pair(100000, 100001)));
}

}  // namespace
}  // namespace orrery
