// RWKV-7 against an independent float64, recurrent_gemma against transformers; the goldens' README says how they were
// made.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "tests/engine/models/changed_folder.h"
#include "tests/engine/models/golden_check.h"

namespace orrery::testing {
namespace {

using Json = nlohmann::json;

const ModelGolden kGoldens[] = {
    {"tiny-rwkv7", "tiny-rwkv7", {}},
    {"tiny-rwkv7-b", "tiny-rwkv7-b", {}},
    {"tiny-rwkv7-b.f32.gguf", "tiny-rwkv7-b", {}},
    {"tiny-rwkv7-c", "tiny-rwkv7-c", {}},
    {"tiny-recurrent-gemma", "tiny-recurrent-gemma", {}},
    {"tiny-recurrent-gemma-b", "tiny-recurrent-gemma-b", {}},
};

class HybridEGolden : public ::testing::TestWithParam<ModelGolden> {};

TEST_P(HybridEGolden, MatchesTheReferenceInBatchesAndSteps) {
  const ModelGolden& golden = GetParam();
  expect_matches_golden(asset("models") / golden.model, asset("goldens/hybrids") / golden.golden, golden.bounds);
}

INSTANTIATE_TEST_SUITE_P(All, HybridEGolden, ::testing::ValuesIn(kGoldens), golden_test_name);

TEST(HybridE, OtherSpellingsOfTheSameSettingsAreTheSameModel) {
  struct Case {
    const char* model;
    Json changes;
  };
  const Json none;
  const Case cases[] = {
      {"tiny-rwkv7", {{"value_dim", 39}, {"intermediate_size", none}, {"num_heads", 3}, {"attn", none}}},
      {"tiny-rwkv7", {{"fuse_norm", none}, {"norm_first", none}, {"norm_bias", none}, {"hidden_act", none}}},
      {"tiny-rwkv7-b",
       {{"decay_low_rank_dim", none}, {"gate_low_rank_dim", none}, {"a_low_rank_dim", none}, {"v_low_rank_dim", none}}},
      {"tiny-rwkv7-c", {{"num_heads", none}, {"head_dim", 13}, {"norm_bias", none}, {"norm_eps", none}}},
      {"tiny-recurrent-gemma",
       {{"rope_parameters", none}, {"rope_theta", 5000.0}, {"lru_width", none}, {"head_dim", none}}},
      {"tiny-recurrent-gemma", {{"block_types", {"recurrent", "attention", "recurrent", "recurrent"}}}},
      {"tiny-recurrent-gemma", {{"intermediate_size", 63}, {"tie_word_embeddings", none}, {"conv1d_width", none}}},
      {"tiny-recurrent-gemma-b",
       {{"block_types", {"recurrent", "recurrent", "attention"}},
        {"logits_soft_cap", 30.0},
        {"lru_width", 24},
        {"num_key_value_heads", 2},
        {"partial_rotary_factor", none},
        {"hidden_activation", none}}},
  };
  for (const Case& changed : cases) {
    const auto tokens = read_npy<int32_t>(asset("goldens/hybrids") / changed.model / "tokens.npy").values;
    const ChangedFolder folder(changed.model, changed.changes);
    EXPECT_EQ(logits_of(folder.path(), tokens), logits_of(asset("models") / changed.model, tokens)) << changed.changes;
  }
}

TEST(HybridE, WhatCannotBeIsRefusedByKeyAndValue) {
  expect_refused("tiny-rwkv7", {{"head_dim", 10}}, {"head_dim must divide the 33 rows", "but is 10"});
  expect_refused("tiny-rwkv7", {{"head_dim", 0}}, {"head_dim", "0"});
  expect_refused("tiny-rwkv7", {{"value_dim", 33}}, {"value_dim must be 39", "but is 33"});
  expect_refused("tiny-rwkv7", {{"value_dim", {39, 39, 13}}}, {"value_dim must be 39", "but is 13"});
  expect_refused("tiny-rwkv7", {{"value_dim", {39, 39}}}, {"value_dim"});
  expect_refused("tiny-rwkv7", {{"head_dim", 3}}, {"be a multiple of the 11 heads", "but is 39"});
  expect_refused("tiny-rwkv7", {{"intermediate_size", 48}}, {"intermediate_size must be 47", "but is 48"});
  expect_refused("tiny-rwkv7", {{"decay_low_rank_dim", 6}}, {"decay_low_rank_dim must be 5", "but is 6"});
  expect_refused("tiny-rwkv7", {{"gate_low_rank_dim", 8}}, {"gate_low_rank_dim must be 9", "but is 8"});
  expect_refused("tiny-rwkv7", {{"v_low_rank_dim", 4}}, {"v_low_rank_dim must be 3", "layers.1.attn.v_lora", "is 4"});
  expect_refused("tiny-rwkv7", {{"hidden_act", "relu"}}, {"hidden_act must be sqrelu", "relu"});
  expect_refused("tiny-rwkv7", {{"attn", {{"layers", {1}}, {"num_heads", 3}}}}, {"attn", "cannot be run"});
  expect_refused("tiny-rwkv7", {{"norm_first", false}}, {"norm_first must be true", "pre_norm", "false"});
  expect_refused("tiny-rwkv7", {{"norm_bias", false}}, {"layers.", "norm.bias"});
  expect_refused("tiny-rwkv7", {{"norm_eps", 2.0}}, {"norm_eps must be from 0 to 1", "2"});
  expect_refused("tiny-rwkv7", {{"num_hidden_layers", 2}, {"value_dim", 39}}, {"layers.2."});
  expect_refused("tiny-rwkv7", {{"num_hidden_layers", 4}, {"value_dim", 39}}, {"layers.3.", "missing"});
  expect_refused("tiny-rwkv7-c", {{"num_heads", 3}}, {"num_heads must divide the 26 channels", "but is 3"});
  expect_refused("tiny-rwkv7-c", {{"norm_first", true}}, {"norm_first must be false", "pre_norm", "true"});
  expect_refused("tiny-rwkv7-c", {{"norm_bias", true}}, {"norm.bias", "missing"});

  const char* gemma = "tiny-recurrent-gemma";
  expect_refused(gemma, {{"block_types", Json::array()}}, {"block_types", "0"});
  expect_refused(gemma, {{"block_types", {"recurrent", "mamba"}}}, {"block_types", "mamba"});
  expect_refused(gemma, {{"block_types", {"recurrent"}}}, {"layers.1.temporal_block.linear_x.weight", "missing"});
  expect_refused(gemma, {{"block_types", "recurrent"}}, {"block_types"});
  expect_refused(gemma, {{"lru_width", 36}}, {"lru_width must be 33", "but is 36"});
  expect_refused(gemma, {{"num_attention_heads", 4}}, {"num_attention_heads must be 3", "but is 4"});
  expect_refused(gemma, {{"num_key_value_heads", 2}}, {"num_key_value_heads", "2"});
  expect_refused(gemma, {{"conv1d_width", 3}}, {"conv1d_width must be 4", "but is 3"});
  expect_refused(gemma, {{"attention_window_size", 0}}, {"attention_window_size", "0"});
  expect_refused(gemma, {{"logits_soft_cap", 0}}, {"logits_soft_cap must be positive", "0"});
  expect_refused(gemma, {{"intermediate_size", 60}}, {"intermediate_size must be twice the 31", "but is 60"});
  expect_refused(gemma, {{"hidden_activation", "mish"}}, {"hidden_activation", "mish"});
  expect_refused(gemma, {{"rope_parameters", {{"rope_type", "yarn"}}}}, {"rope_type must be default", "yarn"});
  expect_refused(gemma, {{"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}}}, {"rope_scaling"});
  expect_refused(gemma, {{"head_dim", 13}}, {"q_proj"});
}

// What loading says of a copy of tiny-rwkv7-b.f32.gguf with some text changed for another of the same length.
std::string refusal_of_gguf(const std::string& from, const std::string& to) {
  std::ifstream in(asset("models") / "tiny-rwkv7-b.f32.gguf", std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const size_t at = bytes.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  if (at != std::string::npos) bytes.replace(at, from.size(), to);
  const std::filesystem::path path = std::filesystem::path(::testing::TempDir()) / "orrery_changed_rwkv7.gguf";
  std::ofstream(path, std::ios::binary) << bytes;
  const auto model = Model::load(path, make_cpu_backend(1));
  std::filesystem::remove(path);
  return model ? "it was loaded" : model.error().message;
}

TEST(HybridE, KeysAndTensorsThatAGgufFileLacksAreRefusedByName) {
  const auto expect_says = [](const std::string& refusal, const std::vector<std::string>& parts) {
    for (const std::string& part : parts) EXPECT_NE(refusal.find(part), std::string::npos) << refusal;
  };
  expect_says(refusal_of_gguf("wkv.head_size", "wkv.head_sizf"), {"rwkv7.wkv.head_size"});
  expect_says(refusal_of_gguf("token_embd_norm.bias", "token_embd_norm.bibs"), {"token_embd_norm.bias", "missing"});
  expect_says(refusal_of_gguf("blk.1.time_mix_v2", "blk.1.time_mix_u2"), {"blk.1.time_mix_v2.weight", "missing"});
  expect_says(refusal_of_gguf("blk.1.channel_mix_lerp_k", "blk.1.channel_mix_lerp_q"), {"blk.1.channel_mix_lerp_k"});
  // The first layer's are dummies.
  EXPECT_EQ(refusal_of_gguf("blk.0.time_mix_v2", "xlk.0.time_mix_v2"), "it was loaded");
}

}  // namespace
}  // namespace orrery::testing
