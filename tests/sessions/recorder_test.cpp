#include "sessions/recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <thread>

#include "sessions/repair.h"
#include "sessions/schema.h"
#include "tests/sessions/make_session.h"

namespace orrery {
namespace {

using testing::TempFolder;

int64_t query(const std::string& path, const std::string& sql) {
  auto db = Database::open(path, Database::Mode::kRead);
  EXPECT_TRUE(db) << db.error().message;
  const auto value = db->query_i64(sql);
  EXPECT_TRUE(value) << value.error().message;
  return *value;
}

class RecordedModel : public ::testing::TestWithParam<ModelConfig (*)()> {};

INSTANTIATE_TEST_SUITE_P(Recorder, RecordedModel,
                         ::testing::Values(
                             +[] { return testing::llama_like(3, 2); }, testing::hybrid_like, testing::mamba_like));

TEST_P(RecordedModel, ComesBackBitForBit) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  const ModelConfig config = GetParam()();
  const int64_t run = testing::record_run(path, config, Level::kFull, 70, 200);

  auto reader = SessionReader::open(path);
  ASSERT_TRUE(reader) << reader.error().message;
  for (const Probe* probe : testing::probes_of(Level::kFull, config)) {
    EXPECT_EQ(testing::count_whole_steps(**reader, *probe, config, run), 200) << probe->name;
    const auto steps = (*reader)->recorded_steps(*probe, run);
    ASSERT_TRUE(steps);
    EXPECT_THAT(*steps, ::testing::ElementsAre(std::pair<int64_t, int64_t>(0, 200)));
  }
  const auto tokens = (*reader)->tokens(run);
  ASSERT_TRUE(tokens);
  ASSERT_EQ(tokens->size(), 200u);
  for (int64_t step = 0; step < 200; ++step) {
    const Token& token = (*tokens)[static_cast<size_t>(step)];
    EXPECT_EQ(token.step, step);
    EXPECT_EQ(token.id, testing::make_token(step).id);
    EXPECT_EQ(token.bytes, testing::make_token(step).bytes);
    EXPECT_EQ(token.segment, testing::make_token(step).segment);
  }
}

TEST(Recorder, LeavesOneFileOfMode600) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  testing::record_run(path, testing::llama_like(2, 2), Level::kLight, 4, 20);
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  int n_files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path())) ++n_files;
  EXPECT_EQ(n_files, 1);
  EXPECT_EQ(query(path, "PRAGMA application_id"), 0x4F525259);
  EXPECT_EQ(query(path, "PRAGMA user_version"), kSchemaVersion);
}

TEST(Recorder, AddsARunToAnExistingSession) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  const ModelConfig config = testing::llama_like(2, 2);
  EXPECT_EQ(testing::record_run(path, config, Level::kLight, 4, 20), 1);
  EXPECT_EQ(testing::record_run(path, config, Level::kStandard, 4, 30), 2);
  auto reader = SessionReader::open(path);
  ASSERT_TRUE(reader);
  const auto runs = (*reader)->runs();
  ASSERT_TRUE(runs) << runs.error().message;
  ASSERT_EQ(runs->size(), 2u);
  EXPECT_EQ((*runs)[0].settings.schedule.level, Level::kLight);
  EXPECT_EQ((*runs)[1].settings.schedule.level, Level::kStandard);
  EXPECT_EQ((*runs)[1].end, RunEnd::kComplete);
  EXPECT_EQ(query(path, "SELECT count(*) FROM model"), 1);
  const Probe& probe = *find_probe("attention.entropy");
  EXPECT_EQ(testing::count_whole_steps(**reader, probe, config, 1), 20);
  EXPECT_EQ(testing::count_whole_steps(**reader, probe, config, 2), 30);
}

TEST(Recorder, MergesSmallChunksWhenTheRunCloses) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  const ModelConfig config = testing::llama_like(4, 3);
  const auto ring = testing::make_ring();
  auto recorder = Recorder::start(path, ring);
  ASSERT_TRUE(recorder) << recorder.error().message;
  const auto run = (*recorder)->begin_run(testing::make_record(config));
  ASSERT_TRUE(run);
  for (int64_t step = 0; step < 40; ++step) {
    ASSERT_TRUE(ring->try_push(testing::make_batch(config, Level::kLight, *run, step, step + 1)));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const std::string count = "SELECT count(*) FROM chunk WHERE probe = 'attention.entropy' AND level = 0";
  EXPECT_GT(query(path, count), 1);  // committed while recording
  ASSERT_TRUE((*recorder)->end_run(RunEnd::kComplete));
  EXPECT_EQ(query(path, count), 1);
  ASSERT_TRUE((*recorder)->close());
  auto reader = SessionReader::open(path);
  ASSERT_TRUE(reader);
  EXPECT_EQ(testing::count_whole_steps(**reader, *find_probe("attention.entropy"), config, *run), 40);
}

TEST(Recorder, LongRunsHaveChunksOfTheTargetSize) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  testing::record_run(path, testing::llama_like(8, 4), Level::kStandard, 100, 500);
  const std::string from = " FROM chunk WHERE probe = 'attention.top'";
  EXPECT_GT(query(path, "SELECT count(*)" + from), 8);
  EXPECT_GE(query(path, "SELECT avg(length(data))" + from), 16 << 10);
  EXPECT_LE(query(path, "SELECT max(length(data))" + from), 256 << 10);
}

TEST(Recorder, IsReadableFromTheFirstToken) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  const ModelConfig config = testing::llama_like(2, 2);
  const auto ring = testing::make_ring();
  auto recorder = Recorder::start(path, ring);
  ASSERT_TRUE(recorder) << recorder.error().message;
  const auto run = (*recorder)->begin_run(testing::make_record(config));
  ASSERT_TRUE(run);
  auto reader = SessionReader::open(path);
  ASSERT_TRUE(reader) << reader.error().message;
  EXPECT_EQ((*reader)->run(0)->end, RunEnd::kRecording);
  ASSERT_TRUE(ring->try_push(testing::make_batch(config, Level::kLight, *run, 0, 1)));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while ((*reader)->tokens(*run)->empty() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ((*reader)->tokens(*run)->size(), 1u);
  EXPECT_EQ(testing::count_whole_steps(**reader, *find_probe("residual.norm"), config, *run), 1);
  EXPECT_EQ((*recorder)->status().n_tokens, 1);

  // With the reader still there the log stays, until the reader closes.
  ASSERT_TRUE((*recorder)->close());
  EXPECT_EQ((*reader)->run(0)->end, RunEnd::kStopped);
  reader->reset();
  EXPECT_FALSE(has_log(path));
}

TEST(Recorder, ASecondOneIsRefused) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  auto first = Recorder::start(path, testing::make_ring());
  ASSERT_TRUE(first) << first.error().message;
  const auto second = Recorder::start(path, testing::make_ring());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
  EXPECT_THAT(second.error().message, ::testing::HasSubstr("another program is recording into " + path));
  ASSERT_TRUE((*first)->close());
  EXPECT_TRUE(Recorder::start(path, testing::make_ring()));
}

TEST(Recorder, WritesAGapRowWhenTheRingOverflows) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  const ModelConfig config = testing::llama_like(2, 2);
  const auto ring = std::make_shared<FrameRing>(1, size_t{64} << 20);
  FrameBus bus;
  FrameBus::Consumer& consumer = bus.add_consumer(ring, FrameBus::Pressure::kWait);
  consumer.stall_limit = std::chrono::milliseconds(1);
  // No recorder yet: steps 1 and 2 find the ring full.
  for (int64_t step = 0; step < 3; ++step) bus.publish(testing::make_batch(config, Level::kLight, 1, step, step + 1));
  EXPECT_EQ(consumer.dropped_batches.load(), 2);
  EXPECT_NE(ring->try_pop(), nullptr);

  auto recorder = Recorder::start(path, ring);
  ASSERT_TRUE(recorder) << recorder.error().message;
  ASSERT_EQ(*(*recorder)->begin_run(testing::make_record(config)), 1);
  consumer.stall_limit = std::chrono::seconds(5);
  bus.publish(testing::make_batch(config, Level::kLight, 1, 3, 4));
  ASSERT_TRUE((*recorder)->end_run(RunEnd::kComplete));
  EXPECT_EQ((*recorder)->status().n_gaps, 1);
  auto reader = SessionReader::open(path);
  ASSERT_TRUE(reader);
  const auto gaps = (*reader)->gaps(1);
  ASSERT_TRUE(gaps);
  ASSERT_EQ(gaps->size(), 1u);
  EXPECT_EQ((*gaps)[0].step_begin, 1);
  EXPECT_EQ((*gaps)[0].step_end, 3);
  EXPECT_EQ((*gaps)[0].reason, "the recorder could not keep up");
  EXPECT_TRUE((*reader)->events(1)->empty());
  EXPECT_EQ(testing::count_whole_steps(**reader, *find_probe("residual.norm"), config, 1), 1);
}

TEST(Recorder, KeepsSpansOfOtherProbesApart) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  const ModelConfig config = testing::llama_like(2, 3);
  const auto ring = testing::make_ring();
  auto recorder = Recorder::start(path, ring);
  ASSERT_TRUE(recorder);
  const auto run = (*recorder)->begin_run(testing::make_record(config));
  ASSERT_TRUE(run);
  const auto full = [](int64_t step) { return (step >= 5 && step < 9) || step >= 15; };
  for (int64_t step = 0; step < 20; ++step) {
    const Level level = full(step) ? Level::kFull : Level::kLight;
    ASSERT_TRUE(ring->try_push(testing::make_batch(config, level, *run, step, step + 1)));
  }
  ASSERT_TRUE((*recorder)->close());
  auto reader = SessionReader::open(path);
  ASSERT_TRUE(reader);
  const Probe& rows = *find_probe("attention.row");
  EXPECT_THAT(*(*reader)->recorded_steps(rows, *run),
              ::testing::ElementsAre(std::pair<int64_t, int64_t>(5, 9), std::pair<int64_t, int64_t>(15, 20)));
  EXPECT_EQ(testing::count_whole_steps(**reader, rows, config, *run), 9);
  const auto some = (*reader)->frames(rows, *run, 7, 16);
  ASSERT_TRUE(some);
  ASSERT_EQ(some->size(), 2u);
  EXPECT_EQ((*some)[0].step_begin, 7);
  EXPECT_EQ((*some)[0].step_end, 9);
  EXPECT_EQ((*some)[0].shape, (std::vector<int64_t>{2, 2, 3, 9}));
  EXPECT_EQ((*some)[1].step_begin, 15);
  EXPECT_EQ((*some)[1].origin, Origin::kRecorded);
}

TEST(Recorder, KeepsRowsOfPinnedHeads) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  const ModelConfig config = testing::llama_like(4, 6);
  const Probe& rows = *find_probe("attention.row");
  const auto ring = testing::make_ring();
  auto recorder = Recorder::start(path, ring);
  ASSERT_TRUE(recorder);
  const auto run = (*recorder)->begin_run(testing::make_record(config));
  ASSERT_TRUE(run);
  std::vector<Frame> made;
  for (int64_t step = 0; step < 5; ++step) {
    auto batch = std::make_shared<FrameBatch>();
    batch->run = *run;
    Frame frame = testing::make_frame(rows, testing::llama_like(2, 3), *run, step, step + 1);
    frame.layers = {1, 3};
    frame.heads = {0, 2, 5};
    made.push_back(frame);
    batch->frames = {frame};
    batch->count_bytes();
    ASSERT_TRUE(ring->try_push(batch));
  }
  ASSERT_TRUE((*recorder)->close());
  auto reader = SessionReader::open(path);
  ASSERT_TRUE(reader);
  for (const Frame& frame : made) {
    const auto back = (*reader)->frames(rows, *run, frame.step_begin, frame.step_end);
    ASSERT_TRUE(back) << back.error().message;
    ASSERT_EQ(back->size(), 1u);
    EXPECT_TRUE(testing::same_values((*back)[0], frame));
  }
}

TEST(Recorder, KeepsWhatAFullDiskLeaves) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  const ModelConfig config = testing::llama_like(4, 4);
  const auto ring = testing::make_ring();
  std::atomic<int> n_calls{0};
  RecorderOptions options;
  options.store.max_bytes = 1 << 20;
  options.commit_interval = std::chrono::milliseconds(5);
  options.on_failure = [&](const Error&) { ++n_calls; };
  auto recorder = Recorder::start(path, ring, options);
  ASSERT_TRUE(recorder) << recorder.error().message;
  const auto run = (*recorder)->begin_run(testing::make_record(config));
  ASSERT_TRUE(run);
  int64_t step = 0;
  for (; step < 3000 && !(*recorder)->status().failure; ++step) {
    // Generation goes on: the ring is emptied whatever happens.
    ASSERT_TRUE(ring->push_within(testing::make_batch(config, Level::kStandard, *run, step, step + 1),
                                  std::chrono::seconds(5)));
    while (step < 3 && (*recorder)->status().n_steps <= step) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const RecorderStatus status = (*recorder)->status();
  ASSERT_TRUE(status.failure.has_value());
  EXPECT_THAT(status.failure->message, ::testing::HasSubstr("has reached its size limit"));
  EXPECT_FALSE(status.recording);
  EXPECT_GT(status.n_steps, 0);
  for (int64_t more = 0; more < 300; ++more) {
    ASSERT_TRUE(ring->push_within(testing::make_batch(config, Level::kLight, *run, step + more, step + more + 1),
                                  std::chrono::seconds(5)));
  }
  EXPECT_FALSE((*recorder)->end_run(RunEnd::kComplete));
  (void)(*recorder)->close();
  EXPECT_EQ(n_calls.load(), 1);

  auto reader = SessionReader::open(path);
  ASSERT_TRUE(reader) << reader.error().message;
  const RunEnd end = (*reader)->run(*run)->end;
  EXPECT_TRUE(end == RunEnd::kDiskFull || end == RunEnd::kInterrupted);
  EXPECT_EQ(static_cast<int64_t>((*reader)->tokens(*run)->size()), status.n_tokens);
  for (const Probe* probe : testing::probes_of(Level::kStandard, config)) {
    EXPECT_EQ(testing::count_whole_steps(**reader, *probe, config, *run), status.n_steps) << probe->name;
  }
  EXPECT_LE(std::filesystem::file_size(path), (size_t{1} << 20) + 65536);
}

TEST(Recorder, AFrameThatDoesNotFitItsProbeEndsTheRecording) {
  const TempFolder folder;
  const std::string path = folder.file("a.orrery");
  const ModelConfig config = testing::llama_like(2, 2);
  const auto ring = testing::make_ring();
  auto recorder = Recorder::start(path, ring);
  ASSERT_TRUE(recorder);
  const auto run = (*recorder)->begin_run(testing::make_record(config));
  ASSERT_TRUE(run);
  auto batch = std::make_shared<FrameBatch>(*testing::make_batch(config, Level::kLight, *run, 0, 1));
  batch->frames[0].shape.push_back(3);
  ASSERT_TRUE(ring->try_push(batch));
  const auto ended = (*recorder)->end_run(RunEnd::kComplete);
  ASSERT_FALSE(ended);
  EXPECT_THAT(ended.error().message, ::testing::HasSubstr("has the wrong shape"));
}

}  // namespace
}  // namespace orrery
