#include "sessions/async_frame_source.h"

#include <gtest/gtest.h>

#include "tests/sessions/make_session.h"

namespace orrery {
namespace {

using testing::TempFolder;

// The next reply; fails the test after five seconds.
FrameReply next_reply(AsyncFrameSource& source) {
  FrameReply reply;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (!source.poll(reply)) {
    if (std::chrono::steady_clock::now() > deadline) {
      ADD_FAILURE() << "no reply";
      break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return reply;
}

TEST(AsyncFrameSource, AnswersWithTheStepsThatWereAskedFor) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  const ModelConfig config = testing::llama_like(2, 2);
  testing::record_run(path, config, Level::kStandard, 70, 90);
  auto source = AsyncFrameSource::open(path);
  ASSERT_TRUE(source) << source.error().message;
  const Probe& probe = *find_probe("attention.mass");
  (*source)->request({.tag = 7, .run = 1, .probe = &probe, .step_begin = 50, .step_end = 1000});
  const FrameReply reply = next_reply(**source);
  EXPECT_EQ(reply.tag, 7u);
  EXPECT_TRUE(reply.complete);
  int64_t step = 50;
  for (const Frame& frame : reply.frames) {
    EXPECT_EQ(frame.step_begin, step);
    EXPECT_TRUE(testing::same_values(frame, testing::make_frame(probe, config, 1, frame.step_begin, frame.step_end)));
    step = frame.step_end;
  }
  EXPECT_EQ(step, 90);
  EXPECT_EQ((*source)->last_error(), "");
}

TEST(AsyncFrameSource, ANewerRequestReplacesAnOlderOneOfItsTag) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  testing::record_run(path, testing::llama_like(2, 2), Level::kLight, 50, 60);
  auto source = AsyncFrameSource::open(path);
  ASSERT_TRUE(source);
  const Probe& probe = *find_probe("residual.norm");
  for (int64_t step = 0; step < 50; ++step) {
    (*source)->request({.tag = 1, .run = 1, .probe = &probe, .step_begin = step, .step_end = step + 1});
    (*source)->request({.tag = 2, .run = 1, .probe = &probe, .step_begin = 9, .step_end = 10});
  }
  bool seen[3] = {};
  for (int i = 0; i < 2; ++i) {
    const FrameReply reply = next_reply(**source);
    ASSERT_TRUE(reply.tag == 1 || reply.tag == 2);
    EXPECT_FALSE(seen[reply.tag]);
    seen[reply.tag] = true;
    ASSERT_EQ(reply.frames.size(), 1u);
    EXPECT_EQ(reply.frames[0].step_begin, reply.tag == 1 ? 49 : 9);
  }
  FrameReply none;
  EXPECT_FALSE((*source)->poll(none));
}

TEST(AsyncFrameSource, LongRangesComeInPartsAndCanBeCancelled) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  const ModelConfig config = testing::llama_like(6, 4);
  testing::record_run(path, config, Level::kFull, 0, 500);  // 6 * 4 * 500 * 501 / 2 * 4 bytes: 12 MB of rows
  auto source = AsyncFrameSource::open(path);
  ASSERT_TRUE(source);
  const Probe& probe = *find_probe("attention.row");
  const FrameRequest all{.tag = 3, .run = 1, .probe = &probe, .level = 0, .step_begin = 0, .step_end = 500};
  (*source)->request(all);
  FrameReply reply = next_reply(**source);
  EXPECT_FALSE(reply.complete);
  int64_t n_steps = 0;
  while (true) {
    for (const Frame& frame : reply.frames) n_steps += frame.n_steps();
    if (reply.complete) break;
    reply = next_reply(**source);
  }
  EXPECT_EQ(n_steps, 500);

  (*source)->request(all);
  (*source)->cancel(3);
  (*source)->request({.tag = 4, .run = 1, .probe = &probe, .step_begin = 5, .step_end = 6});
  EXPECT_EQ(next_reply(**source).tag, 4u);
  (*source)->request(all);
  source->reset();  // while it reads
}

TEST(AsyncFrameSource, ReadsWhileAnotherConnectionRecords) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  const ModelConfig config = testing::llama_like(2, 2);
  const auto ring = testing::make_ring();
  auto recorder = Recorder::start(path, ring);
  ASSERT_TRUE(recorder);
  const auto run = (*recorder)->begin_run(testing::make_record(config));
  ASSERT_TRUE(run);
  auto source = AsyncFrameSource::open(path);
  ASSERT_TRUE(source) << source.error().message;
  const Probe& probe = *find_probe("attention.entropy");
  int64_t n_seen = 0;
  for (int64_t step = 0; step < 150; ++step) {
    ASSERT_TRUE(
        ring->push_within(testing::make_batch(config, Level::kLight, *run, step, step + 1), std::chrono::seconds(5)));
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (step % 10 != 9) continue;
    (*source)->request({.tag = 1, .run = *run, .probe = &probe, .step_begin = 0, .step_end = step + 1});
    const FrameReply reply = next_reply(**source);
    int64_t next = 0;
    for (const Frame& frame : reply.frames) {
      EXPECT_EQ(frame.step_begin, next);
      EXPECT_TRUE(
          testing::same_values(frame, testing::make_frame(probe, config, *run, frame.step_begin, frame.step_end)));
      next = frame.step_end;
    }
    EXPECT_GE(next, n_seen);
    n_seen = next;
  }
  EXPECT_GT(n_seen, 0);
  ASSERT_TRUE((*recorder)->close());
}

}  // namespace
}  // namespace orrery
