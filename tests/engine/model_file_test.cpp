// Configurations that contradict themselves or their tensors are refused with one sentence that names key and value.
#include "engine/model_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "engine/model.h"
#include "tests/engine/models/golden_check.h"

namespace orrery::testing {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// A copy of the tiny llama folder c whose config.json is changed.
class ChangedConfig : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) /
              ("orrery_config_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(folder_);
    fs::copy(asset("models/tiny-llama-c"), folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string error_after(const std::function<void(Json&)>& change) {
    Json config = Json::parse(std::ifstream(asset("models/tiny-llama-c") / "config.json"));
    change(config);
    std::ofstream(folder_ / "config.json") << config;
    const auto model = Model::load(folder_, make_cpu_backend(1));
    return model ? "" : model.error().message;
  }

  void expect_refused(const std::function<void(Json&)>& change, const std::string& part) {
    const std::string message = error_after(change);
    EXPECT_NE(message.find(part), std::string::npos) << "said: " << message;
  }

  fs::path folder_;
};

TEST_F(ChangedConfig, UnchangedLoads) {
  EXPECT_EQ(error_after([](Json&) {}), "");
}

TEST_F(ChangedConfig, MissingOrWrongNumbersAreNamed) {
  expect_refused([](Json& c) { c.erase("hidden_size"); }, "hidden_size must be a whole number");
  expect_refused([](Json& c) { c["hidden_size"] = "wide"; }, "but is \"wide\"");
  expect_refused([](Json& c) { c["hidden_size"] = -4; }, "but is -4");
  expect_refused([](Json& c) { c["hidden_size"] = 64.5; }, "but is 64.5");
  expect_refused([](Json& c) { c["num_hidden_layers"] = 0; }, "num_hidden_layers must be a whole number from 1");
  expect_refused([](Json& c) { c["num_hidden_layers"] = 1000000000; }, "but is 1000000000");
  expect_refused([](Json& c) { c["rms_norm_eps"] = "small"; }, "rms_norm_eps must be a finite number");
}

TEST_F(ChangedConfig, SizesThatContradictTensorsAreNamed) {
  expect_refused([](Json& c) { c["hidden_size"] = 63; }, "must have the shape [any, 63]");
  expect_refused([](Json& c) { c["num_hidden_layers"] = 3; }, "model.layers.2.mlp.up_proj.weight is missing");
  expect_refused([](Json& c) { c["vocab_size"] = 127; }, "vocab_size must be the 128 rows of the embedding");
  expect_refused([](Json& c) { c["num_attention_heads"] = 8; }, "q_proj.weight must have the shape");
  expect_refused([](Json& c) { c["num_key_value_heads"] = 3; }, "must divide the 4 query heads, but is 3");
  expect_refused([](Json& c) { c["num_key_value_heads"] = 0; }, "but is 0");
  expect_refused([](Json& c) { c["head_dim"] = 15; }, "must be even, but is 15");
}

TEST_F(ChangedConfig, WhatCannotBeComputedIsRefused) {
  expect_refused([](Json& c) { c["hidden_act"] = "mish"; }, "hidden_act must be one of silu,");
  expect_refused([](Json& c) { c["model_type"] = "mystery"; }, "cannot be run yet (those that can: llama, ");
  expect_refused([](Json& c) { c["model_type"] = "mystery"; }, "): mystery");
  expect_refused([](Json& c) { c.erase("model_type"); }, "model_type must be a text");
  expect_refused(
      [](Json& c) {
        c["rope_parameters"] = {{"rope_type", "axial"}, {"rope_theta", 1e4}};
      },
      "not known: axial");
  expect_refused(
      [](Json& c) {
        c["rope_parameters"] = {{"rope_type", "llama3"}, {"rope_theta", 1e4}};
      },
      "rope_parameters.factor must be a number");
  expect_refused(
      [](Json& c) {
        c["rope_parameters"] = {{"rope_type", "longrope"}, {"short_factor", {1, 2}}, {"long_factor", {1, 2}}};
      },
      "rope_parameters.short_factor must be a list of 8 finite numbers");
  expect_refused([](Json& c) { c["rope_parameters"] = {{"rope_type", "dynamic"}, {"factor", 0.5}}; }, "at least 1");
  expect_refused([](Json& c) { c["rope_parameters"] = {{"rope_type", "linear"}, {"factor", 0}}; }, "must be positive");
  expect_refused(
      [](Json& c) {
        c["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", -1}};
      },
      "the rope's base must be positive");
  expect_refused([](Json& c) { c["quantization_config"] = Json::object(); }, "quantization_config says");
}

TEST_F(ChangedConfig, ListsOfLayersAreReadByNumberAndByLength) {
  Json config = Json::parse(std::ifstream(asset("models/tiny-llama-c") / "config.json"));
  config["some"] = {3, 0, 3};
  config["beyond"] = {1, 4};
  config["none"] = nullptr;
  config["outer"] = {{"inner", nullptr}, {"other", 1}};
  config["empty"] = Json::array();
  std::ofstream(folder_ / "config.json") << config;
  const auto file = ModelFile::open(folder_);
  ASSERT_TRUE(file) << file.error().message;
  const auto some = (*file)->named_layers({"", "some"}, 4);
  ASSERT_TRUE(some);
  EXPECT_EQ(*some, (std::vector<bool>{true, false, false, true}));
  const auto none = (*file)->named_layers({"", "none"}, 2);
  ASSERT_TRUE(none);
  EXPECT_EQ(*none, (std::vector<bool>{false, false}));
  EXPECT_NE((*file)->named_layers({"", "beyond"}, 4).error().message.find("beyond"), std::string::npos);
  EXPECT_EQ((*file)->list_length({"", "some"}, 3).value(), 3);
  for (const auto& [key, most] : {std::pair("some", 2), {"empty", 9}, {"none", 9}, {"missing", 9}}) {
    EXPECT_NE((*file)->list_length({"", key}, most).error().message.find(key), std::string::npos);
  }
  EXPECT_TRUE((*file)->is_null({"", "none"}));
  EXPECT_TRUE((*file)->is_null({"", "outer.inner"}));
  for (const char* key : {"missing", "some", "outer", "outer.other", "outer.missing", "some.inner", "none.inner"}) {
    EXPECT_FALSE((*file)->is_null({"", key})) << key;
  }
}

TEST(ModelFile, TheFirstNameThatAFileHasIsTaken) {
  const auto file = ModelFile::open(asset("models/tiny-llama-c"));
  ASSERT_TRUE(file) << file.error().message;
  constexpr TensorName kMissing{"", "model.layers.{}.missing.weight"}, kOther{"", "model.layers.{}.other.weight"};
  constexpr TensorName kNorm{"", "model.layers.{}.input_layernorm.weight"};
  EXPECT_EQ((*file)->which({kMissing, kNorm, kOther}, 1).hf, kNorm.hf);
  EXPECT_EQ((*file)->which({kMissing, kOther}, 1).hf, kMissing.hf);
}

TEST(ModelFile, NestedAndOldSpellingsAreRead) {
  const auto nested = ModelFile::open(asset("models/tiny-llama-e"));
  ASSERT_TRUE(nested) << nested.error().message;
  EXPECT_EQ((*nested)->integer({"", "hidden_size"}, 1, 1000).value(), 24);
  const auto gguf = ModelFile::open(asset("models/tiny-llama-a.f32.gguf"));
  ASSERT_TRUE(gguf) << gguf.error().message;
  EXPECT_EQ((*gguf)->integer({"embedding_length", ""}, 1, 1000).value(), 42);
  EXPECT_EQ((*gguf)->spelled(ConfigKey{"block_count", "num_hidden_layers"}), "llama.block_count");
}

}  // namespace
}  // namespace orrery::testing
