#include "app/rerun.h"

#include <gmock/gmock.h>

#include "app/recorded_run.h"
#include "sessions/sqlite.h"
#include "tests/app/tiny_model.h"

namespace orrery {
namespace {

using testing::open_tiny;
using testing::TemporaryFolder;
using testing::tiny_request;

void record(const std::string& path, const OpenedModel& opened, int64_t n_new, const TapSchedule& schedule) {
  Generator generator(opened.model, opened.kv);
  RunControl control;
  const Result<SessionRun> run = record_run(path, opened, generator, {.kind = "prompt", .text = "…"},
                                            tiny_request(opened, generator, n_new, schedule), false, {}, control);
  ASSERT_TRUE(run) << run.error().message;
  ASSERT_FALSE(run->status.failure) << run->status.failure->message;
}

Result<VerifyReport> verify(const std::string& path, const OpenedModel& opened) {
  ORRERY_ASSIGN_OR_RETURN(const std::unique_ptr<SessionReader> reader, SessionReader::open(path));
  ORRERY_ASSIGN_OR_RETURN(const RunRecord record, reader->run(0));
  RunControl control;
  return verify_run(*reader, record, opened, {}, control);
}

TEST(Verify, ARecordingIsBitIdenticalWhenRunAgainWithAnyNumberOfThreads) {
  const TemporaryFolder folder;
  const std::string path = folder.file("s.orrery");
  TapSchedule schedule;
  schedule.spans = {{.begin = 3, .end = 20, .level = Level::kFull}};
  const OpenedModel recorded = open_tiny("tiny-text.q8_0.gguf", 2);
  record(path, recorded, 20, schedule);
  for (const int threads : {1, 3}) {
    const Result<VerifyReport> report = verify(path, open_tiny("tiny-text.q8_0.gguf", threads));
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_TRUE(report->bits_expected());
    EXPECT_TRUE(report->bit_identical());
    EXPECT_TRUE(report->passed());
    EXPECT_GT(report->frames.n_values(), 1000);
    EXPECT_EQ(report->frames.totals().size(), offered_probes(recorded.model->config()).size());
    EXPECT_EQ(report->n_sampled, 20);
  }
}

TEST(Verify, ARunOfSeveralTurnsIsBitIdenticalAlsoWhereTheFileWasClosedInBetween) {
  const TemporaryFolder folder;
  const std::string path = folder.file("s.orrery");
  const OpenedModel opened = open_tiny();
  Generator generator(opened.model, opened.kv);
  RunControl control;
  Result<PreparedPrompt> prompt = prepare_prompt(PromptKind::kChat, "Hello", opened, "Be brief.");
  ASSERT_TRUE(prompt) << prompt.error().message;
  RunRequest request;
  request.prompt = prompt->tokens;
  request.n_new_tokens = 6;
  request.batches = plan_batches(generator, std::ssize(request.prompt), request.schedule, {}, false);
  RunRecord record = make_run_record(opened, prompt->record, request, false);
  RecordedRun run(opened, generator, std::move(record), request, {.path = path, .store = {}}, {}, control);
  ASSERT_TRUE(run.begin());
  ASSERT_TRUE(run.start());
  for (const bool close : {false, true}) {
    if (close) {
      ASSERT_TRUE(run.pause_recording());
      EXPECT_EQ(SessionReader::open(path).value()->run(0)->end, RunEnd::kComplete);
      EXPECT_TRUE(verify(path, opened)->bit_identical());
      ASSERT_TRUE(run.resume());
    }
    auto given = prepare_turn("And then?", opened, run.ids().back());
    ASSERT_TRUE(given) << given.error().message;
    ASSERT_TRUE(run.go_on(std::move(*given), 5, "And then?"));
    ASSERT_TRUE(run.go_on({}, 4, std::nullopt)) << "from the last token";
  }
  ASSERT_TRUE(run.pause_recording());
  const auto reader = SessionReader::open(path).value();
  EXPECT_EQ(reader->runs()->size(), 1u);
  EXPECT_EQ(reader->run(0)->settings.turns.size(), 5u);
  EXPECT_EQ(reader->run(0)->prompt.turns.size(), 2u);
  EXPECT_EQ(reader->run(0)->prompt.system, "Be brief.");
  EXPECT_TRUE(reader->gaps(1)->empty());
  EXPECT_EQ(std::ssize(*reader->tokens(1)), std::ssize(run.ids()));
  const Result<VerifyReport> report = verify(path, opened);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_TRUE(report->bits_expected());
  EXPECT_TRUE(report->bit_identical());
  EXPECT_EQ(report->n_steps, std::ssize(run.ids()) - 1);
  EXPECT_GT(report->n_sampled, 5);
}

TEST(Verify, FindsWhatWasChangedInASession) {
  const TemporaryFolder folder;
  const std::string path = folder.file("s.orrery");
  const OpenedModel opened = open_tiny();
  record(path, opened, 12, {});
  {
    Result<Database> db = Database::open(path, Database::Mode::kWrite);
    ASSERT_TRUE(db);
    ASSERT_TRUE(
        db->execute("UPDATE token SET id = (id + 1) % 100 WHERE segment = 'generated' AND step = "
                    "(SELECT max(step) - 4 FROM token)"));
  }
  const Result<VerifyReport> report = verify(path, opened);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_FALSE(report->passed());
  EXPECT_GE(report->n_sampled_other, 1);
  ASSERT_TRUE(report->frames.first_difference().has_value());
  EXPECT_EQ(report->frames.first_difference()->step, report->first_sampled_other);
}

TEST(Verify, SaysWhyBitsCannotBeExpected) {
  const TemporaryFolder folder;
  const std::string path = folder.file("s.orrery");
  OpenedModel opened = open_tiny();
  record(path, opened, 4, {});
  {
    Result<Database> db = Database::open(path, Database::Mode::kWrite);
    ASSERT_TRUE(db);
    ASSERT_TRUE(db->execute("UPDATE run SET build = 'an older one'"));
  }
  const Result<VerifyReport> older = verify(path, opened);
  ASSERT_TRUE(older);
  EXPECT_FALSE(older->bits_expected());
  ASSERT_EQ(older->other_conditions.size(), 1u);
  EXPECT_THAT(older->other_conditions[0], ::testing::HasSubstr("an older one"));
  EXPECT_TRUE(older->passed());

  // Another cache type holds other bytes: that is a difference, and not only of last digits.
  opened.kv = opened.kv == DType::kF16 ? DType::kF32 : DType::kF16;
  const Result<VerifyReport> other_cache = verify(path, opened);
  ASSERT_TRUE(other_cache);
  EXPECT_EQ(other_cache->other_conditions.size(), 2u);
  EXPECT_FALSE(other_cache->passed());
  EXPECT_EQ(other_cache->frames.first_difference()->probe->name, "cache.bytes");
}

TEST(Recompute, GivesWhatFullRecordingWouldHave) {
  const TemporaryFolder folder;
  const OpenedModel opened = open_tiny();
  TapSchedule full;
  full.level = Level::kFull;
  const std::string path = folder.file("full.orrery");
  record(path, opened, 10, full);
  const Result<std::unique_ptr<SessionReader>> reader = SessionReader::open(path);
  ASSERT_TRUE(reader);
  const Result<std::vector<Token>> tokens = (*reader)->tokens(1);
  ASSERT_TRUE(tokens);
  ExtraTaps taps;
  taps.mask.probes = {find_probe("attention.row")};
  taps.mask.row_heads = {1};
  taps.begin = 4;
  taps.end = static_cast<int64_t>(tokens->size()) - 1;
  int64_t next = taps.begin;
  RunControl control;
  const Result<void> done = recompute(
      opened, 1, *tokens, taps,
      [&](const Frame& frame) -> Result<void> {
        EXPECT_EQ(frame.origin, Origin::kRecomputed);
        EXPECT_EQ(frame.step_begin, next);
        next = frame.step_end;
        for (int64_t step = frame.step_begin; step < frame.step_end; ++step) {
          const Result<std::vector<Frame>> recorded = (*reader)->frames(*frame.probe, 1, step, step + 1);
          EXPECT_TRUE(recorded && recorded->size() == 1);
          const Frame& whole = recorded->front();
          for (size_t layer = 0; layer < frame.layers.size(); ++layer) {
            const int64_t n_heads = whole.shape[2];
            for (int64_t key = 0; key <= step; ++key) {
              const float a = whole.step_values<float>(
                  step)[(layer * static_cast<size_t>(n_heads) + 1) * static_cast<size_t>(whole.shape[3]) +
                        static_cast<size_t>(key)];
              const float b = frame.step_values<float>(
                  step)[layer * static_cast<size_t>(frame.shape[3]) + static_cast<size_t>(key)];
              EXPECT_NEAR(a, b, 1e-4);
            }
          }
        }
        return {};
      },
      {}, control);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(next, taps.end);
}

TEST(FindRecordedModel, TakesTheNotedPathAndRefusesAnotherModel) {
  RunRecord run;
  run.model_name = "tiny";
  const OpenedModel opened = open_tiny();
  run.fingerprint = opened.fingerprint;
  run.settings.model_path = opened.file->path();
  const Result<std::string> noted = find_recorded_model(run, "");
  ASSERT_TRUE(noted);
  EXPECT_EQ(*noted, opened.file->path());
  const Result<std::string> other = find_recorded_model(run, testing::asset("models/tiny-llama-c.q8_0.gguf"));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kMismatch);
  run.settings.model_path = "/nowhere/model.gguf";
  const Result<std::string> gone = find_recorded_model(run, "");
  ASSERT_FALSE(gone);
  EXPECT_THAT(gone.error().message, ::testing::HasSubstr("--model"));
}

}  // namespace
}  // namespace orrery
