#include "sessions/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/sessions/make_session.h"

namespace orrery {
namespace {

using Clock = std::chrono::steady_clock;
using testing::TempFolder;

// Takes batches until `n_steps` tokens have come or nothing comes for two seconds.
std::vector<SharedBatch> take_tokens(FrameRing& ring, int64_t n_steps) {
  std::vector<SharedBatch> batches;
  for (int64_t n = 0; n < n_steps;) {
    SharedBatch batch = ring.pop_within(std::chrono::seconds(2));
    if (batch == nullptr) break;
    n += static_cast<int64_t>(batch->tokens.size());
    batches.push_back(std::move(batch));
  }
  return batches;
}

TEST(Replay, PublishesWhatWasRecordedBitForBit) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  const ModelConfig config = testing::llama_like(3, 2);
  const int64_t run = testing::record_run(path, config, Level::kFull, 20, 60, 100'000);
  const auto ring = testing::make_ring();
  auto replay = Replay::open(path, 0, ring);
  ASSERT_TRUE(replay) << replay.error().message;
  EXPECT_EQ((*replay)->info().config.n_layers(), 3);
  EXPECT_EQ((*replay)->info().layer_labels[1], "1 attention");
  EXPECT_EQ((*replay)->state().n_steps, 60);
  (*replay)->play();
  const auto batches = take_tokens(*ring, 60);
  int64_t n_tokens = 0;
  std::map<const Probe*, int64_t> n_steps;
  for (const SharedBatch& batch : batches) {
    for (const Token& token : batch->tokens) EXPECT_EQ(token.step, n_tokens++);
    for (const Frame& frame : batch->frames) {
      EXPECT_TRUE(testing::same_values(
          frame, testing::make_frame(*frame.probe, config, run, frame.step_begin, frame.step_end)));
      EXPECT_EQ(frame.origin, Origin::kRecorded);
      n_steps[frame.probe] += frame.n_steps();
    }
  }
  EXPECT_EQ(n_tokens, 60);
  for (const Probe* probe : offered_probes(config)) EXPECT_EQ(n_steps[probe], 60) << probe->name;
  while (!(*replay)->state().finished()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST(Replay, KeepsTheRecordedPaceAndSpeed) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  testing::record_run(path, testing::llama_like(1, 1), Level::kLight, 1, 21, 20'000'000);  // 20 ms a step
  const auto ring = testing::make_ring();
  auto replay = Replay::open(path, 1, ring);
  ASSERT_TRUE(replay);
  const auto timed = [&](double speed) {
    (*replay)->set_speed(speed);
    const Clock::time_point start = Clock::now();
    (*replay)->play();
    EXPECT_EQ(take_tokens(*ring, 21).size(), 21u);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    while (!(*replay)->state().finished()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return seconds;
  };
  EXPECT_GE(timed(1.0), 0.39);
  EXPECT_LT(timed(1000.0), 0.3);  // and from the start again
}

TEST(Replay, StepsSeeksAndPauses) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  testing::record_run(path, testing::llama_like(1, 1), Level::kLight, 8, 40, 5'000'000);
  const auto ring = testing::make_ring();
  auto replay = Replay::open(path, 1, ring);
  ASSERT_TRUE(replay);
  (*replay)->step();
  auto batches = take_tokens(*ring, 1);
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_EQ(batches[0]->tokens[0].step, 0);
  (*replay)->seek(30);
  (*replay)->step(3);
  batches = take_tokens(*ring, 3);
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches[0]->tokens[0].step, 30);
  EXPECT_EQ(batches[2]->tokens[0].step, 32);
  while ((*replay)->state().position != 33) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_FALSE((*replay)->state().playing);
  EXPECT_EQ(ring->pop_within(std::chrono::milliseconds(50)), nullptr);
  (*replay)->set_speed(0.01);
  (*replay)->play();
  EXPECT_EQ(take_tokens(*ring, 1).size(), 1u);
  (*replay)->pause();
  EXPECT_EQ(ring->pop_within(std::chrono::milliseconds(50)), nullptr);
  (*replay)->seek(1'000'000);
  EXPECT_TRUE((*replay)->state().finished());
}

TEST(Replay, WaitsForAFullRingAndEndsInTheMiddle) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  testing::record_run(path, testing::llama_like(1, 1), Level::kLight, 1, 30, 1'000'000);
  const auto ring = std::make_shared<FrameRing>(2, size_t{64} << 20);
  auto replay = Replay::open(path, 1, ring);
  ASSERT_TRUE(replay);
  (*replay)->play();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_LE((*replay)->state().position, 2);
  EXPECT_EQ(take_tokens(*ring, 30).size(), 30u);  // none was dropped
  (*replay)->play();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  replay->reset();  // while it waits for room
}

TEST(Replay, PublishesOnlyWantedProbesAndEventsInOrder) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  const ModelConfig config = testing::llama_like(2, 2);
  {
    const auto ring = testing::make_ring();
    auto recorder = Recorder::start(path, ring);
    ASSERT_TRUE(recorder);
    const auto run = (*recorder)->begin_run(testing::make_record(config));
    ASSERT_TRUE(run);
    auto batch = std::make_shared<FrameBatch>(*testing::make_batch(config, Level::kStandard, *run, 0, 5));
    batch->events = {{.step = 2, .kind = "eviction", .layer = 1, .detail = "{\"keys\": 4}"},
                     {.step = 4, .kind = "stop", .layer = -1, .detail = "{}"}};
    ring->try_push(batch);
    ASSERT_TRUE((*recorder)->close());
  }
  const auto ring = testing::make_ring();
  auto replay = Replay::open(path, 1, ring, {find_probe("residual.norm"), find_probe("attention.row")});
  ASSERT_TRUE(replay);
  (*replay)->play();
  std::vector<RunEvent> events;
  for (const SharedBatch& batch : take_tokens(*ring, 5)) {
    for (const Frame& frame : batch->frames) EXPECT_EQ(frame.probe->name, "residual.norm");
    events.insert(events.end(), batch->events.begin(), batch->events.end());
  }
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].kind, "eviction");
  EXPECT_EQ(events[0].layer, 1);
  EXPECT_EQ(events[0].detail, "{\"keys\": 4}");
  EXPECT_EQ(events[1].layer, -1);
}

TEST(Replay, OfAMissingRunIsRefused) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  testing::record_run(path, testing::llama_like(1, 1), Level::kLight, 1, 3);
  const auto replay = Replay::open(path, 5, testing::make_ring());
  ASSERT_FALSE(replay);
  EXPECT_EQ(replay.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(replay.error().message, ::testing::HasSubstr("has no run 5"));
}

}  // namespace
}  // namespace orrery
