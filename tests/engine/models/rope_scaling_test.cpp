// Every rope scaling against transformers: frequencies within and beyond the original length, and a model's logits
// beyond it. Goldens by assets/goldens/make_goldens.py rope.
#include "engine/models/rope_scaling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/models/rope_reader.h"
#include "tests/engine/formats/files.h"
#include "tests/engine/models/golden_check.h"
#include "tests/support/npy.h"

namespace orrery::testing {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int64_t kHeadWidth = 16;  // of tiny-llama-c

std::vector<Json> cases() {
  std::vector<Json> all;
  for (const Json& one : Json::parse(std::ifstream(asset("goldens/rope/cases.json")))) all.push_back(one);
  return all;
}

// A copy of the tiny llama folder c with the case's settings.
class RopeScalingCase : public ::testing::TestWithParam<Json> {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) / ("orrery_rope_" + name());
    fs::remove_all(folder_);
    fs::copy(asset("models/tiny-llama-c"), folder_);
    Json config = Json::parse(std::ifstream(asset("models/tiny-llama-c") / "config.json"));
    config.update(GetParam()["patch"]);
    std::ofstream(folder_ / "config.json") << config;
  }
  void TearDown() override { fs::remove_all(folder_); }

  static std::string name() { return GetParam()["name"].get<std::string>(); }

  static void expect_frequencies(const std::vector<float>& ours, const Json& wanted) {
    ASSERT_EQ(ours.size(), wanted.size());
    for (size_t i = 0; i < ours.size(); ++i) {
      EXPECT_NEAR(ours[i], wanted[i].get<double>(), 2e-6 * std::abs(wanted[i].get<double>())) << i;
    }
  }

  void expect_logits(int64_t batch_rows, const std::string& golden) const {
    const auto tokens = read_npy<int32_t>(asset("goldens/rope/tokens.npy")).values;
    const auto wanted = read_npy<float>(asset("goldens/rope/" + golden));
    const Measured measured = measure(load_model(folder_), tokens, batch_rows, false);
    ASSERT_GE(measured.logits.size(), wanted.values.size());
    const size_t skipped = measured.logits.size() - wanted.values.size();
    double worst = 0.0;
    for (size_t i = 0; i < wanted.values.size(); ++i) {
      worst = std::max(worst, std::abs(static_cast<double>(measured.logits[skipped + i]) - wanted.values[i]));
    }
    EXPECT_LE(worst, GoldenBounds{}.logits);
  }

  fs::path folder_;
};

TEST_P(RopeScalingCase, FrequenciesAreTheReferences) {
  const auto file = ModelFile::open(folder_);
  ASSERT_TRUE(file) << file.error().message;
  RopeConfig rope;
  const Result<void> read = read_rope(**file, kHeadWidth, {}, rope);
  ASSERT_TRUE(read) << read.error().message;
  expect_frequencies(rope.frequencies_at(1), GetParam()["frequencies"]);
  expect_frequencies(rope.frequencies_at(GetParam()["long_length"]), GetParam()["long_frequencies"]);
  EXPECT_NEAR(rope.magnitude, GetParam()["magnitude"].get<double>(), 1e-6);
}

TEST_P(RopeScalingCase, LogitsBeyondTheOriginalLengthAreTheReferencesAtOnceAndByStep) {
  expect_logits(1 << 20, name() + ".batch.npy");
  const bool by_length = fs::exists(asset("goldens/rope/" + name() + ".steps.npy"));
  expect_logits(1, name() + (by_length ? ".steps.npy" : ".batch.npy"));
}

INSTANTIATE_TEST_SUITE_P(All, RopeScalingCase, ::testing::ValuesIn(cases()), [](const auto& one) {
  std::string name = one.param["name"];
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

// The frequencies of a case of cases.json.
Json golden_of(const std::string& name) {
  for (const Json& one : cases()) {
    if (one["name"] == name) return one;
  }
  return {};
}

RopeConfig rope_of_gguf(const GgufBuilder& file, const RopeKind& kind = {}) {
  const TempFolder folder;
  const auto opened = ModelFile::open(folder.write("model.gguf", file.build()));
  EXPECT_TRUE(opened) << opened.error().message;
  RopeConfig rope;
  const Result<void> read = read_rope(**opened, kHeadWidth, kind, rope);
  EXPECT_TRUE(read) << read.error().message;
  return rope;
}

GgufBuilder gguf_of_llama() {
  GgufBuilder file;
  file.string("general.architecture", "llama").f32("llama.rope.freq_base", 1e5f);
  return file;
}

void expect_golden(const RopeConfig& rope, const std::string& name) {
  const Json golden = golden_of(name);
  const std::vector<float> long_frequencies = rope.frequencies_at(golden["long_length"]);
  ASSERT_EQ(rope.inverse_frequencies.size(), golden["frequencies"].size());
  for (size_t i = 0; i < long_frequencies.size(); ++i) {
    const auto near = golden["frequencies"][i].get<double>(), far = golden["long_frequencies"][i].get<double>();
    EXPECT_NEAR(rope.inverse_frequencies[i], near, 2e-6 * near);
    EXPECT_NEAR(long_frequencies[i], far, 2e-6 * far);
  }
  EXPECT_NEAR(rope.magnitude, golden["magnitude"].get<double>(), 1e-6);
}

TEST(RopeScaling, GgufSpellsTheSameScalings) {
  GgufBuilder linear = gguf_of_llama();
  linear.string("llama.rope.scaling.type", "linear").f32("llama.rope.scaling.factor", 3.5f);
  expect_golden(rope_of_gguf(linear), "linear");
  GgufBuilder old = gguf_of_llama();
  old.f32("llama.rope.scale_linear", 3.5f);
  expect_golden(rope_of_gguf(old), "linear");
  GgufBuilder yarn = gguf_of_llama();
  yarn.string("llama.rope.scaling.type", "yarn").f32("llama.rope.scaling.factor", 5.0f);
  yarn.u32("llama.rope.scaling.original_context_length", 32).u32("llama.context_length", 160);
  expect_golden(rope_of_gguf(yarn), "yarn");
}

TEST(RopeScaling, GgufHasFactorsAsTensors) {
  const Json golden = golden_of("longrope");
  const Json& scaling = golden["patch"]["rope_parameters"];
  Bytes near, far;
  for (const Json& one : scaling["short_factor"]) near.add(one.get<float>());
  for (const Json& one : scaling["long_factor"]) far.add(one.get<float>());
  GgufBuilder file = gguf_of_llama();
  file.u32("llama.rope.scaling.original_context_length", 64).u32("llama.context_length", 160);
  file.f32("llama.rope.scaling.attn_factor", golden["magnitude"]);
  file.tensor("rope_factors_short.weight", {8}, 0, near.str()).tensor("rope_factors_long.weight", {8}, 0, far.str());
  expect_golden(rope_of_gguf(file), "longrope");
}

TEST(RopeScaling, GgufsWindowedLayersHaveTheirOwnBaseAndNoScaling) {
  GgufBuilder file = gguf_of_llama();
  file.string("llama.rope.scaling.type", "linear").f32("llama.rope.scaling.factor", 8.0f);
  EXPECT_FLOAT_EQ(rope_of_gguf(file, {.layer_type = "full_attention"}).inverse_frequencies[0], 0.125f);
  EXPECT_FLOAT_EQ(rope_of_gguf(file, {.layer_type = "sliding_attention"}).inverse_frequencies[1],
                  static_cast<float>(std::pow(10000.0, -2.0 / kHeadWidth)));
  file.f32("llama.rope.freq_base_swa", 500.0f);
  EXPECT_FLOAT_EQ(rope_of_gguf(file, {.layer_type = "sliding_attention"}).inverse_frequencies[1],
                  static_cast<float>(std::pow(500.0, -2.0 / kHeadWidth)));
}

TEST(RopeScaling, PartialRotationLeavesTheRestOfAHead) {
  RopeScaling scaling;
  scaling.kind = RopeScalingKind::kLinear;
  scaling.base = 100.0;
  scaling.d_head = 10;
  scaling.n_rot = 6;
  scaling.factor = 2.0;
  RopeConfig rope;
  fill_rope(scaling, rope);
  ASSERT_EQ(rope.inverse_frequencies.size(), 3u);  // of 5 pairs
  EXPECT_FLOAT_EQ(rope.inverse_frequencies[0], 0.5f);
  EXPECT_FLOAT_EQ(rope.inverse_frequencies[1], static_cast<float>(std::pow(100.0, -2.0 / 6.0) / 2.0));
  EXPECT_FLOAT_EQ(rope.magnitude, 1.0f);
}

TEST(RopeScaling, TheContextIsWhatTheFactorStretchesTo) {
  RopeScaling scaling;
  scaling.factor = 4.0;
  EXPECT_EQ(stretched_length(scaling, 100), 100);  // not scaled
  scaling.kind = RopeScalingKind::kDynamicNtk;
  scaling.original_length = 100;
  EXPECT_EQ(stretched_length(scaling, 100), 400);
  scaling.kind = RopeScalingKind::kYarn;  // the file already states the stretched length
  EXPECT_EQ(stretched_length(scaling, 400), 400);
  scaling.kind = RopeScalingKind::kProportional;
  EXPECT_EQ(stretched_length(scaling, 100), 100);
}

}  // namespace
}  // namespace orrery::testing
