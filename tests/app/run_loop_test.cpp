#include "app/run_loop.h"

#include <gmock/gmock.h>

#include <atomic>
#include <cmath>
#include <map>
#include <thread>

#include "tests/app/tiny_model.h"

namespace orrery {
namespace {

using ::testing::ElementsAre;
using testing::open_tiny;
using ::testing::Pair;
using testing::tiny_request;

// Everything a run publishes, by probe and step.
struct Collected {
  std::map<std::pair<std::string, int64_t>, std::vector<float>> values;
  std::vector<Token> tokens;
  std::vector<RunEvent> events;
  int64_t n_batches = 0;

  void take(const FrameBatch& batch) {
    ++n_batches;
    tokens.insert(tokens.end(), batch.tokens.begin(), batch.tokens.end());
    events.insert(events.end(), batch.events.begin(), batch.events.end());
    for (const Frame& frame : batch.frames) {
      // A token is known before its own frame, and its frame comes with the token after it.
      EXPECT_LE(frame.step_end, static_cast<int64_t>(tokens.size()));
      if (frame.probe->dtype != DType::kF32) continue;
      for (int64_t step = frame.step_begin; step < frame.step_end; ++step) {
        const std::span<const float> row = frame.step_values<float>(step);
        auto& kept = values[{std::string(frame.probe->name), step}];
        EXPECT_TRUE(kept.empty()) << frame.probe->name << " twice at step " << step;
        kept.assign(row.begin(), row.end());
      }
    }
  }
};

Result<RunResult> run(const OpenedModel& opened, const RunRequest& request, Collected* collected,
                      RunControl* control = nullptr) {
  Generator generator(opened.model, opened.kv);
  RunSinks sinks;
  if (collected != nullptr) sinks.publish = [=](const SharedBatch& batch) { collected->take(*batch); };
  RunControl own;
  return run_loop(generator, opened.tokenizer.get(), request, sinks, control != nullptr ? *control : own);
}

TEST(RunLoop, PublishesAFrameOfEveryStepThatWasFedAndATokenForEveryOneKnown) {
  const OpenedModel opened = open_tiny();
  Generator generator(opened.model, opened.kv);
  const RunRequest request = tiny_request(opened, generator, 6);
  Collected collected;
  const Result<RunResult> result = run(opened, request, &collected);
  ASSERT_TRUE(result) << result.error().message;
  const auto n_prompt = static_cast<int64_t>(request.prompt.size());
  ASSERT_EQ(result->ids.size(), 6u);
  EXPECT_EQ(result->n_processed, n_prompt + 5) << "the last sampled token is not fed";
  ASSERT_EQ(collected.tokens.size(), static_cast<size_t>(n_prompt + 6));
  for (int64_t step = 0; step < n_prompt + 6; ++step) {
    EXPECT_EQ(collected.tokens[static_cast<size_t>(step)].step, step);
    EXPECT_EQ(collected.values.contains({"output.entropy", step}), step < result->n_processed);
  }
  EXPECT_EQ(collected.tokens.back().segment, Segment::kGenerated);
  EXPECT_EQ(collected.tokens.front().segment, Segment::kUser);
  EXPECT_EQ(collected.events.back().kind, "stop");
}

TEST(RunLoop, WritesTheSameTextWithAndWithoutProbesAndForAnyNumberOfThreads) {
  TapSchedule full;
  full.level = Level::kFull;
  TapSchedule off;
  off.recording = false;
  std::vector<int32_t> ids;
  for (const int threads : {1, 2, 3}) {
    const OpenedModel opened = open_tiny("tiny-text.q8_0.gguf", threads);
    Generator generator(opened.model, opened.kv);
    for (const TapSchedule& schedule : {full, off}) {
      Collected collected;
      const Result<RunResult> result = run(opened, tiny_request(opened, generator, 24, schedule), &collected);
      ASSERT_TRUE(result);
      if (ids.empty()) ids = result->ids;
      EXPECT_EQ(result->ids, ids) << threads << " threads";
      EXPECT_EQ(collected.values.empty(), !schedule.recording);
    }
  }
}

TEST(RunLoop, MeasuresInBatchesWhatItMeasuresStepByStep) {
  const OpenedModel opened = open_tiny("tiny-text.q8_0.gguf");
  Generator generator(opened.model, opened.kv);
  TapSchedule full;
  full.level = Level::kFull;
  RunRequest request = tiny_request(opened, generator, 0, full);
  ASSERT_FALSE(request.batches.empty());
  Collected batched;
  ASSERT_TRUE(run(opened, request, &batched));
  request.batches.clear();
  Collected stepped;
  ASSERT_TRUE(run(opened, request, &stepped));
  ASSERT_EQ(batched.values.size(), stepped.values.size());
  for (const char* name : {"residual.norm", "attention.entropy", "attention.distance", "output.entropy"}) {
    for (int64_t step = 0; step < static_cast<int64_t>(request.prompt.size()); ++step) {
      const std::vector<float>& a = batched.values.at({name, step});
      const std::vector<float>& b = stepped.values.at({name, step});
      ASSERT_EQ(a.size(), b.size());
      for (size_t i = 0; i < a.size(); ++i)
        EXPECT_NEAR(a[i], b[i], 1e-3 * std::max(1.0f, std::abs(a[i]))) << name << " " << step;
    }
  }
}

TEST(RunLoop, CutsBatchesWhereTheScheduleChangesAndWhereMemoryIsBounded) {
  const OpenedModel opened = open_tiny();
  const Generator generator(opened.model, opened.kv);
  TapSchedule schedule;
  schedule.spans = {{.begin = 5, .end = 9, .level = Level::kFull}};
  EXPECT_THAT(plan_batches(generator, 20, schedule, {}, false), ElementsAre(Pair(0, 5), Pair(5, 9), Pair(9, 20)));
  EXPECT_THAT(plan_batches(generator, 300, {}, {}, false), ElementsAre(Pair(0, kPrefillRows), Pair(kPrefillRows, 300)));
  EXPECT_TRUE(plan_batches(generator, 20, schedule, {}, true).empty());
  ExtraTaps extra;
  extra.mask.probes = {find_probe("attention.row")};
  extra.begin = 2;
  extra.end = 4;
  EXPECT_THAT(plan_batches(generator, 6, {}, extra, false), ElementsAre(Pair(0, 2), Pair(2, 4), Pair(4, 6)));
}

TEST(RunLoop, MeasuresOnlyWhatTheScheduleSays) {
  const OpenedModel opened = open_tiny();
  Generator generator(opened.model, opened.kv);
  TapSchedule schedule;
  schedule.level = Level::kLight;
  schedule.spans = {{.begin = 4, .end = 6, .level = Level::kFull}};
  Collected collected;
  ASSERT_TRUE(run(opened, tiny_request(opened, generator, 3, schedule), &collected));
  for (const auto& [key, values] : collected.values) {
    const auto& [name, step] = key;
    EXPECT_TRUE(find_probe(name)->level == Level::kLight || (step >= 4 && step < 6)) << name << " " << step;
  }
  EXPECT_TRUE(collected.values.contains({"attention.row", 5}));
}

TEST(RunLoop, TakesForcedTokensAndSaysWhatItWouldHaveDrawn) {
  const OpenedModel opened = open_tiny();
  Generator generator(opened.model, opened.kv);
  RunRequest request = tiny_request(opened, generator, 8);
  const Result<RunResult> free = run(opened, request, nullptr);
  ASSERT_TRUE(free);
  request.forced = free->ids;
  request.forced[3] = free->ids[3] == 7 ? 8 : 7;
  const Result<RunResult> forced = run(opened, request, nullptr);
  ASSERT_TRUE(forced);
  EXPECT_EQ(forced->ids, request.forced);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(forced->sampled_ids[i], free->ids[i]);
}

TEST(RunLoop, EndsWhereTheContextIsFull) {
  const OpenedModel opened = open_tiny();
  Generator generator(opened.model, opened.kv);
  RunRequest request = tiny_request(opened, generator, 100000);
  request.forced.assign(100000, 40);  // no end token comes in between
  TapSchedule off;
  off.recording = false;
  request.schedule = off;
  const Result<RunResult> result = run(opened, request, nullptr);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->reason, StopReason::kContextFull);
  EXPECT_EQ(result->n_processed, opened.model->config().context_length);
}

TEST(RunLoop, StopsFromAnotherThreadAndBetweenPasses) {
  const OpenedModel opened = open_tiny();
  Generator generator(opened.model, opened.kv);
  RunRequest request = tiny_request(opened, generator, 100000);
  request.forced.assign(400, 40);
  RunControl control;
  control.pause();
  std::atomic<int64_t> n_passes{0};
  RunSinks sinks;
  sinks.on_progress = [&](const RunProgress&) { ++n_passes; };
  std::thread other([&] {
    control.step(3);
    for (int ms = 0; n_passes < 3 && ms < 60000; ++ms) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(n_passes, 3) << "it waits after the steps that were asked for";
    control.stop();
  });
  const Result<RunResult> result = run_loop(generator, opened.tokenizer.get(), request, sinks, control);
  other.join();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->reason, StopReason::kStopped);
  EXPECT_EQ(result->n_processed, static_cast<int64_t>(request.prompt.size()) + 2) << "one batch and two steps";
}

TEST(RunLoop, ASignalFlagStopsAPausedRun) {
  const OpenedModel opened = open_tiny();
  Generator generator(opened.model, opened.kv);
  const std::atomic<bool> interrupted{true};
  RunControl control;
  control.watch(&interrupted);
  control.pause();
  const Result<RunResult> result = run(opened, tiny_request(opened, generator, 4), nullptr, &control);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->reason, StopReason::kStopped);
  EXPECT_EQ(result->n_processed, 0);
}

TEST(RunLoop, TurnsGoOnFromTheLiveCacheWithoutAHole) {
  const OpenedModel opened = open_tiny();
  Generator generator(opened.model, opened.kv);
  RunControl control;
  std::vector<Token> tokens;
  int64_t n_frames_end = 0;
  RunSinks sinks;
  sinks.publish = [&](const SharedBatch& batch) {
    tokens.insert(tokens.end(), batch->tokens.begin(), batch->tokens.end());
    for (const Frame& frame : batch->frames) {
      if (frame.probe->name != "residual.norm") continue;
      EXPECT_EQ(frame.step_begin, n_frames_end) << "every step is measured once";
      n_frames_end = frame.step_end;
    }
  };
  RunLoop loop(generator, opened.tokenizer.get(), tiny_request(opened, generator, 5), sinks, control);
  const auto first = loop.start();
  ASSERT_TRUE(first) << first.error().message;
  const int64_t n_first = std::ssize(loop.ids());
  EXPECT_EQ(loop.n_processed(), n_first - 1) << "the last token is not fed yet";
  const auto more = loop.go_on({.given = {}, .batches = {}, .n_new_tokens = 4, .forced = {}});
  ASSERT_TRUE(more) << more.error().message;
  std::vector<Token> given(3);
  for (int32_t i = 0; i < 3; ++i) given[static_cast<size_t>(i)].id = 40 + i;
  const auto last = loop.go_on({.given = given, .batches = {}, .n_new_tokens = 2, .forced = {}});
  ASSERT_TRUE(last) << last.error().message;
  EXPECT_EQ(std::ssize(loop.ids()), n_first + 4 + 3 + 2);
  EXPECT_EQ(n_frames_end, std::ssize(loop.ids()) - 1);
  ASSERT_EQ(std::ssize(tokens), std::ssize(loop.ids()));
  for (size_t i = 0; i < tokens.size(); ++i) {
    EXPECT_EQ(tokens[i].step, static_cast<int64_t>(i));
    EXPECT_EQ(tokens[i].id, loop.ids()[i]);
    EXPECT_GE(tokens[i].time_ns, i > 0 ? tokens[i - 1].time_ns : 0);
  }

  // Two stretches of one answer are the answer in one stretch.
  Generator again(opened.model, opened.kv);
  const auto whole = run_loop(again, opened.tokenizer.get(), tiny_request(opened, again, 9), {}, control);
  ASSERT_TRUE(whole);
  std::vector<int32_t> joined = first->ids;
  joined.insert(joined.end(), more->ids.begin(), more->ids.end());
  EXPECT_EQ(joined, whole->ids);
}

TEST(RunLoop, ATurnThatTheContextCannotHoldLeavesTheRunAsItWas) {
  const OpenedModel opened = open_tiny();
  Generator generator(opened.model, opened.kv);
  RunControl control;
  RunLoop loop(generator, opened.tokenizer.get(), tiny_request(opened, generator, 3), {}, control);
  ASSERT_TRUE(loop.start());
  const int64_t before = std::ssize(loop.ids());
  const auto refused = loop.go_on({.given = std::vector<Token>(600), .batches = {}, .n_new_tokens = 3, .forced = {}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(std::ssize(loop.ids()), before);
  EXPECT_TRUE(loop.go_on({.given = {}, .batches = {}, .n_new_tokens = 3, .forced = {}}));
}

}  // namespace
}  // namespace orrery
