#include "sessions/model_json.h"

#include <gmock/gmock.h>

#include "tests/sessions/make_session.h"

namespace orrery {
namespace {

using ::testing::HasSubstr;

const std::string kConfig = R"({"architecture": "x", "d_model": 8, "n_layers": 1, "ropes": []})";

std::string refusal(const std::string& layer) {
  const Result<ModelDescription> read = model_from_json(kConfig, "[" + layer + "]");
  EXPECT_FALSE(read) << layer;
  return read ? "" : read.error().message;
}

TEST(ModelJson, GivesBackWhatLayersConsistOf) {
  for (const ModelConfig& config : {testing::hybrid_like(), testing::mamba_like()}) {
    const std::vector<std::string> labels(config.layers.size(), "a layer");
    const std::string layers = layers_to_json(config, labels);
    const Result<ModelDescription> back = model_from_json(config_to_json(config), layers);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(layers_to_json(back->config, back->layer_labels), layers);
    for (const Probe* probe : all_probes()) {
      EXPECT_EQ(probe->layers(back->config), probe->layers(config)) << probe->name;
      EXPECT_EQ(probe->inner_shape(back->config, 70), probe->inner_shape(config, 70)) << probe->name;
    }
  }
}

TEST(ModelJson, ALayerOfAnOlderSessionHasNeitherStateNorConvolutionNorExperts) {
  const Result<ModelDescription> read = model_from_json(
      kConfig, R"([{"label": "0 attention", "mixers": ["attention"], "feed_forward": "dense", "d_ffn": 3,
                    "attention": {"n_heads": 2, "n_kv_heads": 1, "d_head_k": 4, "d_head_v": 4, "scale": 0.5}}])");
  ASSERT_TRUE(read) << read.error().message;
  const LayerConfig& layer = read->config.layers[0];
  EXPECT_EQ(read->config.logit_scale, 1.0f);
  EXPECT_EQ(layer.attention.gate, AttentionGate::kNone);
  EXPECT_FALSE(layer.attention.has_sinks || layer.attention.whole_qk_norm);
  for (const char* name : {"state.norm", "conv.taps", "moe.experts"}) {
    EXPECT_FALSE(is_offered(*find_probe(name), read->config)) << name;
  }
}

TEST(ModelJson, SizesThatCannotBeAreNamed) {
  EXPECT_THAT(refusal(R"({"state": {"n_heads": -1}})"), HasSubstr("n_heads"));
  EXPECT_THAT(refusal(R"({"state": {"n_heads": 99999999999}})"), HasSubstr("n_heads"));
  EXPECT_THAT(refusal(R"({"state": {"n_heads": 4, "n_stat_heads": 5}})"), HasSubstr("n_stat_heads"));
  EXPECT_THAT(refusal(R"({"state": {"n_heads": 1000000, "n_stat_heads": 1000000}})"), HasSubstr("n_stat_heads"));
  EXPECT_THAT(refusal(R"({"state": {"recurrence": "unheard of"}})"), HasSubstr("recurrence"));
  EXPECT_THAT(refusal(R"({"conv": {"n_taps": 1000000}})"), HasSubstr("n_taps"));
  EXPECT_THAT(refusal(R"({"conv": {"n_taps": 3, "is_gated": 1}})"), HasSubstr("is_gated"));
  EXPECT_THAT(refusal(R"({"moe": {"n_experts": 100000}})"), HasSubstr("n_experts"));
  EXPECT_THAT(refusal(R"({"moe": {"n_experts": 4, "n_chosen": 5}})"), HasSubstr("n_chosen"));
  EXPECT_THAT(refusal(R"({"moe": {"n_experts": 4, "n_chosen": 2, "score": "guessed"}})"), HasSubstr("score"));
  EXPECT_THAT(refusal(R"({"attention": {"gate": 3}})"), HasSubstr("gate"));
  EXPECT_THAT(refusal(R"({"activation": "unknown"})"), HasSubstr("activation"));
}

TEST(ModelJson, PartsThatAreNoObjectsAreEmpty) {
  const Result<ModelDescription> read =
      model_from_json(kConfig, R"([{"mixers": ["matrix state"], "state": 7, "conv": [1, 2], "moe": "x"}])");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->config.layers[0].state.n_stat_heads, 0);
  EXPECT_EQ(read->config.layers[0].conv.n_taps, 0);
}

}  // namespace
}  // namespace orrery
