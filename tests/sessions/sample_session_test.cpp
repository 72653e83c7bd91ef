// assets/sessions holds one session of every schema version, as it was written then; new code must go on reading them.
// The one of the present schema is written by this test when ORRERY_UPDATE_SAMPLES is set.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "sessions/replay.h"
#include "tests/sessions/make_session.h"

namespace orrery {
namespace {

constexpr int64_t kSteps = 24;

std::string sample_path() { return std::string(ORRERY_SOURCE_DIR) + "/assets/sessions/schema1.orrery"; }

ModelConfig sample_model() { return testing::llama_like(2, 2); }

// Steps 0 to 7 in one batch, then one by one; exact rows for the first 16; an event, a gap and a note.
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
  ring->try_push(testing::make_batch(sample_model(), Level::kFull, *run, 0, 8));
  for (int64_t step = 8; step < kSteps; ++step) {
    if (step == 20) continue;  // lost
    const Level level = step < 16 ? Level::kFull : Level::kStandard;
    auto batch = std::make_shared<FrameBatch>(
        *testing::make_batch(sample_model(), level, *run, step, step + 1, step * 1'000'000));
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

TEST(SampleSession, OfSchema1HoldsWhatItHeld) {
  if (std::getenv("ORRERY_UPDATE_SAMPLES") != nullptr) write_sample(sample_path());
  const testing::TempFolder folder;
  const std::string path = folder.file("sample.orrery");
  std::filesystem::copy_file(sample_path(), path);
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
    EXPECT_EQ(testing::count_whole_steps(**reader, *find_probe(name), sample_model(), 1), kSteps - 1) << name;
  }
  EXPECT_EQ(testing::count_whole_steps(**reader, *find_probe("attention.row"), sample_model(), 1), 16);
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
