// assets/sessions holds one session of every schema version, as it was written then; new code must go on reading them.
// The one of the present schema is written by this test when ORRERY_UPDATE_SAMPLES is set.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "sessions/replay.h"
#include "sessions/schema.h"
#include "tests/sessions/make_session.h"

namespace orrery {
namespace {

constexpr int64_t kSteps = 24;

std::string sample_path(int schema) {
  return std::string(ORRERY_SOURCE_DIR) + "/assets/sessions/schema" + std::to_string(schema) + ".orrery";
}

ModelConfig sample_model() { return testing::llama_like(2, 2); }

// Steps 0 to 7 in one batch, then one by one; exact rows for the first 16; an event, a gap and a note.
SharedBatch make_rounded_batch(Level level, int64_t run, int64_t begin, int64_t end, int64_t time_ns = 0) {
  auto batch = std::make_shared<FrameBatch>(*testing::make_batch(sample_model(), level, run, begin, end, time_ns));
  for (Frame& frame : batch->frames) frame = testing::rounded(frame);
  return batch;
}

void write_sample(const std::string& path) {
  std::filesystem::remove(path);
  const auto ring = testing::make_ring();
  auto recorder = Recorder::start(path, ring);
  ASSERT_TRUE(recorder) << recorder.error().message;
  RunRecord record = testing::make_record(sample_model());
  record.created_ns = 1'700'000'000'000'000'000;
  record.settings.batches = {{0, 8}};
  record.settings.schedule.pinned_steps = 16;
  const auto run = (*recorder)->begin_run(record);
  ASSERT_TRUE(run) << run.error().message;
  ring->try_push(make_rounded_batch(Level::kFull, *run, 0, 8));
  for (int64_t step = 8; step < kSteps; ++step) {
    if (step == 20) continue;  // lost
    const Level level = step < 16 ? Level::kFull : Level::kStandard;
    auto batch = std::make_shared<FrameBatch>(*make_rounded_batch(level, *run, step, step + 1, step * 1'000'000));
    if (step == 21) {
      batch->tokens.insert(batch->tokens.begin(), testing::make_token(20, 20'000'000));
      batch->events = {
          {.step = 20, .kind = "gap", .layer = -1, .detail = R"({"begin": 20, "end": 21, "reason": "why"})"},
          {.step = 21, .kind = "stop", .layer = 1, .detail = "{}"}};
    }
    batch->count_bytes();
    ring->try_push(batch);
  }
  ASSERT_TRUE((*recorder)->end_run(RunEnd::kComplete));
  ASSERT_TRUE((*recorder)->close());
  ASSERT_TRUE(add_note(path, {.run = 1, .step = 5, .view_state = "{}", .text = "a note"}));
}

class SampleSession : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(OfSchema, SampleSession, ::testing::Values(1, 2));

// The steps that come back as they were made; schema 2 came with rounded weights.
int64_t count_steps(SessionReader& reader, const Probe& probe, int schema) {
  int64_t n_steps = 0;
  const auto done = reader.for_each_frame(probe, 1, 0, kAllSteps, 0, [&](const Frame& frame) {
    const Frame made = testing::make_frame(probe, sample_model(), 1, frame.step_begin, frame.step_end);
    EXPECT_TRUE(testing::same_values(frame, schema == 1 ? made : testing::rounded(made)))
        << probe.name << " at step " << frame.step_begin;
    n_steps += frame.n_steps();
    return true;
  });
  EXPECT_TRUE(done) << done.error().message;
  return n_steps;
}

TEST_P(SampleSession, HoldsWhatItHeld) {
  const int schema = GetParam();
  if (schema == kSchemaVersion && std::getenv("ORRERY_UPDATE_SAMPLES") != nullptr) write_sample(sample_path(schema));
  const testing::TempFolder folder;
  const std::string path = folder.file("sample.orrery");
  std::filesystem::copy_file(sample_path(schema), path);
  auto reader = SessionReader::open(path);
  ASSERT_TRUE(reader) << reader.error().message;
  const auto record = (*reader)->run(0);
  ASSERT_TRUE(record) << record.error().message;
  EXPECT_EQ(record->created_ns, 1'700'000'000'000'000'000);
  EXPECT_EQ(record->model_name, "test model");
  EXPECT_EQ(record->config.n_layers(), 2);
  EXPECT_EQ(record->config.layers[0].attention.n_heads, 2);
  EXPECT_EQ(record->layer_labels[1], "1 attention");
  EXPECT_EQ(record->prompt.text, "Once upon");
  EXPECT_EQ(record->settings.schedule.pinned_steps, 16);
  EXPECT_EQ(record->end, RunEnd::kComplete);
  const auto tokens = (*reader)->tokens(1);
  ASSERT_TRUE(tokens);
  ASSERT_EQ(tokens->size(), static_cast<size_t>(kSteps));
  EXPECT_EQ((*tokens)[5].bytes, testing::make_token(5).bytes);
  for (const char* name : {"attention.entropy", "attention.top", "attention.mass", "cache.bytes", "output.top"}) {
    EXPECT_EQ(count_steps(**reader, *find_probe(name), schema), kSteps - 1) << name;
  }
  EXPECT_EQ(count_steps(**reader, *find_probe("attention.row"), schema), 16);
  EXPECT_EQ((*reader)->frames(*find_probe("attention.entropy"), 1, 0, kAllSteps, level_of(Statistic::kMean, 1))->size(),
            schema == 1 ? 3u : 1u);
  const auto gaps = (*reader)->gaps(1);
  ASSERT_TRUE(gaps);
  ASSERT_EQ(gaps->size(), 1u);
  EXPECT_EQ((*gaps)[0].step_begin, 20);
  ASSERT_EQ((*reader)->events(1)->size(), 1u);
  ASSERT_EQ((*reader)->notes(1)->size(), 1u);
  EXPECT_EQ((*reader)->notes(1)->at(0).text, "a note");
}

}  // namespace
}  // namespace orrery
