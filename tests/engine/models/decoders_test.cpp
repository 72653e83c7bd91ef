// qwen2, qwen3, mistral, gemma2 and gemma3 against transformers; the goldens' README says how they were made.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/engine/models/changed_folder.h"
#include "tests/engine/models/golden_check.h"

namespace orrery::testing {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// As for llama: activations are rounded to 16 bits per block of 32 where weights are quantized; logits span 20 here.
constexpr GoldenBounds kQuantized{.logits = 3e-3};

const ModelGolden kGoldens[] = {
    {"tiny-qwen2", "tiny-qwen2", {}},
    {"tiny-qwen3", "tiny-qwen3", {}},
    {"tiny-qwen3-b.f32.gguf", "tiny-qwen3-b", {}},
    {"tiny-qwen3-b.q8_0.gguf", "tiny-qwen3-b.q8_0", kQuantized},
    {"tiny-mistral", "tiny-mistral", {}},
    {"tiny-gemma2", "tiny-gemma2", {}},
    {"tiny-gemma2.f32.gguf", "tiny-gemma2", {}},
    {"tiny-gemma3", "tiny-gemma3", {}},
    {"tiny-gemma3.f32.gguf", "tiny-gemma3", {}},
    {"tiny-gemma3-b", "tiny-gemma3-b", {}},
    {"tiny-gemma3-b.q8_0.gguf", "tiny-gemma3-b.q8_0", kQuantized},
};

class DecoderGolden : public ::testing::TestWithParam<ModelGolden> {};

TEST_P(DecoderGolden, MatchesTransformersInBatchesAndSteps) {
  const ModelGolden& golden = GetParam();
  expect_matches_golden(asset("models") / golden.model, asset("goldens/decoders") / golden.golden, golden.bounds);
}

INSTANTIATE_TEST_SUITE_P(All, DecoderGolden, ::testing::ValuesIn(kGoldens), golden_test_name);

std::vector<int32_t> tokens_of(const char* golden) {
  return read_npy<int32_t>(asset("goldens/decoders") / golden / "tokens.npy").values;
}

TEST(Decoders, OtherSpellingsOfTheSameSettingsAreTheSameModel) {
  struct Case {
    const char* model;
    Json changes;
  };
  const Json none;
  const Case cases[] = {
      {"tiny-qwen2",
       {{"rope_theta", none},
        {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 54321.0}}},
        {"max_window_layers", none},
        {"layer_types", {"full_attention", "sliding_attention", "sliding_attention"}},
        {"torch_dtype", none},
        {"dtype", "float32"}}},
      {"tiny-qwen3", {{"rope_parameters", none}, {"rope_theta", 70000.0}, {"dtype", none}}},
      {"tiny-mistral",
       {{"rope_theta", none}, {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 10000.0}}}}},
      {"tiny-gemma3",
       {{"rope_theta", none},
        {"rope_local_base_freq", none},
        {"rope_scaling", none},
        {"rope_parameters",
         {{"full_attention", {{"rope_type", "linear"}, {"factor", 8.0}, {"rope_theta", 300000.0}}},
          {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 5000.0}}}}},
        {"layer_types",
         {"sliding_attention", "sliding_attention", "sliding_attention", "sliding_attention", "sliding_attention",
          "full_attention", "sliding_attention"}}}},
      {"tiny-gemma3", {{"sliding_window_pattern", 6}}},
      {"tiny-gemma3-b", {{"rope_parameters", none}, {"rope_theta", 200000.0}, {"rope_local_base_freq", 8000.0}}},
  };
  for (const Case& changed : cases) {
    const auto tokens = tokens_of(changed.model);
    const ChangedFolder folder(changed.model, changed.changes);
    EXPECT_EQ(logits_of(folder.path(), tokens), logits_of(asset("models") / changed.model, tokens)) << changed.changes;
  }
}

TEST(Decoders, SizesThatAreNotStatedComeFromTheTensors) {
  const Json none;
  for (const char* model : {"tiny-qwen3", "tiny-gemma3", "tiny-gemma3-b"}) {
    const ChangedFolder folder(model, {{"head_dim", none},
                                       {"num_attention_heads", none},
                                       {"num_key_value_heads", none},
                                       {"vocab_size", none},
                                       {"intermediate_size", none}});
    const auto tokens = tokens_of(model);
    EXPECT_EQ(logits_of(folder.path(), tokens), logits_of(asset("models") / model, tokens)) << model;
  }
}

TEST(Decoders, ADecoderBesideAVisionTowerIsFoundInItsOlderPlaceToo) {
  const ChangedFolder now("tiny-gemma3-b", {{"tie_word_embeddings", true}});
  const auto tokens = tokens_of("tiny-gemma3-b");
  Json config = Json::parse(std::ifstream(now.path() / "config.json"));
  config["tie_word_embeddings"] = true;
  std::ofstream(now.path() / "config.json") << config;
  const auto expected = logits_of(now.path(), tokens);

  std::ifstream in(now.path() / "model.safetensors", std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  in.close();
  const std::string place = "model.language_model.", older = "language_model.model.";
  ASSERT_EQ(place.size(), older.size());
  for (size_t at = bytes.find(place); at != std::string::npos; at = bytes.find(place, at)) {
    bytes.replace(at, place.size(), older);
  }
  std::ofstream(now.path() / "model.safetensors", std::ios::binary) << bytes;
  EXPECT_EQ(logits_of(now.path(), tokens), expected);
}

TEST(Decoders, RefuseByNameWhatTheyDoNotCompute) {
  expect_refused("tiny-qwen2", {{"hidden_act", "mish"}}, {"hidden_act"});
  expect_refused("tiny-gemma3", {{"hidden_activation", "mish"}}, {"hidden_activation"});
  expect_refused("tiny-mistral", {{"quantization_config", {{"quant_method", "gptq"}}}}, {"quantization_config"});
  expect_refused("tiny-qwen3", {{"num_experts", 8}}, {"num_experts"});
  expect_refused("tiny-mistral", {{"num_local_experts", 8}}, {"num_local_experts"});
  expect_refused("tiny-gemma3", {{"use_bidirectional_attention", true}}, {"use_bidirectional_attention"});
  expect_refused("tiny-gemma3", {{"attn_logit_softcapping", 50.0}}, {"attn_logit_softcapping"});
  expect_refused("tiny-gemma3", {{"final_logit_softcapping", -1.0}}, {"final_logit_softcapping"});
  expect_refused("tiny-gemma3", {{"query_pre_attn_scalar", 0}}, {"query_pre_attn_scalar"});
  expect_refused("tiny-qwen3", {{"layer_types", {"full_attention", "linear_attention", "full_attention"}}},
                 {"linear_attention"});
  expect_refused("tiny-qwen3", {{"layer_types", {"full_attention"}}}, {"layer_types"});
  expect_refused("tiny-qwen3", {{"use_sliding_window", false}}, {"sliding_window"});
  expect_refused("tiny-qwen3", {{"num_key_value_heads", 4}}, {"num_key_value_heads"});
  expect_refused("tiny-mistral", {{"sliding_window", -4}}, {"sliding_window"});
  expect_refused("tiny-gemma3", {{"model_type", "qwen3"}, {"tie_word_embeddings", true}},
                 {"feedforward_layernorm"});  // a tensor that qwen3 lacks
}

TEST(Decoders, MistralHasNoWindowWhereItIsNullAndTheUsualOneWhereNothingIsSaid) {
  ChangedFolder folder("tiny-mistral", Json::object());
  const auto window_with = [&](const char* sliding_window) {
    Json config = Json::parse(std::ifstream(folder.path() / "config.json"));
    config.erase("sliding_window");
    if (sliding_window != nullptr) config["sliding_window"] = Json::parse(sliding_window);
    std::ofstream(folder.path() / "config.json") << config;
    const auto model = load_model(folder.path());
    return model == nullptr ? -1 : model->config().layers[1].attention.window;
  };
  EXPECT_EQ(window_with("null"), 0);
  EXPECT_EQ(window_with(nullptr), 4096);
  EXPECT_EQ(window_with("9"), 9);
}

TEST(Decoders, LayersAreLabelledWithTheirWindows) {
  const auto model = load_model(asset("models/tiny-gemma3.f32.gguf"));
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(layer_label(model->config(), 4), "4 attention, window 17");
  EXPECT_EQ(layer_label(model->config(), 5), "5 attention");
  EXPECT_EQ(layer_label(model->config(), 6), "6 attention, window 17");
}

// The values of one quantity of a batch over all layers, from the packed buffer.
template <typename T>
std::vector<T> values_of(const ProbeBuffer& probes, Quantity quantity) {
  for (size_t i = 0; i < probes.n_fields(); ++i) {
    if (probes.plan()->fields[i].quantity != quantity) continue;
    const auto bytes = probes.field_bytes(i);
    const auto* values = reinterpret_cast<const T*>(bytes.data());
    return {values, values + bytes.size() / sizeof(T)};
  }
  return {};
}

// In layers with a window the key axis is that of the whole text, and every statistic follows from the rows.
TEST(Decoders, StatisticsOfWindowedLayersAreThoseOfTheirRows) {
  const auto model = load_model(asset("models/tiny-gemma3"));
  const auto tokens = tokens_of("tiny-gemma3");
  const ProbePlan plan = plan_of_everything(model->config());
  Generator generator(model, DType::kF32);
  ASSERT_TRUE(generator.feed(std::span(tokens).first(20), plan, LogitsWanted::kNone));
  ASSERT_TRUE(generator.feed(std::span(tokens).subspan(20), plan, LogitsWanted::kNone));
  const ProbeBuffer& probes = generator.probes();
  const auto rows = values_of<float>(probes, Quantity::kAttentionRow);
  const auto first = values_of<float>(probes, Quantity::kAttentionFirst);
  const auto previous = values_of<float>(probes, Quantity::kAttentionPrevious);
  const auto distance = values_of<float>(probes, Quantity::kAttentionDistance);
  const auto mass = values_of<float>(probes, Quantity::kAttentionMass);
  const auto n_keys = tokens.size(), n_blocks = (n_keys + 63) / 64;
  const size_t n_layers = model->config().layers.size(), n_heads = 3;
  ASSERT_EQ(rows.size(), (n_keys - 20) * n_layers * n_heads * n_keys);
  for (size_t i = 0; i < rows.size() / n_keys; ++i) {
    const size_t t = 20 + i / (n_layers * n_heads), layer = i / n_heads % n_layers;
    const auto window = static_cast<size_t>(model->config().layers[layer].attention.window);
    const float* row = rows.data() + i * n_keys;
    const size_t begin = window == 0 || t + 1 < window ? 0 : t + 1 - window;
    double sum = 0, moment = 0;
    std::vector<double> blocks(n_blocks, 0.0);
    for (size_t key = 0; key < n_keys; ++key) {
      ASSERT_EQ(row[key] > 0, key >= begin && key <= t) << "layer " << layer << ", t " << t << ", key " << key;
      sum += row[key];
      moment += row[key] * (static_cast<double>(t) - static_cast<double>(key));
      blocks[key / 64] += row[key];
    }
    ASSERT_NEAR(sum, 1.0, 1e-5);
    ASSERT_NEAR(first[i], row[0] + row[1] + row[2] + row[3], 1e-6);
    ASSERT_EQ(previous[i], row[t - 1]);
    ASSERT_NEAR(distance[i], moment / sum, 1e-4);
    for (size_t block = 0; block < n_blocks; ++block) ASSERT_NEAR(mass[i * n_blocks + block], blocks[block], 1e-5);
  }
}

TEST(Decoders, WindowedLayersHoldTheirWindowOnly) {
  const auto model = load_model(asset("models/tiny-gemma3"));
  const auto tokens = tokens_of("tiny-gemma3");
  const ProbePlan plan = plan_of_everything(model->config());
  Generator generator(model, DType::kF16);
  ASSERT_TRUE(generator.feed(std::span(tokens).first(5), plan, LogitsWanted::kNone));
  ASSERT_TRUE(generator.feed(std::span(tokens).subspan(5), plan, LogitsWanted::kNone));
  const auto bytes = values_of<int64_t>(generator.probes(), Quantity::kCacheBytes);
  const auto entries = values_of<int32_t>(generator.probes(), Quantity::kCacheEntries);
  const auto evicted = values_of<int32_t>(generator.probes(), Quantity::kCacheEvicted);
  const size_t n_layers = model->config().layers.size();
  ASSERT_EQ(entries.size(), (tokens.size() - 5) * n_layers);
  constexpr int64_t kTokenBytes = 2 * 10 * 2;  // key and value of one head, 10 wide, 2 bytes each
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto length = static_cast<int32_t>(5 + i / n_layers + 1);
    const bool is_full = i % n_layers == 5;
    const int32_t held = is_full ? length : std::min(length, 17);
    ASSERT_EQ(entries[i], held);
    ASSERT_EQ(evicted[i], length - held);
    ASSERT_EQ(bytes[4 * i], held * kTokenBytes);
  }
}

}  // namespace
}  // namespace orrery::testing
