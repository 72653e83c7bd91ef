// llama against transformers' LlamaForCausalLM; the goldens' README says how they were made.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/engine/models/golden_check.h"

namespace orrery::testing {
namespace {

struct Golden {
  const char* model;
  const char* golden;
  GoldenBounds bounds;
};

// Where weights are quantized, activations are rounded to 16 bits per block of 32. Rounding to 8 bits moved these
// logits by up to 0.37 (peaked random attention amplifies it); 256 times finer steps make that 1.5e-3.
constexpr GoldenBounds kQuantized{.logits = 2e-3};

const Golden kGoldens[] = {
    {"tiny-llama-a", "a", {}},
    {"tiny-llama-a.f32.gguf", "a", {}},
    {"tiny-llama-b", "b", {}},
    {"tiny-llama-c", "c", {}},
    {"tiny-llama-c.f32.gguf", "c", {}},
    {"tiny-llama-c-f16", "c-f16", {}},
    {"tiny-llama-c-shards", "c-f16", {}},
    {"tiny-llama-c.f16.gguf", "c-f16", {}},
    {"tiny-llama-c-bf16", "c-bf16", {}},
    {"tiny-llama-d", "d", {}},
    {"tiny-llama-d.f32.gguf", "d", {}},
    {"tiny-llama-e", "e", {}},
    {"tiny-llama-c.q8_0.gguf", "c-q8_0", kQuantized},
    {"tiny-llama-c.q4_0.gguf", "c-q4_0", kQuantized},
    {"tiny-llama-c.q4_1.gguf", "c-q4_1", kQuantized},
};

class LlamaGolden : public ::testing::TestWithParam<Golden> {};

TEST_P(LlamaGolden, MatchesTransformersInBatchesAndSteps) {
  const Golden& golden = GetParam();
  expect_matches_golden(asset("models") / golden.model, asset("goldens/llama") / golden.golden, golden.bounds);
}

INSTANTIATE_TEST_SUITE_P(All, LlamaGolden, ::testing::ValuesIn(kGoldens), [](const auto& golden) {
  std::string name = golden.param.model;
  std::ranges::replace_if(
      name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
});

std::vector<int32_t> tokens_of(const char* golden) {
  return read_npy<int32_t>(asset("goldens/llama") / golden / "tokens.npy").values;
}

TEST(Llama, IsBitIdenticalForAnyNumberOfThreads) {
  for (const char* name : {"tiny-llama-c", "tiny-llama-c.q4_1.gguf"}) {
    const auto tokens = tokens_of("c");
    const Measured one = measure(load_model(asset("models") / name, 1), tokens, 20);
    EXPECT_EQ(one.logits, measure(load_model(asset("models") / name, 2), tokens, 20).logits) << name;
    EXPECT_EQ(one.attention_row, measure(load_model(asset("models") / name, 3), tokens, 20).attention_row) << name;
  }
}

TEST(Llama, IsBitIdenticalWithAndWithoutProbes) {
  const auto tokens = tokens_of("c");
  for (const char* name : {"tiny-llama-c", "tiny-llama-c.q8_0.gguf"}) {
    const auto model = load_model(asset("models") / name);
    EXPECT_EQ(measure(model, tokens, 11, true).logits, measure(model, tokens, 11, false).logits) << name;
  }
}

TEST(Llama, LastLogitsAreThoseOfAllLogits) {
  const auto model = load_model(asset("models/tiny-llama-c"));
  const auto tokens = tokens_of("c");
  Generator all(model, DType::kF32), last(model, DType::kF32);
  const auto everything = plan_of_everything(model->config());
  const auto all_logits = all.feed(tokens, everything, LogitsWanted::kAll);
  const auto last_logits = last.feed(tokens, everything, LogitsWanted::kLast);
  ASSERT_TRUE(all_logits && last_logits);
  ASSERT_EQ(last_logits->n_rows, 1);
  const float* expected = all_logits->row(all_logits->n_rows - 1);
  EXPECT_TRUE(std::equal(expected, expected + all_logits->n_cols, last_logits->row(0)));
  for (size_t i = 0; i < everything.fields.size(); ++i) {
    if (everything.fields[i].quantity != Quantity::kOutputTop) continue;
    const auto a = all.probes().field_bytes(i), b = last.probes().field_bytes(i);
    EXPECT_TRUE(std::ranges::equal(a, b));
  }
}

TEST(Llama, CacheOfHalfPrecisionStaysNear) {
  const auto model = load_model(asset("models/tiny-llama-c"));
  const auto tokens = tokens_of("c");
  Generator exact(model, DType::kF32), rounded(model, DType::kF16);
  const auto a = exact.feed(tokens, {}, LogitsWanted::kAll);
  const auto b = rounded.feed(tokens, {}, LogitsWanted::kAll);
  ASSERT_TRUE(a && b);
  bool differs = false;
  for (int64_t r = 0; r < a->n_rows; ++r) {
    for (int64_t c = 0; c < a->n_cols; ++c) {
      ASSERT_NEAR(a->row(r)[c], b->row(r)[c], 0.05);
      differs |= a->row(r)[c] != b->row(r)[c];
    }
  }
  EXPECT_TRUE(differs);
}

TEST(Llama, RefusesTokensOutsideTheVocabulary) {
  const auto model = load_model(asset("models/tiny-llama-c"));
  Generator generator(model, DType::kF32);
  const std::vector<int32_t> foreign = {1, static_cast<int32_t>(model->config().vocab_size)};
  const auto outside = generator.feed(foreign, {}, LogitsWanted::kLast);
  ASSERT_FALSE(outside);
  EXPECT_NE(outside.error().message.find("but one is 128"), std::string::npos) << outside.error().message;
  EXPECT_EQ(generator.length(), 0);
}

}  // namespace
}  // namespace orrery::testing
