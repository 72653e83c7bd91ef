// DeepSeek-V2, V3 and Kimi Linear against transformers; the goldens' README says how they were made.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/engine/models/changed_folder.h"
#include "tests/engine/models/golden_check.h"

namespace orrery::testing {
namespace {

using Json = nlohmann::json;

const ModelGolden kGoldens[] = {
    {"tiny-deepseek-v3", "tiny-deepseek-v3"},
    {"tiny-deepseek-v3-b", "tiny-deepseek-v3-b"},
    {"tiny-deepseek-v3-c", "tiny-deepseek-v3-c"},
    {"tiny-deepseek-v3-c.f32.gguf", "tiny-deepseek-v3-c"},
    {"tiny-deepseek-v3-c-old.f32.gguf", "tiny-deepseek-v3-c"},
    {"tiny-deepseek-v2", "tiny-deepseek-v2"},
    {"tiny-deepseek-v2.f32.gguf", "tiny-deepseek-v2"},
    {"tiny-deepseek-v2-old.f32.gguf", "tiny-deepseek-v2"},
    {"tiny-kimi-linear", "tiny-kimi-linear"},
    {"tiny-kimi-linear-b", "tiny-kimi-linear-b"},
    {"tiny-kimi-linear-b-whole", "tiny-kimi-linear-b"},
    {"tiny-kimi-linear-b.f32.gguf", "tiny-kimi-linear-b"},
};

class HybridGoldenD : public ::testing::TestWithParam<ModelGolden> {};

TEST_P(HybridGoldenD, MatchesTransformersInBatchesAndSteps) {
  const ModelGolden& golden = GetParam();
  expect_matches_golden(asset("models") / golden.model, asset("goldens/hybrids") / golden.golden);
}

INSTANTIATE_TEST_SUITE_P(All, HybridGoldenD, ::testing::ValuesIn(kGoldens), golden_test_name);

std::vector<int32_t> tokens_of(const char* golden) {
  return read_npy<int32_t>(asset("goldens/hybrids") / golden / "tokens.npy").values;
}

TEST(HybridD, OtherSpellingsOfTheSameSettingsAreTheSameModel) {
  struct Case {
    const char* model;
    Json changes;
  };
  const Json none;
  const Case cases[] = {
      {"tiny-deepseek-v3",
       {{"rope_theta", none},
        {"rope_scaling", none},
        {"rope_parameters",
         {{"rope_type", "yarn"},
          {"rope_theta", 5000.0},
          {"factor", 6.0},
          {"beta_fast", 24.0},
          {"beta_slow", 2.0},
          {"mscale", 0.7},
          {"mscale_all_dim", 1.4},
          {"original_max_position_embeddings", 64}}}}},
      {"tiny-deepseek-v3",
       {{"kv_lora_rank", none},
        {"q_lora_rank", none},
        {"qk_rope_head_dim", none},
        {"qk_nope_head_dim", none},
        {"qk_head_dim", none},
        {"v_head_dim", none},
        {"head_dim", none},
        {"num_key_value_heads", none},
        {"attention_bias", none},
        {"n_routed_experts", none},
        {"n_shared_experts", none},
        {"moe_intermediate_size", none},
        {"intermediate_size", none},
        {"rope_interleave", none},
        {"norm_topk_prob", none}}},
      {"tiny-deepseek-v3-b", {{"rope_parameters", none}, {"rope_theta", 3000.0}, {"rope_scaling", none}}},
      {"tiny-kimi-linear",
       {{"layer_types", {"linear_attention", "full_attention", "linear_attention", "full_attention"}},
        {"mlp_layer_types", {"dense", "sparse", "sparse", "sparse"}},
        {"linear_attn_config", none},
        {"linear_head_dim", 7},
        {"linear_num_heads", 5},
        {"linear_conv_kernel_dim", 4},
        {"num_expert_group", none},
        {"n_group", 4},
        {"num_experts", none},
        {"num_local_experts", 8},
        {"num_experts_per_token", none},
        {"num_experts_per_tok", 3},
        {"num_shared_experts", none},
        {"n_shared_experts", 2},
        {"moe_renormalize", none},
        {"norm_topk_prob", false}}},
      {"tiny-kimi-linear-b",
       {{"linear_head_dim", none},
        {"linear_num_heads", none},
        {"linear_conv_kernel_dim", none},
        {"num_experts", none},
        {"moe_intermediate_size", none},
        {"num_key_value_heads", none},
        {"head_dim", 999},
        {"moe_renormalize", none}}},
      {"tiny-deepseek-v3-c",
       {{"num_nextn_predict_layers", none}, {"num_mtp_layers", 1}, {"routed_scaling_factor", none}}},
  };
  for (const Case& changed : cases) {
    const auto tokens = tokens_of(changed.model);
    const ChangedFolder folder(changed.model, changed.changes);
    EXPECT_EQ(logits_of(folder.path(), tokens), logits_of(asset("models") / changed.model, tokens)) << changed.changes;
  }
}

TEST(HybridD, LatentSizesThatContradictTheTensorsAreRefused) {
  const char* model = "tiny-deepseek-v3";
  expect_refused(model, {{"kv_lora_rank", 10}}, {"kv_lora_rank must be 9", "kv_a_layernorm", "but is 10"});
  expect_refused(model, {{"q_lora_rank", 12}}, {"q_lora_rank must be 13", "q_a_proj", "but is 12"});
  expect_refused(model, {{"qk_rope_head_dim", 4}}, {"qk_rope_head_dim must be 6", "but is 4"});
  expect_refused(model, {{"qk_nope_head_dim", 8}}, {"qk_nope_head_dim must be 7", "but is 8"});
  expect_refused(model, {{"v_head_dim", 6}}, {"v_head_dim must be 5", "but is 6"});
  expect_refused(model, {{"num_attention_heads", 4}}, {"num_attention_heads must divide the 39", "but is 4"});
  expect_refused(model, {{"num_attention_heads", 0}}, {"num_attention_heads", "0"});
  expect_refused(model, {{"num_key_value_heads", 1}}, {"num_key_value_heads must be 3", "but is 1"});
  expect_refused(model, {{"attention_bias", false}}, {"attention_bias must be true"});
  expect_refused("tiny-deepseek-v3-b", {{"q_lora_rank", 8}}, {"q_lora_rank must be 0", "q_a_proj", "but is 8"});
  expect_refused("tiny-deepseek-v3-b", {{"attention_bias", true}}, {"attention_bias must be false"});
}

TEST(HybridD, ExpertsThatCannotBeAreRefused) {
  const char* model = "tiny-deepseek-v3";
  expect_refused(model, {{"n_routed_experts", 7}}, {"n_routed_experts must be 8", "but is 7"});
  expect_refused(model, {{"n_shared_experts", 1}}, {"n_shared_experts must be 2", "but is 1"});
  expect_refused(model, {{"n_group", 3}}, {"n_group must part the 8 experts", "but is 3"});
  expect_refused(model, {{"n_group", 8}}, {"n_group must part the 8 experts in groups of two", "but is 8"});
  expect_refused(model, {{"topk_group", 5}}, {"topk_group must be at most the 4 groups", "but is 5"});
  expect_refused(model, {{"num_experts_per_tok", 5}}, {"num_experts_per_tok must be at most the 4", "but is 5"});
  expect_refused(model, {{"first_k_dense_replace", 3}}, {"layers.2.mlp.up_proj.weight"});
  expect_refused(model, {{"first_k_dense_replace", 1}}, {"layers.1.mlp.gate.weight"});
  expect_refused(model, {{"moe_intermediate_size", 8}}, {"moe_intermediate_size must be 7", "but is 8"});
  expect_refused(model, {{"hidden_act", "mish"}}, {"hidden_act", "mish"});
  expect_refused(model, {{"rope_scaling", {{"type", "yarn"}, {"factor", 0.0}}}}, {"rope", "positive"});
  expect_refused(model, {{"quantization_config", {{"quant_method", "fp8"}}}}, {"quantization_config"});
}

TEST(HybridD, OtherWaysToChooseExpertsAreRefused) {
  expect_refused("tiny-deepseek-v2", {{"topk_method", "noaux_tc"}}, {"topk_method", "noaux_tc"});
  expect_refused("tiny-deepseek-v2", {{"norm_topk_prob", true}}, {"norm_topk_prob"});
  expect_refused("tiny-deepseek-v2", {{"topk_group", 4}}, {"topk_group must be at most the 3 groups", "but is 4"});
}

TEST(HybridD, LayersForFurtherTokensAreLeftAsideWhereTheyAreStated) {
  expect_refused("tiny-deepseek-v3", {{"num_nextn_predict_layers", 0}}, {"model.layers.4."});
  expect_refused("tiny-deepseek-v3", {{"num_nextn_predict_layers", -1}}, {"num_nextn_predict_layers", "-1"});
}

TEST(HybridD, KimiLinearSettingsThatContradictTheTensorsAreRefused) {
  const char* model = "tiny-kimi-linear";
  const auto delta = [](const char* key, const Json& value) { return Json{{"linear_attn_config", {{key, value}}}}; };
  expect_refused(model, delta("head_dim", 8), {"linear_attn_config.head_dim must be 7", "but is 8"});
  expect_refused(model, delta("num_heads", 7), {"linear_attn_config.num_heads must be 5", "but is 7"});
  expect_refused(model, delta("short_conv_kernel_size", 3), {"short_conv_kernel_size must be 4", "but is 3"});
  expect_refused(model, delta("full_attn_layers", {2, 3}), {"full_attn_layers", "name each of the 4 layers once"});
  expect_refused(model, delta("full_attn_layers", {2}), {"name each of the 4 layers once", "but is 3"});
  expect_refused(model, delta("kda_layers", {0, 3}), {"kda_layers", "0"});
  expect_refused(model, delta("full_attn_layers", nullptr), {"layers.1.self_attn", "A_log is missing"});
  expect_refused(model, {{"kv_lora_rank", 8}}, {"kv_lora_rank must be 9", "but is 8"});
  expect_refused(model, {{"num_experts", 7}}, {"num_experts must be 8", "but is 7"});
  expect_refused(model, {{"num_experts_per_token", 5}}, {"num_experts_per_token must be at most the 4", "but is 5"});
  expect_refused(model, {{"num_expert_group", 3}}, {"num_expert_group must part the 8 experts", "but is 3"});
  expect_refused(model, {{"num_shared_experts", 3}}, {"num_shared_experts must be 2", "but is 3"});
  expect_refused(model, {{"first_k_dense_replace", 2}}, {"layers.1.block_sparse_moe.up_proj.weight"});
  expect_refused(model, {{"hidden_act", "gelu"}}, {"hidden_act must be silu", "gelu"});
  expect_refused(model, {{"mlp_layer_types", {"dense", "sparse", "other", "sparse"}}}, {"mlp_layer_types", "other"});
  expect_refused("tiny-kimi-linear-b",
                 {{"layer_types", {"linear_attention", "full_attention", "full_attention", "full_attention"}}},
                 {"layers.0.self_attn", "A_log"});
}

// What a token leaves behind is its latent and the shared key, and nothing else.
TEST(HybridD, LatentAttentionCachesTheLatentAndTheSharedKeyAlone) {
  const auto model = load_model(asset("models") / "tiny-deepseek-v3");
  ASSERT_NE(model, nullptr);
  const std::vector<LayerState> states = model->states(DType::kF16);
  ASSERT_EQ(states.size(), 4u);
  for (int32_t layer = 0; layer < 4; ++layer) {
    const LayerUsage usage = usage_after(states, layer, 99);
    EXPECT_EQ(usage.bytes[static_cast<size_t>(StateKind::kKeysValues)], 100 * (9 + 6) * 2);
    EXPECT_EQ(usage.entries, 100);
  }
}

}  // namespace
}  // namespace orrery::testing
