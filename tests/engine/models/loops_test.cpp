// Looped models against their references, and loops over layers of models that have none.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/loop_request.h"
#include "tests/engine/models/changed_folder.h"
#include "tests/engine/models/golden_check.h"

namespace orrery::testing {
namespace {

const ModelGolden kGoldens[] = {{"tiny-ouro", "tiny-ouro"}, {"tiny-ouro-b", "tiny-ouro-b"}};

class LoopGolden : public ::testing::TestWithParam<ModelGolden> {};

TEST_P(LoopGolden, MatchesTheReferenceInBatchesAndSteps) {
  const ModelGolden& golden = GetParam();
  expect_matches_golden(asset("models") / golden.model, asset("goldens/hybrids") / golden.golden);
}

INSTANTIATE_TEST_SUITE_P(All, LoopGolden, ::testing::ValuesIn(kGoldens), golden_test_name);

Result<std::shared_ptr<const Model>> load(const char* name, const LoopRequest& request) {
  auto file = ModelFile::open(asset("models") / name);
  if (!file) return file.error();
  return Model::load(*file, make_cpu_backend(2), {.progress = {}, .loop = request});
}

std::shared_ptr<const Model> looped(const char* name, const LoopRequest& request) {
  const auto model = load(name, request);
  EXPECT_TRUE(model) << (model ? "" : model.error().message);
  return model ? *model : nullptr;
}

LoopRequest damped(int32_t n_iterations, int32_t begin, int32_t end) {
  return {.n_iterations = n_iterations, .layers = std::pair(begin, end), .exit = {}, .cache = {}};
}

LoopRequest own_loop(int32_t n_iterations) {
  return {.n_iterations = n_iterations, .layers = {}, .exit = {}, .cache = {}};
}

LoopRequest with_exit(LoopRequest request, ExitRule rule, float threshold) {
  request.exit = LoopRequest::Exit{.rule = rule, .threshold = threshold};
  return request;
}

std::vector<int32_t> tokens_of(const char* golden) {
  return read_npy<int32_t>(asset("goldens") / golden / "tokens.npy").values;
}

// Bytes that a sequence of 100 tokens keeps.
int64_t bytes_kept(const Model& model) {
  int64_t n = 0;
  const std::vector<LayerState> states = model.states(DType::kF32);
  for (int32_t visit = 0; visit < model.config().n_layers(); ++visit) {
    for (const int64_t bytes : usage_after(states, visit, 99).bytes) n += bytes;
  }
  return n;
}

TEST(DampedLoop, MatchesTransformersLayersInBatchesAndSteps) {
  struct Case {
    const char* model;
    const char* golden;
    LoopRequest request;
  };
  for (const Case& one :
       {Case{"tiny-llama-a", "a-loop", damped(3, 0, 2)}, Case{"tiny-llama-c", "c-loop", damped(2, 1, 2)},
        Case{"tiny-llama-d", "d-loop", damped(4, 0, 2)}}) {
    SCOPED_TRACE(one.golden);
    expect_matches_golden(looped(one.model, one.request), asset("goldens/loops") / one.golden, {}, {0, 1, 7});
  }
}

TEST(DampedLoop, OneTimeIsTheModelItself) {
  const auto tokens = tokens_of("llama/a");
  const auto once = looped("tiny-llama-a", damped(1, 0, 2));
  EXPECT_FALSE(once->config().loop.any());
  EXPECT_EQ(measure(once, tokens, 40), measure(load_model(asset("models/tiny-llama-a")), tokens, 40));
}

// Bits of what was measured, NaN among them.
void expect_same(const std::vector<float>& a, const std::vector<float>& b, const char* what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  const auto differs = [](float x, float y) { return x != y && !(std::isnan(x) && std::isnan(y)); };
  size_t n_other = 0;
  for (size_t i = 0; i < a.size(); ++i) n_other += differs(a[i], b[i]) ? 1 : 0;
  EXPECT_EQ(n_other, 0u) << what;
}

// Rows of tokens that had left are not known, as far as a pass has keys.
std::vector<float> known(std::vector<float> rows) {
  std::ranges::replace_if(
      rows, [](float w) { return std::isnan(w); }, 0.0f);
  return rows;
}

void expect_same_in_batches_and_steps(const std::shared_ptr<const Model>& model, const std::vector<int32_t>& tokens) {
  ASSERT_NE(model, nullptr);
  const Measured steps = measure(model, tokens, 1);
  for (const int64_t n : {int64_t{7}, static_cast<int64_t>(tokens.size())}) {
    SCOPED_TRACE(n);
    const Measured batch = measure(model, tokens, n);
    expect_same(batch.logits, steps.logits, "logits");
    expect_same(batch.residual_norm, steps.residual_norm, "residual.norm");
    expect_same(known(batch.attention_row), known(steps.attention_row), "attention.row");
    expect_same(batch.state_norm, steps.state_norm, "state.norm");
    expect_same(batch.loop_step, steps.loop_step, "loop.step");
    expect_same(batch.loop_cosine, steps.loop_cosine, "loop.cosine");
    EXPECT_EQ(batch.loop_depth, steps.loop_depth);
  }
}

// Rows of a batch that leave early are not computed any more; what the others see of them is as in steps.
TEST(Loops, TokensLeaveAloneInABatchAsInSteps) {
  struct Case {
    const char* model;
    const char* tokens;
    LoopRequest request;
  };
  const Case cases[] = {
      {"tiny-llama-a", "llama/a", with_exit(damped(5, 0, 2), ExitRule::kStep, 0.22f)},
      {"tiny-llama-a", "llama/a", with_exit(damped(4, 0, 2), ExitRule::kDivergence, 0.02f)},
      {"tiny-granite-hybrid", "hybrids/tiny-granite-hybrid", with_exit(damped(4, 1, 3), ExitRule::kStep, 0.1f)},
      {"tiny-lfm2", "hybrids/tiny-lfm2", with_exit(damped(4, 0, 4), ExitRule::kStep, 0.6f)},
      {"tiny-ouro", "hybrids/tiny-ouro", with_exit({}, ExitRule::kGate, 0.6f)},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.model);
    const auto model = looped(one.model, one.request);
    const auto tokens = tokens_of(one.tokens);
    expect_same_in_batches_and_steps(model, tokens);
    const auto depths = measure(model, tokens, 7).loop_depth;
    EXPECT_LT(std::ranges::min(depths), std::ranges::max(depths)) << "all tokens go equally deep";
  }
}

TEST(Loops, IterationsMayShareWhatTheyRemember) {
  for (const char* name : {"tiny-llama-a", "tiny-granite-hybrid"}) {
    SCOPED_TRACE(name);
    LoopRequest request = damped(3, 0, 2);
    request.cache = LoopCache::kShared;
    const auto shared = looped(name, request), own = looped(name, damped(3, 0, 2));
    const auto tokens = tokens_of(name == std::string("tiny-llama-a") ? "llama/a" : "hybrids/tiny-granite-hybrid");
    expect_same_in_batches_and_steps(shared, tokens);
    EXPECT_NE(measure(shared, tokens, 1).logits, measure(own, tokens, 1).logits);
    EXPECT_EQ(bytes_kept(*shared), bytes_kept(*load_model(asset("models") / name)));
    EXPECT_GT(bytes_kept(*own), bytes_kept(*shared));
  }
}

// How deep a token goes is what it would have been with as many iterations.
TEST(Loops, ADepthThatIsForcedIsALoopThatIsShorter) {
  const auto tokens = tokens_of("hybrids/tiny-ouro");
  for (int32_t depth = 1; depth <= 4; ++depth) {
    SCOPED_TRACE(depth);
    const auto cut = measure(looped("tiny-ouro", with_exit(own_loop(depth), ExitRule::kFixed, 0)), tokens, 70);
    const Measured whole = measure(looped("tiny-ouro", with_exit({}, ExitRule::kFixed, 0)), tokens, 70);
    for (size_t t = 0; t < tokens.size(); ++t) {
      for (int32_t i = 0; i < depth; ++i) {
        EXPECT_EQ(cut.loop_step[t * static_cast<size_t>(depth) + static_cast<size_t>(i)],
                  whole.loop_step[t * 4 + static_cast<size_t>(i)]);
      }
    }
    // A gate that is always satisfied reads the first iteration.
    if (depth == 1) {
      EXPECT_EQ(measure(looped("tiny-ouro", with_exit({}, ExitRule::kGate, 1e-9f)), tokens, 70).logits, cut.logits);
    }
    if (depth == 4) {
      EXPECT_EQ(whole.logits, cut.logits);
    }
  }
}

TEST(Loops, ProbabilitiesOfStoppingSumToOne) {
  const auto tokens = tokens_of("hybrids/tiny-ouro");
  const Measured measured = measure(looped("tiny-ouro", with_exit({}, ExitRule::kGate, 0.7f)), tokens, 70);
  for (size_t t = 0; t < tokens.size(); ++t) {
    float sum = 0.0f;
    for (size_t i = 0; i < 4; ++i) sum += measured.loop_exit[4 * t + i];
    EXPECT_NEAR(sum, 1.0f, 1e-6f);
  }
}

std::string refusal(const char* name, const LoopRequest& request) {
  const auto model = load(name, request);
  EXPECT_FALSE(model);
  return model ? "" : model.error().message;
}

TEST(Loops, WhatCannotBeIsRefusedWithOptionAndValue) {
  const auto has = [](const std::string& text, std::initializer_list<const char*> parts) {
    for (const char* part : parts) EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  has(refusal("tiny-llama-a", own_loop(2)), {"no loop of its own", "--loop-layers"});
  has(refusal("tiny-llama-a", damped(2, 1, 4)), {"--loop-layers", "3 layers", "1:4"});
  has(refusal("tiny-llama-a", damped(2, 2, 2)), {"--loop-layers", "2:2"});
  has(refusal("tiny-llama-a", damped(2, -1, 2)), {"--loop-layers", "-1:2"});
  has(refusal("tiny-llama-a", damped(0, 0, 2)), {"--loops", "from 1 to", "0"});
  has(refusal("tiny-llama-a", damped(100000, 0, 2)), {"--loops", "100000"});
  has(refusal("tiny-llama-a", with_exit(damped(2, 0, 2), ExitRule::kGate, 0.5f)), {"--exit gate", "learned gate"});
  has(refusal("tiny-llama-a", with_exit(damped(2, 0, 2), ExitRule::kStep, 0.0f)), {"--exit", "above 0"});
  has(refusal("tiny-ouro", damped(2, 0, 2)), {"--loop-layers", "0:3", "0:2"});
}

TEST(Ouro, SettingsThatCannotBeAreRefused) {
  expect_refused("tiny-ouro", {{"total_ut_steps", 0}}, {"total_ut_steps", "0"});
  expect_refused("tiny-ouro", {{"total_ut_steps", 1000}}, {"total_ut_steps", "1000"});
  expect_refused("tiny-ouro", {{"early_exit_threshold", -0.5}}, {"early_exit_threshold", "above 0"});
  expect_refused("tiny-ouro", {{"early_exit_step", 2}}, {"early_exit_step"});
  expect_refused("tiny-ouro", {{"hidden_act", "tanh"}}, {"hidden_act", "tanh"});
  expect_refused("tiny-ouro-b", {{"layer_types", {"full_attention", "chunked_attention"}}}, {"chunked_attention"});
}

TEST(Ouro, OtherSpellingsOfTheSameSettingsAreTheSameModel) {
  const nlohmann::json none;
  for (const nlohmann::json& changes :
       {nlohmann::json{{"rope_theta", none}, {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 7000.0}}}},
        nlohmann::json{{"total_ut_steps", none}, {"head_dim", 4}, {"torch_dtype", none}, {"dtype", "float32"}}}) {
    const auto tokens = tokens_of("hybrids/tiny-ouro");
    const ChangedFolder folder("tiny-ouro", changes);
    EXPECT_EQ(logits_of(folder.path(), tokens), logits_of(asset("models/tiny-ouro"), tokens)) << changes;
  }
}

}  // namespace
}  // namespace orrery::testing
