#include "probes/frame_bus.h"

#include <gmock/gmock.h>

#include <thread>

namespace orrery {
namespace {

using namespace std::chrono_literals;

SharedBatch batch_of(int64_t step, size_t n_bytes = 100) {
  auto batch = std::make_shared<FrameBatch>();
  Frame frame;
  frame.step_begin = step;
  frame.step_end = step + 1;
  batch->frames.push_back(frame);
  batch->tokens.push_back({.step = step, .id = static_cast<int32_t>(step), .bytes = {}});
  batch->n_bytes = n_bytes;
  return batch;
}

TEST(FrameRing, KeepsOrderAndIsBoundedInBatchesAndBytes) {
  FrameRing ring(2, 250);
  EXPECT_EQ(ring.try_pop(), nullptr);
  EXPECT_TRUE(ring.try_push(batch_of(0)));
  EXPECT_TRUE(ring.try_push(batch_of(1)));
  EXPECT_FALSE(ring.try_push(batch_of(2))) << "two batches are the limit";
  EXPECT_EQ(ring.try_pop()->tokens[0].step, 0);
  EXPECT_FALSE(ring.try_push(batch_of(2, 200))) << "250 bytes are the limit";
  EXPECT_EQ(ring.try_pop()->tokens[0].step, 1);
  EXPECT_TRUE(ring.try_push(batch_of(2, 9000))) << "one batch always fits";
  EXPECT_FALSE(ring.try_push(batch_of(3)));
}

TEST(FrameRing, WaitsEndByTimeOrByClosing) {
  FrameRing ring(1, 1000);
  EXPECT_EQ(ring.pop_within(5ms), nullptr);
  EXPECT_TRUE(ring.push_within(batch_of(0), 5ms));
  EXPECT_FALSE(ring.push_within(batch_of(1), 5ms));
  std::thread closer([&] {
    std::this_thread::sleep_for(20ms);
    ring.close();
  });
  EXPECT_FALSE(ring.push_within(batch_of(1), 60s)) << "closing ends the wait";
  closer.join();
  EXPECT_TRUE(ring.closed());
  EXPECT_NE(ring.pop_within(60s), nullptr) << "what is left is drained";
  EXPECT_EQ(ring.pop_within(60s), nullptr);
}

TEST(FrameRing, HandsEveryBatchFromOneThreadToAnother) {
  constexpr int64_t kBatches = 5000;
  FrameRing ring(4, 1 << 20);
  std::thread producer([&] {
    for (int64_t i = 0; i < kBatches; ++i) ASSERT_TRUE(ring.push_within(batch_of(i), 60s));
    ring.close();
  });
  int64_t expected = 0;
  while (const SharedBatch batch = ring.pop_within(60s)) EXPECT_EQ(batch->tokens[0].step, expected++);
  producer.join();
  EXPECT_EQ(expected, kBatches);
}

TEST(FrameBus, DropsFramesForTheScreenAndCountsThem) {
  FrameBus bus;
  auto ring = std::make_shared<FrameRing>(1, 1000);
  FrameBus::Consumer& screen = bus.add_consumer(ring, FrameBus::Pressure::kDrop);
  bus.publish(batch_of(0));
  bus.publish(batch_of(1));
  bus.publish(batch_of(2));
  EXPECT_EQ(screen.dropped_batches, 2);
  EXPECT_EQ(ring->try_pop()->tokens[0].step, 0);
  bus.publish(batch_of(3));
  const SharedBatch next = ring->try_pop();
  ASSERT_EQ(next->frames.size(), 1u) << "what was dropped is fetched elsewhere, not delivered late";
  EXPECT_EQ(next->frames[0].step_begin, 3);
  EXPECT_EQ(next->lost_end, 3);
  ASSERT_EQ(next->tokens.size(), 3u) << "the text is whole";
  EXPECT_EQ(next->tokens[0].step, 1);
  EXPECT_TRUE(next->events.empty()) << "nothing is missing from the recording";
  bus.publish(batch_of(4));
  EXPECT_EQ(ring->try_pop()->tokens.size(), 1u);
}

TEST(FrameBus, TheScreenLearnsOfStepsThatItDroppedAtTheEnd) {
  FrameBus bus;
  auto ring = std::make_shared<FrameRing>(1, 1000);
  bus.add_consumer(ring, FrameBus::Pressure::kDrop);
  bus.publish(batch_of(0));
  bus.publish(batch_of(1));
  bus.publish(batch_of(2));
  bus.close();  // while the ring is full
  EXPECT_EQ(ring->try_pop()->tokens[0].step, 0);
  const SharedBatch last = ring->try_pop();
  ASSERT_NE(last, nullptr);
  EXPECT_TRUE(last->frames.empty());
  EXPECT_EQ(last->tokens.size(), 2u);
  EXPECT_EQ(last->lost_end, 3);
}

TEST(FrameBus, ReportsToTheRecorderWhatItLostAndLosesNoToken) {
  FrameBus bus;
  auto ring = std::make_shared<FrameRing>(1, 1000);
  FrameBus::Consumer& recorder = bus.add_consumer(ring, FrameBus::Pressure::kWait);
  recorder.stall_limit = 10ms;
  bus.publish(batch_of(0));
  bus.publish(batch_of(1));
  bus.publish(batch_of(2));
  EXPECT_EQ(recorder.dropped_batches, 2);
  EXPECT_TRUE(ring->try_pop()->events.empty());
  bus.publish(batch_of(3));
  const SharedBatch batch = ring->try_pop();
  ASSERT_NE(batch, nullptr);
  ASSERT_EQ(batch->tokens.size(), 3u);
  EXPECT_EQ(batch->tokens[0].step, 1);
  EXPECT_EQ(batch->tokens[2].step, 3);
  ASSERT_EQ(batch->events.size(), 1u);
  EXPECT_EQ(batch->events[0].kind, "gap");
  EXPECT_EQ(batch->events[0].detail, R"({"begin": 1, "end": 3, "reason": "the recorder could not keep up"})");
  bus.publish(batch_of(4));
  EXPECT_TRUE(ring->try_pop()->events.empty());
}

TEST(FrameBus, WaitsForTheRecorderWithinItsLimit) {
  FrameBus bus;
  auto ring = std::make_shared<FrameRing>(1, 1000);
  FrameBus::Consumer& recorder = bus.add_consumer(ring, FrameBus::Pressure::kWait);
  recorder.stall_limit = 60s;
  bus.publish(batch_of(0));
  std::thread consumer([&] {
    std::this_thread::sleep_for(20ms);
    EXPECT_EQ(ring->pop_within(60s)->tokens[0].step, 0);
    EXPECT_EQ(ring->pop_within(60s)->tokens[0].step, 1);
  });
  bus.publish(batch_of(1));
  consumer.join();
  EXPECT_EQ(recorder.dropped_batches, 0);
}

TEST(FrameBus, ReportsAGapThatTheEndOfTheRunLeavesOpen) {
  FrameBus bus;
  auto ring = std::make_shared<FrameRing>(1, 1000);
  FrameBus::Consumer& recorder = bus.add_consumer(ring, FrameBus::Pressure::kWait);
  recorder.stall_limit = 1ms;
  bus.publish(batch_of(0));
  bus.publish(batch_of(1));
  ring->try_pop();
  bus.close();
  EXPECT_TRUE(ring->closed());
  const SharedBatch last = ring->try_pop();
  ASSERT_NE(last, nullptr);
  EXPECT_TRUE(last->frames.empty());
  EXPECT_EQ(last->tokens.size(), 1u);
  EXPECT_EQ(last->events.size(), 1u);
}

}  // namespace
}  // namespace orrery
