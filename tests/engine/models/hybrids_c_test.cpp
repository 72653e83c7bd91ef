// mixtral, qwen3_moe, olmoe, gpt_oss and minimax against transformers, RetNet and Samba against independent float64;
// the goldens' README says how they were made.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <iterator>
#include <map>
#include <string>

#include "tests/engine/models/changed_folder.h"
#include "tests/engine/models/golden_check.h"

namespace orrery::testing {
namespace {

using Json = nlohmann::json;

// Activations are rounded to 16 bits per block of 32 where weights are quantized.
constexpr GoldenBounds kQuantized{.logits = 3e-3};

const ModelGolden kGoldens[] = {
    {"tiny-mixtral", "tiny-mixtral", {}},
    {"tiny-mixtral-b", "tiny-mixtral-b", {}},
    {"tiny-mixtral-b-stacked", "tiny-mixtral-b", {}},
    {"tiny-mixtral-b.f32.gguf", "tiny-mixtral-b", {}},
    {"tiny-mixtral-b-old.f32.gguf", "tiny-mixtral-b", {}},
    {"tiny-qwen3-moe", "tiny-qwen3-moe", {}},
    {"tiny-qwen3-moe-b", "tiny-qwen3-moe-b", {}},
    {"tiny-qwen3-moe-b.f32.gguf", "tiny-qwen3-moe-b", {}},
    {"tiny-olmoe", "tiny-olmoe", {}},
    {"tiny-olmoe-b", "tiny-olmoe-b", {}},
    {"tiny-olmoe-b.f32.gguf", "tiny-olmoe-b", {}},
    {"tiny-gpt-oss", "tiny-gpt-oss", {}},
    {"tiny-gpt-oss.f32.gguf", "tiny-gpt-oss", {}},
    {"tiny-gpt-oss-b", "tiny-gpt-oss-b", {}},
    {"tiny-gpt-oss-packed", "tiny-gpt-oss-packed", kQuantized},
    {"tiny-minimax", "tiny-minimax", {}},
    {"tiny-minimax-b", "tiny-minimax-b", {}},
    {"tiny-retnet", "tiny-retnet", {}},
    {"tiny-retnet-b", "tiny-retnet-b", {}},
    {"tiny-retnet-c", "tiny-retnet-c", {}},
    {"tiny-samba", "tiny-samba", {}},
    {"tiny-samba-b", "tiny-samba-b", {}},
};

class HybridCGolden : public ::testing::TestWithParam<ModelGolden> {};

TEST_P(HybridCGolden, MatchesTheReferenceInBatchesAndSteps) {
  const ModelGolden& golden = GetParam();
  expect_matches_golden(asset("models") / golden.model, asset("goldens/hybrids") / golden.golden, golden.bounds);
}

INSTANTIATE_TEST_SUITE_P(All, HybridCGolden, ::testing::ValuesIn(kGoldens), golden_test_name);

TEST(HybridC, OtherSpellingsOfTheSameSettingsAreTheSameModel) {
  struct Case {
    const char* model;
    Json changes;
  };
  const Json none;
  const Case cases[] = {
      {"tiny-mixtral", {{"rope_parameters", none}, {"rope_theta", 54321.0}, {"dtype", none}}},
      {"tiny-mixtral", {{"num_local_experts", none}, {"num_experts", 7}, {"intermediate_size", none}}},
      {"tiny-qwen3-moe", {{"num_local_experts", none}, {"num_experts", 6}, {"rope_theta", 70000.0}}},
      {"tiny-qwen3-moe-b", {{"head_dim", none}, {"moe_intermediate_size", none}, {"num_experts", none}}},
      {"tiny-olmoe", {{"rope_parameters", none}, {"rope_theta", 30000.0}, {"num_key_value_heads", none}}},
      {"tiny-gpt-oss",
       {{"layer_types", none},
        {"rope_parameters", none},
        {"swiglu_limit", none},
        {"swiglu_alpha", none},
        {"head_dim", none},
        {"rope_theta", 15000.0},
        {"rope_scaling",
         {{"rope_type", "yarn"}, {"factor", 4.0}, {"truncate", false}, {"original_max_position_embeddings", 128}}}}},
      {"tiny-minimax", {{"rope_parameters", none}, {"rope_theta", 40000.0}, {"head_dim", none}}},
      {"tiny-minimax-b", {{"layer_types", {"full_attention", "linear_attention", "full_attention"}}}},
      {"tiny-retnet",
       {{"expand_k", none},
        {"expand_v", none},
        {"intermediate_size", none},
        {"attn",
         {{{"layers", Json::array()}, {"num_heads", 5}},
          {{"layers", {1}}, {"num_heads", 2}, {"num_kv_heads", 1}, {"window_size", 17}, {"rope_theta", 5000.0}}}}}},
      {"tiny-retnet-b", {{"attn", none}, {"num_kv_heads", 3}, {"norm_eps", none}}},
      {"tiny-samba-b",
       {{"num_heads", none},
        {"window_size", none},
        {"attn", {{"layers", {1}}, {"num_heads", 3}, {"num_kv_heads", 1}, {"window_size", 9}}}}},
      {"tiny-samba", {{"attn", {{"rope_theta", none}}}, {"time_step_rank", "auto"}, {"intermediate_size", none}}},
  };
  for (const Case& changed : cases) {
    const auto tokens = read_npy<int32_t>(asset("goldens/hybrids") / changed.model / "tokens.npy").values;
    const ChangedFolder folder(changed.model, changed.changes);
    EXPECT_EQ(logits_of(folder.path(), tokens), logits_of(asset("models") / changed.model, tokens)) << changed.changes;
  }
}

TEST(HybridC, ExpertsThatCannotBeAreRefusedByKeyAndValue) {
  expect_refused("tiny-mixtral", {{"num_local_experts", 0}}, {"num_local_experts must be 7", "but is 0"});
  expect_refused("tiny-mixtral", {{"num_local_experts", 8}}, {"num_local_experts must be 7", "but is 8"});
  expect_refused("tiny-mixtral", {{"num_experts_per_tok", 8}}, {"num_experts_per_tok", "8"});
  expect_refused("tiny-mixtral", {{"num_experts_per_tok", 0}}, {"num_experts_per_tok", "0"});
  expect_refused("tiny-mixtral", {{"intermediate_size", 14}}, {"intermediate_size must be 13", "but is 14"});
  expect_refused("tiny-mixtral", {{"hidden_act", "mish"}}, {"hidden_act", "mish"});
  expect_refused("tiny-qwen3-moe", {{"num_local_experts", 0}}, {"num_local_experts", "but is 0"});
  expect_refused("tiny-qwen3-moe", {{"mlp_only_layers", {6}}}, {"mlp_only_layers", "6"});
  expect_refused("tiny-qwen3-moe", {{"mlp_only_layers", {3}}}, {"layers.3.mlp.up_proj.weight"});
  expect_refused("tiny-qwen3-moe", {{"decoder_sparse_step", 0}}, {"decoder_sparse_step", "0"});
  expect_refused("tiny-qwen3-moe", {{"moe_intermediate_size", 8}}, {"moe_intermediate_size must be 9", "but is 8"});
  expect_refused("tiny-olmoe", {{"num_experts_per_tok", 9}}, {"num_experts_per_tok", "9"});
  expect_refused("tiny-olmoe", {{"clip_qkv", -1.0}}, {"clip_qkv must be positive", "-1"});
  expect_refused("tiny-gpt-oss", {{"num_local_experts", 0}}, {"num_local_experts must be 5", "but is 0"});
  expect_refused("tiny-gpt-oss", {{"num_experts_per_tok", 6}}, {"num_experts_per_tok", "6"});
  expect_refused("tiny-gpt-oss", {{"intermediate_size", 12}}, {"intermediate_size must be 11", "but is 12"});
  expect_refused("tiny-gpt-oss", {{"swiglu_limit", 0.0}}, {"swiglu_limit must be positive", "0"});
  expect_refused("tiny-gpt-oss", {{"layer_types", {"full_attention"}}}, {"layer_types"});
  expect_refused("tiny-minimax", {{"num_local_experts", 0}}, {"num_local_experts must be 5", "but is 0"});
  expect_refused("tiny-gpt-oss", {{"quantization_config", {{"quant_method", "gptq"}}}}, {"quantization_config"});
}

TEST(HybridC, LayersAndHeadsThatCannotBeAreRefusedByKeyAndValue) {
  expect_refused("tiny-minimax", {{"layer_types", {"linear_attention"}}}, {"layer_types", "linear_attention"});
  expect_refused("tiny-minimax", {{"layer_types", {"conv", "conv", "conv", "conv"}}}, {"layer_types", "conv"});
  expect_refused("tiny-minimax", {{"num_attention_heads", 4}},
                 {"num_attention_heads must divide the 54 rows", "but is 4"});
  expect_refused("tiny-minimax", {{"head_dim", 9}}, {"head_dim", "9"});
  expect_refused("tiny-minimax", {{"mlp_beta_factor", "much"}}, {"mlp_beta_factor", "much"});
  expect_refused("tiny-retnet", {{"num_heads", 5}, {"num_kv_heads", nullptr}},
                 {"num_heads must divide the 24 rows", "but is 5"});
  expect_refused("tiny-retnet", {{"num_kv_heads", 3}}, {"num_kv_heads", "3"});
  expect_refused("tiny-retnet", {{"num_heads", 8}, {"num_kv_heads", 2}, {"expand_v", nullptr}},
                 {"num_heads", "an even width", "but is 8"});
  expect_refused("tiny-retnet", {{"expand_k", 1.5}}, {"expand_k", "1.5"});
  expect_refused("tiny-retnet", {{"expand_v", 2}}, {"expand_v", "2"});
  expect_refused("tiny-retnet", {{"feature_map", "elu"}}, {"feature_map"});
  expect_refused("tiny-retnet", {{"hidden_act", "powlu"}}, {"hidden_act", "powlu"});
  expect_refused("tiny-retnet", {{"attnres_block_size", 4}}, {"attnres_block_size"});
  expect_refused("tiny-retnet", {{"use_output_gate", false}}, {"g_proj"});
  expect_refused("tiny-retnet", {{"intermediate_size", 38}}, {"intermediate_size", "38"});
  expect_refused("tiny-retnet", {{"attn", {{"layers", {3}}}}}, {"attn.layers", "3"});
  expect_refused("tiny-retnet", {{"attn", {{"num_heads", 3}}}}, {"attn.num_heads", "3"});
  expect_refused("tiny-retnet", {{"attn", {{"num_kv_heads", 4}}}}, {"attn.num_kv_heads", "4"});
  expect_refused("tiny-retnet", {{"attn", {{"rope_theta", 0}}}}, {"attn.rope_theta", "0"});
  expect_refused("tiny-retnet", {{"attn", {{"window_size", -1}}}}, {"attn.window_size", "-1"});
  expect_refused("tiny-samba", {{"attn", {{"layers", {1, 3, 1}}}}}, {"attn.layers", "once", "1"});
  expect_refused("tiny-samba", {{"attn", {{"layers", {0, 3}}}}}, {"layers.1.mixer.A_log"});
  expect_refused("tiny-samba-b", {{"num_heads", 5}}, {"num_heads must divide hidden_size", "5"});
  expect_refused("tiny-samba", {{"state_size", 6}}, {"state_size must be 5", "6"});
  expect_refused("tiny-samba", {{"conv_kernel", 4}}, {"conv_kernel must be 3", "4"});
}

// A copy of a folder with some text of its weights' header changed for another of the same length.
std::string refusal_with_header(const char* model, const std::string& from, const std::string& to) {
  const ChangedFolder folder(model, Json::object());
  std::ifstream in(folder.path() / "model.safetensors", std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  in.close();
  EXPECT_EQ(from.size(), to.size());
  const size_t at = bytes.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  if (at != std::string::npos) bytes.replace(at, from.size(), to);
  std::ofstream(folder.path() / "model.safetensors", std::ios::binary) << bytes;
  return folder.refusal();
}

void expect_says(const std::string& refusal, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) EXPECT_NE(refusal.find(part), std::string::npos) << refusal;
}

TEST(HybridC, ExpertsOfAnotherShapeAreRefusedByName) {
  expect_says(refusal_with_header("tiny-gpt-oss", "[5,18,22]", "[5,22,18]"),
              {"experts.gate_up_proj", "[5, 18, 22]", "[5, 22, 18]"});
  expect_says(refusal_with_header("tiny-gpt-oss", "[5,11,18]", "[5,18,11]"), {"experts.down_proj", "[5, 18, 11]"});
  expect_says(refusal_with_header("tiny-mixtral-b-stacked", "[5,22,18]", "[5,18,22]"),
              {"experts.gate_up_proj", "[5, 22, 18]", "[5, 18, 22]"});
  expect_says(refusal_with_header("tiny-gpt-oss-packed", "[5,128,1,16]", "[5,1,128,16]"),
              {"gate_up_proj_blocks", "U8", "[5, 128, 1, 16]", "[5, 1, 128, 16]"});
  expect_says(refusal_with_header("tiny-mixtral", "experts.6.w2", "experts.7.w2"), {"experts.6.w2.weight", "missing"});
}

// A copy of a folder with one tensor, F32, stored as BF16.
std::string refusal_with_half(const char* model, const std::string& name) {
  const ChangedFolder folder(model, Json::object());
  const auto path = folder.path() / "model.safetensors";
  std::ifstream in(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  in.close();
  uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), sizeof header_size);
  Json header = Json::parse(bytes.substr(sizeof header_size, header_size));
  std::map<size_t, std::string> by_offset;
  for (const auto& [key, entry] : header.items()) {
    if (key != "__metadata__") by_offset[entry["data_offsets"][0].get<size_t>()] = key;
  }
  std::string data;
  for (const auto& [begin, key] : by_offset) {
    const size_t end = header[key]["data_offsets"][1].get<size_t>(), at = data.size();
    const std::string stored = bytes.substr(sizeof header_size + header_size + begin, end - begin);
    if (key == name) {
      header[key]["dtype"] = "BF16";
      for (size_t i = 0; i < stored.size(); i += 4) data += stored.substr(i + 2, 2);
    } else {
      data += stored;
    }
    header[key]["data_offsets"] = {at, data.size()};
  }
  const std::string text = header.dump();
  header_size = text.size();
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(&header_size), sizeof header_size);
  out << text << data;
  out.close();
  return folder.refusal();
}

TEST(HybridC, ExpertsOfDifferentTypesAreRefusedByName) {
  expect_says(refusal_with_half("tiny-mixtral", "model.layers.1.block_sparse_moe.experts.4.w2.weight"),
              {"layers.1.block_sparse_moe.experts.4.w2.weight", "F32", "BF16"});
  EXPECT_EQ(refusal_with_half("tiny-mixtral", "model.layers.1.block_sparse_moe.gate.weight"), "it was loaded");
}

}  // namespace
}  // namespace orrery::testing
