// ttt, TTT-Linear and TTT-MLP, against independent float64; the goldens' README says how they were made.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/engine/models/changed_folder.h"
#include "tests/engine/models/golden_check.h"

namespace orrery::testing {
namespace {

using Json = nlohmann::json;

const ModelGolden kGoldens[] = {
    {"tiny-ttt-linear", "tiny-ttt-linear", {}},
    {"tiny-ttt-linear-b", "tiny-ttt-linear-b", {}},
    {"tiny-ttt-mlp", "tiny-ttt-mlp", {}},
    {"tiny-ttt-mlp-b", "tiny-ttt-mlp-b", {}},
};

class TttGolden : public ::testing::TestWithParam<ModelGolden> {};

TEST_P(TttGolden, MatchesTheReferenceInBatchesAndSteps) {
  const ModelGolden& golden = GetParam();
  expect_matches_golden(asset("models") / golden.model, asset("goldens/hybrids") / golden.golden, golden.bounds);
}

INSTANTIATE_TEST_SUITE_P(All, TttGolden, ::testing::ValuesIn(kGoldens), golden_test_name);

std::vector<int32_t> tokens_of(const std::string& model) {
  return read_npy<int32_t>(asset("goldens/hybrids") / model / "tokens.npy").values;
}

// Over 200 tokens, 12 and 28 mini-batches and a half: tokens go through the layers one after the other in both.
TEST(Ttt, APromptGivesTheBitsOfItsTokensOneByOne) {
  for (const char* name : {"tiny-ttt-linear", "tiny-ttt-mlp"}) {
    const auto model = load_model(asset("models") / name);
    ASSERT_NE(model, nullptr);
    const std::vector<int32_t> tokens = tokens_of(name);
    ASSERT_EQ(tokens.size(), 200U);
    const Measured at_once = measure(model, tokens, 200), one_by_one = measure(model, tokens, 1);
    EXPECT_EQ(at_once.fast_loss_before, one_by_one.fast_loss_before) << name;
    EXPECT_EQ(at_once.fast_drift, one_by_one.fast_drift) << name;
    EXPECT_EQ(at_once.logits, one_by_one.logits) << name;
    EXPECT_EQ(measure(model, tokens, 200, false).logits, at_once.logits) << name << " without probes";
  }
}

// Another text begins with the learned weights again.
TEST(Ttt, AResetForgetsWhatWasLearned) {
  const auto model = load_model(asset("models/tiny-ttt-mlp"));
  ASSERT_NE(model, nullptr);
  const std::vector<int32_t> tokens = tokens_of("tiny-ttt-mlp");
  Generator generator(model, DType::kF32);
  const auto logits_after = [&](std::span<const int32_t> fed) {
    const auto logits = generator.feed(fed, {}, LogitsWanted::kLast);
    EXPECT_TRUE(logits.has_value());
    return std::vector<float>(logits->row(0), logits->row(0) + logits->n_cols);
  };
  const std::vector<float> first = logits_after(std::span(tokens).first(40));
  const std::vector<float> next = logits_after(std::span(tokens).subspan(40, 9));
  EXPECT_NE(first, next);
  generator.reset();
  EXPECT_EQ(logits_after(std::span(tokens).first(40)), first);
  EXPECT_EQ(logits_after(std::span(tokens).subspan(40, 9)), next);
}

TEST(Ttt, OtherSpellingsOfTheSameSettingsAreTheSameModel) {
  struct Case {
    const char* model;
    Json changes;
  };
  const Json none;
  const Case cases[] = {
      {"tiny-ttt-linear", {{"ttt_layer_type", none}, {"share_qk", none}, {"use_gate", none}, {"pre_conv", none}}},
      {"tiny-ttt-linear", {{"intermediate_size", none}, {"hidden_act", none}, {"mini_batch_size", none}}},
      {"tiny-ttt-linear", {{"scan_checkpoint_group_size", 4}, {"pretraining_tp", none}, {"vocab_size", none}}},
      {"tiny-ttt-linear-b", {{"tie_word_embeddings", none}, {"ttt_base_lr", none}, {"conv_kernel", none}}},
      {"tiny-ttt-linear-b", {{"rms_norm_eps", none}, {"rope_theta", 10000.0}, {"rope_scaling", none}}},
      {"tiny-ttt-mlp-b", {{"ttt_base_lr", 1.0}, {"share_qk", false}, {"tie_word_embeddings", true}}},
  };
  for (const Case& changed : cases) {
    const ChangedFolder folder(changed.model, changed.changes);
    const std::vector<int32_t> tokens = tokens_of(changed.model);
    EXPECT_EQ(logits_of(folder.path(), tokens), logits_of(asset("models") / changed.model, tokens)) << changed.changes;
  }
}

TEST(Ttt, SettingsCount) {
  const std::vector<int32_t> tokens = tokens_of("tiny-ttt-linear");
  const std::vector<float> logits = logits_of(asset("models/tiny-ttt-linear"), tokens);
  for (const Json& changes : {Json{{"ttt_base_lr", 0.4}}, Json{{"rope_theta", 300.0}}}) {
    EXPECT_NE(logits_of(ChangedFolder("tiny-ttt-linear", changes).path(), tokens), logits) << changes;
  }
}

TEST(Ttt, WhatCannotBeIsRefusedByKeyAndValue) {
  expect_refused("tiny-ttt-linear", {{"ttt_layer_type", "attention"}}, {"ttt_layer_type", "but is attention"});
  expect_refused("tiny-ttt-linear", {{"ttt_layer_type", "mlp"}}, {"layers.0.seq_modeling_block.W2", "is missing"});
  expect_refused("tiny-ttt-mlp", {{"ttt_layer_type", "linear"}}, {"layers.0.seq_modeling_block.W1"});
  expect_refused("tiny-ttt-linear", {{"num_attention_heads", 4}}, {"num_attention_heads must divide", "but is 4"});
  expect_refused("tiny-ttt-linear", {{"num_attention_heads", 2}}, {"an even width", "but is 2"});
  expect_refused("tiny-ttt-linear", {{"num_attention_heads", 5}}, {"seq_modeling_block."});
  expect_refused("tiny-ttt-linear", {{"num_attention_heads", nullptr}}, {"num_attention_heads"});
  expect_refused("tiny-ttt-linear", {{"mini_batch_size", 8}}, {"mini_batch_size must be 16", "but is 8"});
  expect_refused("tiny-ttt-linear", {{"ttt_base_lr", -1.0}}, {"ttt_base_lr must not be negative", "-1"});
  expect_refused("tiny-ttt-linear", {{"ttt_base_lr", "much"}}, {"ttt_base_lr", "much"});
  expect_refused("tiny-ttt-linear", {{"rope_theta", 0}}, {"rope_theta must be positive", "0"});
  expect_refused("tiny-ttt-linear", {{"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}}}, {"rope_scaling"});
  expect_refused("tiny-ttt-linear", {{"use_gate", true}}, {"g_proj.weight", "is missing"});
  expect_refused("tiny-ttt-linear", {{"share_qk", true}}, {"conv_q.weight", "is missing"});
  expect_refused("tiny-ttt-linear", {{"pre_conv", true}}, {"layers.0.conv.conv.weight", "is missing"});
  expect_refused("tiny-ttt-linear", {{"hidden_act", "mish"}}, {"hidden_act", "mish"});
  expect_refused("tiny-ttt-linear", {{"intermediate_size", 38}}, {"intermediate_size must be 37", "but is 38"});
  expect_refused("tiny-ttt-linear", {{"tie_word_embeddings", "yes"}}, {"tie_word_embeddings"});
  expect_refused("tiny-ttt-linear-b", {{"use_gate", false}}, {"g_proj.weight"});
  expect_refused("tiny-ttt-linear-b", {{"share_qk", false}}, {"k_proj.weight", "is missing"});
  expect_refused("tiny-ttt-linear-b", {{"pre_conv", false}}, {"layers.0.conv."});
  expect_refused("tiny-ttt-linear-b", {{"conv_kernel", 4}}, {"conv_kernel must be 3", "but is 4"});
  expect_refused("tiny-ttt-mlp-b", {{"quantization_config", {{"quant_method", "gptq"}}}}, {"quantization_config"});
}

}  // namespace
}  // namespace orrery::testing
