// lfm2, lfm2_moe, lfm3, mamba, falcon_mamba, mamba2 and jamba against transformers; the goldens' README says how they
// were made.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <string>

#include "tests/engine/models/changed_folder.h"
#include "tests/engine/models/golden_check.h"

namespace orrery::testing {
namespace {

using Json = nlohmann::json;

const ModelGolden kGoldens[] = {
    {"tiny-lfm2", "tiny-lfm2"},
    {"tiny-lfm2-b", "tiny-lfm2-b"},
    {"tiny-lfm2-b.f32.gguf", "tiny-lfm2-b"},
    {"tiny-lfm2-moe", "tiny-lfm2-moe"},
    {"tiny-lfm2-moe.f32.gguf", "tiny-lfm2-moe"},
    {"tiny-lfm2-moe-b", "tiny-lfm2-moe-b"},
    {"tiny-lfm3", "tiny-lfm3"},
    {"tiny-lfm3-b", "tiny-lfm3-b"},
    {"tiny-mamba", "tiny-mamba"},
    {"tiny-mamba.f32.gguf", "tiny-mamba"},
    {"tiny-mamba-b", "tiny-mamba-b"},
    {"tiny-falcon-mamba", "tiny-falcon-mamba"},
    {"tiny-falcon-mamba-b", "tiny-falcon-mamba-b"},
    {"tiny-falcon-mamba-b.f32.gguf", "tiny-falcon-mamba-b"},
    {"tiny-mamba2", "tiny-mamba2"},
    {"tiny-mamba2-b", "tiny-mamba2-b"},
    {"tiny-mamba2-b.f32.gguf", "tiny-mamba2-b"},
    {"tiny-mamba2-c", "tiny-mamba2-c"},
    {"tiny-jamba", "tiny-jamba"},
    {"tiny-jamba.f32.gguf", "tiny-jamba"},
    {"tiny-jamba-b", "tiny-jamba-b"},
};

class HybridAGolden : public ::testing::TestWithParam<ModelGolden> {};

TEST_P(HybridAGolden, MatchesTransformersInBatchesAndSteps) {
  const ModelGolden& golden = GetParam();
  expect_matches_golden(asset("models") / golden.model, asset("goldens/hybrids") / golden.golden);
}

INSTANTIATE_TEST_SUITE_P(All, HybridAGolden, ::testing::ValuesIn(kGoldens), golden_test_name);

std::vector<int32_t> tokens_of(const char* golden) {
  return read_npy<int32_t>(asset("goldens/hybrids") / golden / "tokens.npy").values;
}

const Json kNone;

TEST(HybridsA, OtherSpellingsOfTheSameSettingsAreTheSameModel) {
  struct Case {
    const char* model;
    Json changes;
  };
  const Case cases[] = {
      {"tiny-lfm2",
       {{"full_attn_idxs", kNone},
        {"layer_types", {"conv", "full_attention", "conv", "full_attention", "conv"}},
        {"block_ff_dim", kNone},
        {"intermediate_size", 37},
        {"rope_theta", kNone},
        {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 54321.0}}},
        {"tie_embedding", kNone},
        {"tie_word_embeddings", true}}},
      {"tiny-lfm2", {{"tie_embedding", true}, {"tie_word_embeddings", false}}},  // the first name comes first
      {"tiny-lfm2-moe", {{"rope_parameters", kNone}, {"rope_theta", 20000.0}, {"tie_embedding", true}}},
      {"tiny-mamba", {{"time_step_rank", kNone}, {"intermediate_size", kNone}, {"expand", kNone}}},
      {"tiny-mamba-b", {{"time_step_rank", 2}, {"intermediate_size", 57}}},
      {"tiny-falcon-mamba", {{"expand", 16}, {"intermediate_size", 44}}},  // the width comes first
      {"tiny-mamba2-b", {{"time_step_limit", kNone}}},
      {"tiny-mamba2-b", {{"time_step_limit", {0.0, {{"__float__", "Infinity"}}}}}},
      {"tiny-jamba", {{"mamba_dt_rank", "auto"}}},
  };
  for (const Case& changed : cases) {
    const auto tokens = tokens_of(changed.model);
    const ChangedFolder folder(changed.model, changed.changes);
    EXPECT_EQ(logits_of(folder.path(), tokens), logits_of(asset("models") / changed.model, tokens)) << changed.changes;
  }
}

TEST(HybridsA, SizesThatAreNotStatedComeFromTheTensors) {
  struct Case {
    const char* model;
    std::vector<std::string> keys;
  };
  const Case cases[] = {
      {"tiny-lfm2", {"conv_L_cache", "block_ff_dim", "num_attention_heads", "num_key_value_heads", "vocab_size"}},
      {"tiny-lfm2-moe", {"conv_L_cache", "num_experts", "moe_intermediate_size", "intermediate_size"}},
      {"tiny-lfm3", {"conv_L_cache", "head_dim", "num_attention_heads", "num_key_value_heads"}},
      {"tiny-mamba", {"state_size", "conv_kernel", "time_step_rank", "intermediate_size", "expand"}},
      {"tiny-mamba2", {"state_size", "conv_kernel", "num_heads", "head_dim", "expand"}},
      {"tiny-jamba", {"mamba_d_state", "mamba_d_conv", "mamba_expand", "mamba_dt_rank", "num_key_value_heads"}},
  };
  for (const Case& missing : cases) {
    Json changes;
    for (const std::string& key : missing.keys) changes[key] = kNone;
    const ChangedFolder folder(missing.model, changes);
    const auto tokens = tokens_of(missing.model);
    EXPECT_EQ(logits_of(folder.path(), tokens), logits_of(asset("models") / missing.model, tokens)) << missing.model;
  }
}

TEST(HybridsA, ListsOfLayersThatCannotBeAreRefused) {
  expect_refused("tiny-lfm2-b", {{"layer_types", {"conv", "full_attention"}}}, {"layer_types", "4 texts"});
  expect_refused("tiny-lfm2-b", {{"layer_types", {"conv", "full_attention", "mamba", "conv"}}},
                 {"layer_types", "mamba"});
  expect_refused("tiny-lfm2-b", {{"layer_types", {"conv", "full_attention", "sliding_attention", "conv"}}},
                 {"layer_types", "sliding_attention"});
  expect_refused("tiny-lfm2-b", {{"layer_types", {"conv", "full_attention", "conv", "conv"}}}, {"layers.2.conv"});
  expect_refused("tiny-lfm2", {{"full_attn_idxs", {1, 5}}}, {"full_attn_idxs", "from 0 to 4", "[1,5]"});
  expect_refused("tiny-lfm2", {{"full_attn_idxs", {1, -1}}}, {"full_attn_idxs", "[1,-1]"});
  expect_refused("tiny-lfm2", {{"full_attn_idxs", "1, 3"}}, {"full_attn_idxs"});
  expect_refused("tiny-lfm3", {{"layer_types", {"conv", "full_attention", "attention", "conv", "conv"}}},
                 {"layer_types", "has attention"});
  expect_refused("tiny-lfm3", {{"sliding_window", 0}}, {"sliding_window", "0"});
  expect_refused("tiny-lfm2-moe", {{"num_dense_layers", 5}}, {"num_dense_layers", "5"});
  expect_refused("tiny-jamba", {{"attn_layer_period", 0}}, {"attn_layer_period", "0"});
  expect_refused("tiny-jamba", {{"attn_layer_offset", 3}}, {"attn_layer_offset", "from 0 to 2", "3"});
  expect_refused("tiny-jamba", {{"expert_layer_offset", 2}}, {"expert_layer_offset", "2"});
  expect_refused("tiny-jamba", {{"attn_layer_offset", 0}}, {"layers.0.self_attn"});
}

TEST(HybridsA, SettingsThatContradictTheTensorsAreRefused) {
  expect_refused("tiny-lfm2", {{"conv_L_cache", 4}}, {"conv_L_cache", "must be 3", "is 4"});
  expect_refused("tiny-lfm2", {{"block_ff_dim", 60}}, {"block_ff_dim", "35", "60"});
  expect_refused("tiny-lfm2", {{"block_multiple_of", 0}}, {"block_multiple_of", "0"});
  expect_refused("tiny-lfm2", {{"num_key_value_heads", 4}}, {"num_key_value_heads", "divide", "4"});
  expect_refused("tiny-lfm2", {{"num_experts", 4}}, {"num_experts", "4"});
  expect_refused("tiny-lfm2-moe", {{"intermediate_size", 32}}, {"intermediate_size", "31", "32"});
  expect_refused("tiny-lfm2-moe", {{"moe_intermediate_size", 10}}, {"moe_intermediate_size", "9", "10"});
  expect_refused("tiny-lfm2-moe", {{"num_experts", 8}}, {"num_experts", "7", "8"});
  expect_refused("tiny-lfm2-moe", {{"num_experts", 0}}, {"num_experts", "is 0"});
  expect_refused("tiny-lfm2-moe", {{"num_experts_per_tok", 8}}, {"num_experts_per_tok", "from 1 to 7", "8"});
  expect_refused("tiny-lfm2-moe", {{"num_experts_per_tok", 0}}, {"num_experts_per_tok", "0"});
  expect_refused("tiny-lfm3", {{"head_dim", 12}}, {"q_proj", "36", "30"});
  expect_refused("tiny-lfm3-b", {{"intermediate_size", 30}}, {"intermediate_size", "31", "30"});
  expect_refused("tiny-mamba", {{"state_size", 6}}, {"state_size", "must be 5", "is 6"});
  expect_refused("tiny-mamba", {{"conv_kernel", 3}}, {"conv_kernel", "must be 4", "is 3"});
  expect_refused("tiny-mamba", {{"time_step_rank", 4}}, {"time_step_rank", "must be 3", "is 4"});
  expect_refused("tiny-mamba", {{"time_step_rank", "big"}}, {"time_step_rank", "big"});
  expect_refused("tiny-mamba", {{"expand", 3}, {"intermediate_size", kNone}}, {"expand", "52", "3"});
  expect_refused("tiny-mamba", {{"hidden_act", "gelu"}}, {"hidden_act", "gelu"});
  expect_refused("tiny-mamba2", {{"num_heads", 7}}, {"num_heads", "must be 6", "is 7"});
  expect_refused("tiny-mamba2", {{"head_dim", 6}}, {"head_dim", "must be 7", "is 6"});
  expect_refused("tiny-mamba2", {{"expand", 3}}, {"expand", "42 of 21", "3"});
  expect_refused("tiny-mamba2", {{"layer_norm_epsilon", -1e-5}}, {"layer_norm_epsilon", "from 0 to 1"});
  expect_refused("tiny-mamba2", {{"n_groups", 4}}, {"n_groups", "divide", "4"});
  expect_refused("tiny-mamba2", {{"n_groups", 1}}, {"state_size", "must be 10", "is 5"});
  expect_refused("tiny-mamba2", {{"state_size", 1073741824}}, {"state_size", "1073741824"});
  expect_refused("tiny-mamba2", {{"time_step_limit", {0.9, 0.1}}}, {"time_step_limit", "[0.9,0.1]"});
  expect_refused("tiny-mamba2", {{"time_step_limit", {0.9}}}, {"time_step_limit"});
  expect_refused("tiny-jamba", {{"num_experts", 6}}, {"num_experts", "5", "6"});
  expect_refused("tiny-jamba", {{"num_experts", 0}}, {"num_experts", "0"});
  expect_refused("tiny-jamba", {{"num_experts_per_tok", 6}}, {"num_experts_per_tok", "6"});
  expect_refused("tiny-jamba", {{"mamba_d_state", 4}}, {"mamba_d_state", "must be 5", "is 4"});
  expect_refused("tiny-jamba", {{"mamba_expand", 4}}, {"mamba_expand", "40", "4"});
}

TEST(HybridsA, BiasesThatAreNotAsStatedAreRefused) {
  expect_refused("tiny-lfm2", {{"conv_bias", false}}, {"conv_bias", "must be true", "is false"});
  expect_refused("tiny-lfm2-b", {{"conv_bias", true}}, {"conv_bias", "must be false", "is true"});
  expect_refused("tiny-lfm2-b", {{"conv_bias", 1}}, {"conv_bias", "is 1"});
  expect_refused("tiny-lfm3", {{"attention_bias", true}}, {"attention_bias", "must be false"});
  expect_refused("tiny-mamba", {{"use_bias", true}}, {"use_bias", "must be false"});
  expect_refused("tiny-mamba", {{"use_conv_bias", false}}, {"use_conv_bias", "must be true"});
  expect_refused("tiny-mamba2", {{"use_bias", false}}, {"use_bias", "must be true"});
  expect_refused("tiny-mamba2-b", {{"use_conv_bias", false}}, {"use_conv_bias", "must be true"});
  expect_refused("tiny-jamba", {{"mamba_proj_bias", true}}, {"mamba_proj_bias", "must be false"});
  expect_refused("tiny-jamba", {{"mamba_conv_bias", false}}, {"mamba_conv_bias", "must be true"});
}

TEST(HybridsA, OddRotationsAreRefused) {
  expect_refused("tiny-lfm2", {{"partial_rotary_factor", 0.8}}, {"even", "3"});
  expect_refused("tiny-lfm3", {{"head_dim", 9}}, {"even", "9"});
  expect_refused("tiny-lfm3", {{"rope_parameters", {{"full_attention", {{"partial_rotary_factor", 1.5}}}}}},
                 {"partial_rotary_factor", "1.5"});
}

TEST(HybridsA, LayersAreLabelledByTheirKinds) {
  const auto label = [](const char* model, int32_t layer) {
    const auto loaded = load_model(asset("models") / model);
    return loaded == nullptr ? "" : layer_label(loaded->config(), layer);
  };
  EXPECT_EQ(label("tiny-lfm2", 0), "0 convolution");
  EXPECT_EQ(label("tiny-lfm3", 2), "2 attention, window 13");
  EXPECT_EQ(label("tiny-mamba2", 1), "1 Mamba-2");
  EXPECT_EQ(label("tiny-jamba", 0), "0 Mamba");
}

}  // namespace
}  // namespace orrery::testing
