// Granite 4.0 H, Bamba, Falcon-H1, Nemotron-H, Qwen3-Next, OLMo Hybrid and Zamba2 against transformers; the goldens'
// README says how they were made.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tests/engine/models/changed_folder.h"
#include "tests/engine/models/golden_check.h"

namespace orrery::testing {
namespace {

using Json = nlohmann::json;

const ModelGolden kGoldens[] = {
    {"tiny-granite-hybrid", "tiny-granite-hybrid"},
    {"tiny-granite-hybrid.f32.gguf", "tiny-granite-hybrid"},
    {"tiny-granite-hybrid-dense", "tiny-granite-hybrid-dense"},
    {"tiny-bamba", "tiny-bamba"},
    {"tiny-bamba.f32.gguf", "tiny-bamba"},
    {"tiny-bamba-b", "tiny-bamba-b"},
    {"tiny-falcon-h1", "tiny-falcon-h1"},
    {"tiny-falcon-h1.f32.gguf", "tiny-falcon-h1"},
    {"tiny-falcon-h1-b", "tiny-falcon-h1-b"},
    {"tiny-falcon-h1-c", "tiny-falcon-h1-c"},
    {"tiny-falcon-h1-c.f32.gguf", "tiny-falcon-h1-c"},
    {"tiny-nemotron-h", "tiny-nemotron-h"},
    {"tiny-nemotron-h-b", "tiny-nemotron-h-b"},
    {"tiny-nemotron-h-b.f32.gguf", "tiny-nemotron-h-b"},
    {"tiny-nemotron-h-moe", "tiny-nemotron-h-moe"},
    {"tiny-nemotron-h-moe-b", "tiny-nemotron-h-moe-b"},
    {"tiny-nemotron-h-moe-b.f32.gguf", "tiny-nemotron-h-moe-b"},
    {"tiny-nemotron-h-moe-c", "tiny-nemotron-h-moe-c"},
    {"tiny-nemotron-h-moe-c.f32.gguf", "tiny-nemotron-h-moe-c"},
    {"tiny-qwen3-next", "tiny-qwen3-next"},
    {"tiny-qwen3-next.f32.gguf", "tiny-qwen3-next"},
    {"tiny-qwen3-next-b", "tiny-qwen3-next-b"},
    {"tiny-olmo-hybrid", "tiny-olmo-hybrid"},
    {"tiny-olmo-hybrid-b", "tiny-olmo-hybrid-b"},
    {"tiny-zamba2", "tiny-zamba2"},
    {"tiny-zamba2-b", "tiny-zamba2-b"},
};

class HybridGoldenB : public ::testing::TestWithParam<ModelGolden> {};

TEST_P(HybridGoldenB, MatchesTransformersInBatchesAndSteps) {
  const ModelGolden& golden = GetParam();
  expect_matches_golden(asset("models") / golden.model, asset("goldens/hybrids") / golden.golden);
}

INSTANTIATE_TEST_SUITE_P(All, HybridGoldenB, ::testing::ValuesIn(kGoldens), golden_test_name);

std::vector<int32_t> tokens_of(const char* golden) {
  return read_npy<int32_t>(asset("goldens/hybrids") / golden / "tokens.npy").values;
}

TEST(HybridsB, OtherSpellingsOfTheSameSettingsAreTheSameModel) {
  struct Case {
    const char* model;
    Json changes;
  };
  const Json none;
  const Case cases[] = {
      {"tiny-granite-hybrid",
       {{"layer_types", none},
        {"layers_block_type", {"linear_attention", "full_attention", "linear_attention", "full_attention"}},
        {"position_embedding_type", none},
        {"mamba_d_head", 7}}},
      {"tiny-granite-hybrid-dense",
       {{"layer_types", {"mamba", "attention", "mamba"}}, {"rope_parameters", none}, {"rope_theta", 5000.0}}},
      {"tiny-bamba",
       {{"rope_theta", none},
        {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 3000.0}, {"partial_rotary_factor", 0.5}}},
        {"attn_layer_indices", {2, 1}}}},
      {"tiny-falcon-h1",
       {{"rope_theta", none}, {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 100000.0}}}}},
      {"tiny-nemotron-h",
       {{"hybrid_override_pattern", none},
        {"num_hidden_layers", none},
        {"layers_block_type", {"mamba", "mlp", "linear_attention", "attention", "mlp", "full_attention"}},
        {"n_groups", none},
        {"mamba_n_groups", 3},
        {"conv_kernel", none},
        {"mamba_d_conv", 4},
        {"time_step_min", none},
        {"mamba_dt_min", 0.2}}},
      {"tiny-nemotron-h-moe", {{"layers_block_type", none}, {"hybrid_override_pattern", "ME*-E"}}},
      {"tiny-qwen3-next",
       {{"full_attention_interval", none},
        {"layer_types", {"linear_attention", "full_attention", "linear_attention"}},
        {"rope_theta", none},
        {"partial_rotary_factor", none},
        {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 7000.0}, {"partial_rotary_factor", 0.5}}}}},
      {"tiny-qwen3-next-b",
       {{"layer_types", {"linear_attention", "full_attention", "full_attention", "linear_attention"}},
        {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 2000.0}, {"partial_rotary_factor", none}}}}},
      {"tiny-zamba2",
       {{"layers_block_type", {"mamba", "hybrid", "hybrid", "mamba", "hybrid"}},
        {"rope_parameters", none},
        {"rope_theta", 4000.0}}},
  };
  for (const Case& changed : cases) {
    const auto tokens = tokens_of(changed.model);
    const ChangedFolder folder(changed.model, changed.changes);
    EXPECT_EQ(logits_of(folder.path(), tokens), logits_of(asset("models") / changed.model, tokens)) << changed.changes;
  }
}

TEST(HybridsB, OlmoHybridDoesNotTurnWhereTheBaseOfItsRotationIsNull) {
  const auto tokens = tokens_of("tiny-olmo-hybrid-b");
  const auto expected = logits_of(asset("models/tiny-olmo-hybrid-b"), tokens);
  ChangedFolder folder("tiny-olmo-hybrid-b", Json::object());
  Json config = Json::parse(std::ifstream(folder.path() / "config.json"));
  config.erase("rope_parameters");
  std::ofstream(folder.path() / "config.json") << config;
  EXPECT_NE(logits_of(folder.path(), tokens), expected);  // the usual base
  config["rope_theta"] = nullptr;
  std::ofstream(folder.path() / "config.json") << config;
  EXPECT_EQ(logits_of(folder.path(), tokens), expected);
}

TEST(HybridsB, SizesThatAreNotStatedComeFromTheTensors) {
  const Json none;
  const std::pair<const char*, std::vector<const char*>> cases[] = {
      {"tiny-granite-hybrid",
       {"mamba_n_heads", "mamba_d_head", "mamba_d_state", "mamba_d_conv", "mamba_expand", "intermediate_size",
        "shared_intermediate_size", "num_local_experts", "vocab_size"}},
      {"tiny-falcon-h1", {"mamba_d_head", "mamba_n_heads", "mamba_d_state", "head_dim"}},
      {"tiny-nemotron-h-moe",
       {"mamba_num_heads", "mamba_head_dim", "ssm_state_size", "conv_kernel", "n_routed_experts", "moe_latent_size",
        "moe_intermediate_size", "moe_shared_expert_intermediate_size", "head_dim"}},
      {"tiny-qwen3-next",
       {"linear_num_value_heads", "linear_key_head_dim", "linear_value_head_dim", "linear_conv_kernel_dim", "head_dim",
        "num_attention_heads", "num_key_value_heads", "num_experts", "moe_intermediate_size",
        "shared_expert_intermediate_size"}},
      {"tiny-zamba2", {"n_mamba_heads", "mamba_d_state", "mamba_d_conv", "intermediate_size", "adapter_rank"}},
  };
  for (const auto& [model, keys] : cases) {
    Json changes;
    for (const char* key : keys) changes[key] = none;
    const ChangedFolder folder(model, changes);
    const auto tokens = tokens_of(model);
    EXPECT_EQ(logits_of(folder.path(), tokens), logits_of(asset("models") / model, tokens)) << model;
  }
}

TEST(HybridsB, RefuseLayersThatAreNotOfTheirKinds) {
  expect_refused("tiny-granite-hybrid", {{"layer_types", {"mamba", "attention", "rwkv", "attention"}}},
                 {"layer_types", "rwkv"});
  expect_refused("tiny-granite-hybrid", {{"layer_types", {"mamba", "attention"}}}, {"layer_types", "list of 4"});
  expect_refused("tiny-granite-hybrid", {{"layer_types", {"attention", "attention", "mamba", "attention"}}},
                 {"layers.0.self_attn.q_proj.weight"});
  expect_refused("tiny-bamba", {{"attn_layer_indices", {1, 4}}}, {"attn_layer_indices", "4"});
  expect_refused("tiny-bamba", {{"attn_layer_indices", "all"}}, {"attn_layer_indices", "all"});
  expect_refused("tiny-nemotron-h", {{"hybrid_override_pattern", "M-X*-*"}}, {"hybrid_override_pattern", "X"});
  expect_refused("tiny-nemotron-h", {{"hybrid_override_pattern", "M-M*-"}}, {"hybrid_override_pattern", "6", "M-M*-"});
  expect_refused("tiny-nemotron-h", {{"hybrid_override_pattern", ""}}, {"hybrid_override_pattern"});
  expect_refused("tiny-nemotron-h", {{"hybrid_override_pattern", ""}, {"num_hidden_layers", nullptr}},
                 {"hybrid_override_pattern", "0"});
  expect_refused("tiny-nemotron-h",
                 {{"hybrid_override_pattern", std::string(5000, 'M')}, {"num_hidden_layers", nullptr}},
                 {"hybrid_override_pattern", "5000"});
  expect_refused("tiny-nemotron-h-moe", {{"layers_block_type", Json::array()}}, {"layers_block_type"});
  expect_refused("tiny-nemotron-h-moe", {{"layers_block_type", {"mamba", "moe", "attention", "mlp", "conv"}}},
                 {"layers_block_type", "conv"});
  expect_refused("tiny-nemotron-h-moe", {{"num_hidden_layers", 9}}, {"layers_block_type", "list of 9"});
  expect_refused("tiny-qwen3-next", {{"layer_types", {"linear_attention", "full_attention"}}},
                 {"layer_types", "list of 3"});
  expect_refused("tiny-qwen3-next", {{"full_attention_interval", 0}}, {"full_attention_interval", "0"});
  expect_refused("tiny-qwen3-next-b", {{"mlp_only_layers", {0, 7}}}, {"mlp_only_layers", "7"});
  expect_refused("tiny-olmo-hybrid", {{"layer_types", {"linear_attention", "full_attention", "sliding_attention"}}},
                 {"layer_types"});
  expect_refused("tiny-zamba2", {{"layers_block_type", {"mamba", "hybrid", "attention", "mamba", "hybrid"}}},
                 {"layers_block_type", "attention"});
  expect_refused("tiny-zamba2", {{"layers_block_type", nullptr}}, {"layers_block_type", "list of 5"});
}

TEST(HybridsB, RefuseSettingsThatContradictTheTensors) {
  expect_refused("tiny-granite-hybrid", {{"mamba_n_heads", 7}}, {"mamba_n_heads", "7"});
  expect_refused("tiny-granite-hybrid", {{"mamba_n_groups", 4}}, {"mamba_n_groups", "4"});
  expect_refused("tiny-granite-hybrid", {{"mamba_n_groups", 6}}, {"mamba_n_groups"});
  expect_refused("tiny-granite-hybrid", {{"mamba_d_state", 6}}, {"mamba_d_state", "6"});
  expect_refused("tiny-granite-hybrid", {{"mamba_d_head", 8}}, {"mamba_d_head", "8"});
  expect_refused("tiny-granite-hybrid", {{"mamba_d_conv", 3}}, {"mamba_d_conv", "3"});
  expect_refused("tiny-granite-hybrid", {{"mamba_expand", 3}}, {"mamba_expand", "3"});
  expect_refused("tiny-granite-hybrid", {{"shared_intermediate_size", 8}}, {"shared_intermediate_size", "8"});
  expect_refused("tiny-granite-hybrid", {{"intermediate_size", 7}}, {"intermediate_size", "7"});
  expect_refused("tiny-granite-hybrid", {{"hidden_act", "gelu"}}, {"hidden_act", "gelu"});
  expect_refused("tiny-granite-hybrid", {{"logits_scaling", 0}}, {"logits_scaling", "0"});
  expect_refused("tiny-granite-hybrid-dense", {{"time_step_limit", {0.9, 0.1}}}, {"time_step_limit"});
  expect_refused("tiny-bamba", {{"rope_parameters", {{"rope_theta", 3000.0}, {"partial_rotary_factor", 0.4}}}},
                 {"even", "3"});
  expect_refused("tiny-falcon-h1", {{"mamba_d_ssm", 48}}, {"mamba_d_ssm", "48"});
  expect_refused("tiny-falcon-h1", {{"ssm_multipliers", {1.0, 2.0}}}, {"ssm_multipliers", "list of 5"});
  expect_refused("tiny-falcon-h1", {{"mlp_multipliers", 1.0}}, {"mlp_multipliers", "list of 2"});
  expect_refused("tiny-falcon-h1-c", {{"mamba_rms_norm", true}}, {"mamba.norm.weight"});
  expect_refused("tiny-qwen3-next", {{"linear_num_key_heads", 4}}, {"linear_num_key_heads", "4"});
  expect_refused("tiny-qwen3-next", {{"linear_num_value_heads", 4}}, {"linear_num_value_heads", "4"});
  expect_refused("tiny-qwen3-next", {{"linear_value_head_dim", 9}}, {"linear_value_head_dim", "9"});
  expect_refused("tiny-qwen3-next", {{"linear_conv_kernel_dim", 3}}, {"linear_conv_kernel_dim", "3"});
  expect_refused("tiny-qwen3-next", {{"num_attention_heads", 4}}, {"q_proj.weight"});
  expect_refused("tiny-olmo-hybrid", {{"linear_key_head_dim", 7}}, {"linear_key_head_dim", "7"});
  expect_refused("tiny-zamba2", {{"num_attention_heads", 4}}, {"num_attention_heads", "4"});
  expect_refused("tiny-zamba2", {{"num_mem_blocks", 0}}, {"num_mem_blocks", "0"});
  expect_refused("tiny-zamba2", {{"num_mem_blocks", 3}}, {"shared_transformer"});
  expect_refused("tiny-zamba2-b", {{"use_shared_attention_adapter", true}}, {"adapter_list"});
}

TEST(HybridsB, RefuseRoutersThatCannotChoose) {
  expect_refused("tiny-granite-hybrid", {{"num_local_experts", 0}}, {"num_local_experts", "0"});
  expect_refused("tiny-granite-hybrid", {{"num_local_experts", 7}}, {"num_local_experts", "7"});
  expect_refused("tiny-granite-hybrid", {{"num_experts_per_tok", 6}}, {"num_experts_per_tok", "6"});
  expect_refused("tiny-granite-hybrid", {{"num_experts_per_tok", 0}}, {"num_experts_per_tok", "0"});
  expect_refused("tiny-nemotron-h-moe", {{"n_routed_experts", 0}}, {"n_routed_experts", "0"});
  expect_refused("tiny-nemotron-h-moe", {{"num_experts_per_tok", 13}}, {"num_experts_per_tok", "13"});
  expect_refused("tiny-nemotron-h-moe", {{"num_experts_per_tok", 7}}, {"num_experts_per_tok", "7"});
  expect_refused("tiny-nemotron-h-moe", {{"n_group", 5}}, {"n_group", "5"});
  expect_refused("tiny-nemotron-h-moe", {{"n_group", 12}}, {"n_group", "12"});
  expect_refused("tiny-nemotron-h-moe", {{"topk_group", 5}}, {"topk_group", "5"});
  expect_refused("tiny-nemotron-h-moe", {{"moe_latent_size", 12}}, {"moe_latent_size", "12"});
  expect_refused("tiny-qwen3-next", {{"num_experts", 0}}, {"num_experts", "0"});
  expect_refused("tiny-qwen3-next", {{"num_experts_per_tok", 6}}, {"num_experts_per_tok", "6"});
}

TEST(HybridsB, LayersAreLabelledWithTheirKinds) {
  const auto label = [](const char* name, int32_t layer) {
    const auto model = load_model(asset("models") / name);
    return model == nullptr ? std::string() : layer_label(model->config(), layer);
  };
  EXPECT_EQ(label("tiny-nemotron-h", 1), "1 feed-forward");
  EXPECT_EQ(label("tiny-nemotron-h-moe", 1), "1 MoE");
  EXPECT_EQ(label("tiny-nemotron-h-moe", 2), "2 attention");
}

}  // namespace
}  // namespace orrery::testing
