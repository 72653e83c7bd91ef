// Runs of hybrid models as the commands make them: recorded, run again, what was not recorded computed anew.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "app/commands/model_layers.h"
#include "app/rerun.h"
#include "engine/cache.h"
#include "tests/app/tiny_model.h"

namespace orrery {
namespace {

using testing::open_tiny;
using testing::TemporaryFolder;

std::vector<Token> some_tokens(int64_t n) {
  std::vector<Token> tokens;
  for (int64_t step = 0; step < n; ++step) {
    tokens.push_back(
        {.step = step, .id = static_cast<int32_t>(step * 7 % 31), .bytes = {}, .segment = Segment::kForced});
  }
  return tokens;
}

Result<SessionRun> record(const std::string& path, const OpenedModel& opened, int64_t n_given, int64_t n_new,
                          bool one_step) {
  Generator generator(opened.model, opened.kv);
  RunControl control;
  RunRequest request;
  request.prompt = some_tokens(n_given);
  request.n_new_tokens = n_new;
  request.schedule.level = Level::kFull;
  request.batches = plan_batches(generator, n_given, request.schedule, {}, one_step);
  return record_run(path, opened, generator, {.kind = "tokens", .text = ""}, std::move(request), one_step, {}, control);
}

class HybridRuns : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Models, HybridRuns,
                         ::testing::Values("tiny-lfm2", "tiny-mamba", "tiny-mamba2", "tiny-granite-hybrid",
                                           "tiny-falcon-h1", "tiny-nemotron-h-moe", "tiny-qwen3-next", "tiny-zamba2",
                                           "tiny-ttt-linear-b", "tiny-ttt-mlp", "tiny-deepseek-v3", "tiny-kimi-linear",
                                           "tiny-rwkv7", "tiny-recurrent-gemma"));

TEST_P(HybridRuns, AreBitIdenticalWhenRunAgain) {
  const TemporaryFolder folder;
  const OpenedModel opened = open_tiny(GetParam(), 2);
  for (const bool one_step : {false, true}) {
    const std::string path = folder.file(one_step ? "steps.orrery" : "batch.orrery");
    const Result<SessionRun> run = record(path, opened, 70, 6, one_step);
    ASSERT_TRUE(run) << run.error().message;
    ASSERT_FALSE(run->status.failure) << run->status.failure->message;
    const auto reader = SessionReader::open(path).value();
    RunControl control;
    const Result<VerifyReport> report = verify_run(*reader, reader->run(0).value(), opened, {}, control);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_TRUE(report->bit_identical());
    const ModelConfig& config = opened.model->config();
    size_t n_recorded = 0;
    for (const Probe* probe : offered_probes(config)) n_recorded += probe->level <= Level::kFull ? 1 : 0;
    EXPECT_EQ(report->frames.totals().size(), n_recorded);
    // What the file says of the model names the same layers and sizes.
    const ModelConfig recorded = reader->run(0)->config;
    for (const Probe* probe : all_probes()) {
      EXPECT_EQ(probe->layers(recorded), probe->layers(config)) << probe->name;
      EXPECT_EQ(probe->inner_shape(recorded, 70), probe->inner_shape(config, 70)) << probe->name;
    }
  }
}

TEST_P(HybridRuns, CacheBytesAreWhatTheConfigurationSays) {
  const OpenedModel opened = open_tiny(GetParam());
  for (const DType kv : {DType::kF32, DType::kF16}) {
    int64_t per_token = 0;
    int64_t state = 0;
    int64_t convolution = 0;
    int64_t fast = 0;
    for (const LayerState& one : opened.model->states(kv)) {
      (one.key.kind == StateKind::kKeysValues    ? per_token
       : one.key.kind == StateKind::kMatrixState ? state
       : one.key.kind == StateKind::kFastWeights ? fast
                                                 : convolution) += one.spec.unit_bytes();
    }
    const nlohmann::json cache = describe_cache(opened.model->config(), kv);
    EXPECT_EQ(cache["bytes_per_token"], per_token);
    EXPECT_EQ(cache["constant"]["recurrent state"], state);
    EXPECT_EQ(cache["constant"]["convolution state"], convolution);
    EXPECT_EQ(cache["constant"]["fast weights"], fast);
  }
}

TEST(ModelLayers, LatentAttentionSaysWhatItsHeadsShare) {
  const OpenedModel opened = open_tiny("tiny-deepseek-v3");
  const ModelConfig& config = opened.model->config();
  const nlohmann::json layer = describe_layers(config)[0];
  EXPECT_EQ(layer["label"], "0 latent attention");
  EXPECT_EQ(layer["summary"], "3 query heads × 13, values × 5, of a latent of 9 and 6 shared; feed-forward × 31");
  EXPECT_EQ(layer["attention"]["d_latent"], 9);
  EXPECT_EQ(layer["attention"]["d_shared_rope"], 6);
  EXPECT_EQ(describe_cache(config, DType::kF16)["bytes_per_token"], 4 * (9 + 6) * 2);
}

// The rows of some steps, layers and heads alone are those of all: what came before them was kept.
TEST(RecomputedRows, OfLateStepsAreThoseOfAWholeRun) {
  const OpenedModel opened = open_tiny("tiny-mamba2");
  const Probe& row = *find_probe("state.row");
  const std::vector<Token> tokens = some_tokens(60);
  std::vector<Frame> all;
  std::vector<Frame> some;
  RunControl control;
  ExtraTaps taps{.mask = {}, .begin = 0, .end = 60};
  taps.mask.probes = {&row};
  const auto keep_in = [](std::vector<Frame>& frames) {
    return [&frames](const Frame& frame) -> Result<void> {
      frames.push_back(frame);
      return {};
    };
  };
  ASSERT_TRUE(recompute(opened, 1, tokens, taps, keep_in(all), {}, control));
  taps.begin = 57;
  taps.end = 59;
  taps.mask.row_layers = {row.layers(opened.model->config()).back()};
  taps.mask.row_heads = {1};
  ASSERT_TRUE(recompute(opened, 1, tokens, taps, keep_in(some), {}, control));
  ASSERT_FALSE(some.empty());
  EXPECT_EQ(some.front().step_begin, 57);
  EXPECT_EQ(some.back().step_end, 59);
  int n_compared = 0;
  for (const Frame& frame : some) {
    for (int64_t step = frame.step_begin; step < frame.step_end; ++step) {
      const auto whole =
          std::ranges::find_if(all, [step](const Frame& one) { return step >= one.step_begin && step < one.step_end; });
      ASSERT_NE(whole, all.end());
      const auto n_keys = static_cast<size_t>(whole->shape[3]);
      const std::span<const float> expected = whole->step_values<float>(step);
      const size_t at = (static_cast<size_t>(whole->shape[1] - 1) * static_cast<size_t>(whole->shape[2]) + 1) * n_keys;
      float most = 0;
      for (int64_t key = 0; key <= step; ++key, ++n_compared) {
        const float value = frame.step_values<float>(step)[static_cast<size_t>(key)];
        EXPECT_NEAR(value, expected[at + static_cast<size_t>(key)], 1e-5);
        most = std::max(most, std::abs(value));
      }
      EXPECT_GT(most, 1e-4f);
    }
  }
  EXPECT_EQ(n_compared, 58 + 59);
}

}  // namespace
}  // namespace orrery
