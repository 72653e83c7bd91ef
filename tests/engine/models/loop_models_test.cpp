// Huginn and LoopFormer against independent float64; the goldens' README says how they were made.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/engine/models/changed_folder.h"
#include "tests/engine/models/golden_check.h"

namespace orrery::testing {
namespace {

using Json = nlohmann::json;

const ModelGolden kGoldens[] = {
    {"tiny-huginn", "tiny-huginn", {}},
    {"tiny-huginn-b", "tiny-huginn-b", {}},
    {"tiny-huginn-c", "tiny-huginn-c", {}},
    {"tiny-loopformer", "tiny-loopformer", {}},
    {"tiny-loopformer-b", "tiny-loopformer-b", {}},
    {"tiny-loopformer-c", "tiny-loopformer-c", {}},
};

class LoopModelGolden : public ::testing::TestWithParam<ModelGolden> {};

TEST_P(LoopModelGolden, MatchesTheReferenceInBatchesAndSteps) {
  const ModelGolden& golden = GetParam();
  expect_matches_golden(asset("models") / golden.model, asset("goldens/hybrids") / golden.golden, golden.bounds);
}

INSTANTIATE_TEST_SUITE_P(All, LoopModelGolden, ::testing::ValuesIn(kGoldens), golden_test_name);

// A token leaves where its state hardly moves any more; later ones find the keys and values of the last time that it
// was there. The bound is that of assets/goldens/hybrid_huginn.py.
TEST(LoopModel, TokensLeaveHuginnsLoopAndAreFoundAsTheyLeft) {
  Result<std::shared_ptr<const ModelFile>> file = ModelFile::open(asset("models/tiny-huginn-exits"));
  ASSERT_TRUE(file);
  LoopRequest request;
  request.exit = LoopRequest::Exit{.rule = ExitRule::kStep, .threshold = 0.05f};
  const auto model = Model::load(*file, make_cpu_backend(2), {.progress = {}, .loop = request});
  ASSERT_TRUE(model) << (model ? "" : model.error().message);
  expect_matches_golden(*model, asset("goldens/hybrids/tiny-huginn-exits"), {}, {0, 1, 7});
}

// More or fewer iterations than are stated: LoopFormer's steps become shorter or longer.
TEST(LoopModel, AskedIterationsAreThoseThatAConfigurationWouldState) {
  for (const auto& [name, key] :
       {std::pair("tiny-huginn", "mean_recurrence"), {"tiny-loopformer", "max_model_loops"}}) {
    const auto tokens = read_npy<int32_t>(asset("goldens/hybrids") / name / "tokens.npy").values;
    Result<std::shared_ptr<const ModelFile>> file = ModelFile::open(asset("models") / name);
    ASSERT_TRUE(file);
    LoopRequest request;
    request.n_iterations = 3;
    const auto asked = Model::load(*file, make_cpu_backend(2), {.progress = {}, .loop = request});
    ASSERT_TRUE(asked) << (asked ? "" : asked.error().message);
    EXPECT_EQ(measure(*asked, tokens, 50, false).logits, logits_of(ChangedFolder(name, {{key, 3}}).path(), tokens));
  }
}

TEST(LoopModel, OtherSpellingsOfTheSameSettingsAreTheSameModel) {
  struct Case {
    const char* model;
    Json changes;
  };
  const Json none;
  const Case cases[] = {
      {"tiny-huginn",
       {{"num_attention_heads", none}, {"num_key_value_heads", none}, {"n_embd", none}, {"hidden_size", 18}}},
      {"tiny-huginn", {{"tie_embeddings", none}, {"qk_bias", none}, {"bias", none}, {"rope_base", none}}},
      {"tiny-huginn", {{"tie_embeddings", none}, {"tie_word_embeddings", true}, {"intermediate_size", none}}},
      {"tiny-huginn", {{"injection_type", none}, {"state_init", none}, {"nonlin_name", none}, {"vocab_size", none}}},
      {"tiny-huginn", {{"init_values", {{"std", 0.1490711984999860}, {"embed_scale", 4.2426406871192851}}}}},
      {"tiny-loopformer", {{"bias", none}, {"intermediate_dim", none}, {"n_inner", 29}, {"max_model_loops", 8}}},
      {"tiny-loopformer", {{"n_embd", none}, {"hidden_size", 18}, {"block_size", none}, {"n_positions", 50}}},
      {"tiny-loopformer-c", {{"n_layer", none}, {"num_hidden_layers", 1}, {"n_inner", none}, {"vocab_size", none}}},
  };
  for (const Case& changed : cases) {
    const auto tokens = read_npy<int32_t>(asset("goldens/hybrids") / changed.model / "tokens.npy").values;
    const ChangedFolder folder(changed.model, changed.changes);
    EXPECT_EQ(logits_of(folder.path(), tokens), logits_of(asset("models") / changed.model, tokens)) << changed.changes;
  }
}

// The random state is part of the model: another scale of it is another model.
TEST(LoopModel, WhatALoopBeginsWithMatters) {
  const auto tokens = read_npy<int32_t>(asset("goldens/hybrids/tiny-huginn/tokens.npy")).values;
  const std::vector<float> usual = logits_of(asset("models/tiny-huginn"), tokens);
  for (const Json& changes : {Json{{"init_values", {{"std", 0.3}}}}, Json{{"init_values", {{"std", 0.0}}}},
                              Json{{"init_values", {{"embed_scale", 2.0}}}}}) {
    const std::vector<float> changed = logits_of(ChangedFolder("tiny-huginn", changes).path(), tokens);
    ASSERT_EQ(changed.size(), usual.size());
    EXPECT_NE(changed, usual) << changes;
  }
}

TEST(LoopModel, HuginnsThatCannotBeAreRefusedByKeyAndValue) {
  expect_refused("tiny-huginn", {{"n_embd", 17}}, {"transformer.wte.weight", "17"});
  expect_refused("tiny-huginn", {{"num_attention_heads", 4}, {"num_key_value_heads", nullptr}},
                 {"num_attention_heads must divide", "but is 4"});
  expect_refused("tiny-huginn", {{"num_attention_heads", 9}, {"num_key_value_heads", nullptr}},
                 {"transformer.prelude.0.attn.qk_bias", "[2, 1, 9, 2]"});
  expect_refused("tiny-huginn", {{"num_key_value_heads", 1}}, {"num_key_value_heads", "but is 1"});
  expect_refused("tiny-huginn-b", {{"num_key_value_heads", 1}}, {"Wqkv.weight"});
  expect_refused("tiny-huginn", {{"qk_bias", false}}, {"qk_bias must be true", "prelude.0.attn.qk_bias"});
  expect_refused("tiny-huginn-b", {{"qk_bias", true}}, {"qk_bias must be false", "prelude.0.attn.qk_bias"});
  expect_refused("tiny-huginn", {{"bias", true}}, {"bias must be false", "transformer.adapter.bias"});
  expect_refused("tiny-huginn", {{"tie_embeddings", false}}, {"lm_head.weight is missing"});
  expect_refused("tiny-huginn", {{"intermediate_size", 22}}, {"intermediate_size must be 23", "but is 22"});
  expect_refused("tiny-huginn", {{"padded_vocab_size", 54}}, {"padded_vocab_size must be 53", "but is 54"});
  expect_refused("tiny-huginn", {{"vocab_size", 54}}, {"vocab_size", "54"});
  expect_refused("tiny-huginn", {{"rope_base", 0}}, {"rope_base must be positive", "0"});
  expect_refused("tiny-huginn", {{"norm_eps", -1.0}}, {"norm_eps must be from 0 to 1", "-1"});
  expect_refused("tiny-huginn", {{"init_values", {{"std", -0.1}}}}, {"init_values.std must be from 0", "-0.1"});
  expect_refused("tiny-huginn", {{"test_time_noise", 0.1}}, {"test_time_noise"});
  for (const char* key :
       {"injection_type", "state_init", "block_class_name", "mlp_class_name", "norm_class_name", "nonlin_name"}) {
    expect_refused("tiny-huginn", {{key, "other"}}, {std::string(key) + " must be ", "but is other"});
  }
}

TEST(LoopModel, LoopsThatCannotBeAreRefusedByKeyAndValue) {
  expect_refused("tiny-huginn", {{"mean_recurrence", 0}}, {"mean_recurrence", "0"});
  expect_refused("tiny-huginn", {{"n_layers_in_coda", 0}}, {"n_layers_in_coda", "0"});
  expect_refused("tiny-huginn", {{"n_layers_in_recurrent_block", 0}}, {"n_layers_in_recurrent_block", "0"});
  expect_refused("tiny-huginn", {{"n_layers_in_recurrent_block", 4}}, {"transformer.core_block.3."});
  expect_refused("tiny-huginn", {{"n_layers_in_recurrent_block", 2}}, {"transformer.core_block.2.", "does not know"});
  expect_refused("tiny-huginn", {{"n_layers_in_prelude", 1}}, {"transformer.prelude.1.", "does not know"});
  expect_refused("tiny-loopformer", {{"max_model_loops", 0}}, {"max_model_loops", "0"});
  expect_refused("tiny-loopformer", {{"max_model_loops", 1.5}}, {"max_model_loops", "1.5"});
}

TEST(LoopModel, LoopFormersThatCannotBeAreRefusedByKeyAndValue) {
  expect_refused("tiny-loopformer", {{"n_embd", 17}}, {"transformer.wte.weight", "17"});
  expect_refused("tiny-loopformer", {{"n_head", 4}}, {"n_head must divide", "but is 4"});
  expect_refused("tiny-loopformer", {{"n_layer", 3}}, {"transformer.h.blocks.2.mlp.c_fc.weight is missing"});
  expect_refused("tiny-loopformer", {{"n_layer", 1}}, {"transformer.h.blocks.1.", "does not know"});
  expect_refused("tiny-loopformer", {{"intermediate_dim", 30}}, {"intermediate_dim must be 29", "but is 30"});
  expect_refused("tiny-loopformer", {{"block_size", 49}}, {"block_size must be 50", "but is 49"});
  expect_refused("tiny-loopformer", {{"vocab_size", 48}}, {"vocab_size must be 47", "but is 48"});
  expect_refused("tiny-loopformer", {{"bias", true}}, {"bias must be false", "c_attn.bias"});
  expect_refused("tiny-loopformer-b", {{"bias", false}}, {"bias must be true", "gpt.transformer.h.blocks.0"});
}

// Learned positions end.
TEST(LoopModel, ATextLongerThanItsPositionsIsRefusedAndTheSequenceStays) {
  const auto model = load_model(asset("models/tiny-loopformer"));
  ASSERT_NE(model, nullptr);
  Generator generator(model, DType::kF32);
  const std::vector<int32_t> tokens(49, 3);
  ASSERT_TRUE(generator.feed(tokens, {}, LogitsWanted::kLast));
  const auto refused = generator.feed(std::vector<int32_t>{1, 2}, {}, LogitsWanted::kLast);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(refused.error().message.find("learned positions of this model are 50"), std::string::npos)
      << refused.error().message;
  EXPECT_EQ(generator.length(), 49);
  EXPECT_TRUE(generator.feed(std::vector<int32_t>{1}, {}, LogitsWanted::kLast));
}

}  // namespace
}  // namespace orrery::testing
