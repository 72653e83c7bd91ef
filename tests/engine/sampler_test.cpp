#include "engine/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>

namespace orrery {
namespace {

using ::testing::HasSubstr;

SamplerSettings everything() {
  SamplerSettings settings;
  settings.temperature = 1;
  settings.top_k = 0;
  settings.top_p = 1;
  return settings;
}

// How often each id is drawn in `n` samples.
std::map<int32_t, int> draw(const SamplerSettings& settings, const std::vector<float>& logits, int n,
                            const std::vector<int32_t>& recent = {}) {
  Sampler sampler(settings);
  std::map<int32_t, int> counts;
  for (int i = 0; i < n; ++i) ++counts[sampler.sample(logits, recent).value().id];
  return counts;
}

TEST(SamplerSettingsTest, DefaultsAreThoseOfTheInterface) {
  const SamplerSettings settings;
  EXPECT_EQ(settings.temperature, 0.8);
  EXPECT_EQ(settings.top_k, 40);
  EXPECT_EQ(settings.top_p, 0.95);
  EXPECT_EQ(settings.min_p, 0);
  EXPECT_EQ(settings.repeat_penalty, 1);
  EXPECT_EQ(settings.seed, 0u);
  EXPECT_TRUE(settings.validate());
}

TEST(SamplerSettingsTest, ImpossibleValuesAreRefusedNamingOptionAndValue) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const auto refusal = [](const std::function<void(SamplerSettings&)>& change) {
    SamplerSettings settings;
    change(settings);
    const auto result = settings.validate();
    EXPECT_FALSE(result);
    return result ? std::string() : result.error().message;
  };
  for (const double bad : {nan, infinity, -infinity, -0.1}) {
    EXPECT_THAT(refusal([&](auto& s) { s.temperature = bad; }), HasSubstr("--temperature"));
    EXPECT_THAT(refusal([&](auto& s) { s.top_p = bad; }), HasSubstr("--top-p"));
    EXPECT_THAT(refusal([&](auto& s) { s.min_p = bad; }), HasSubstr("--min-p"));
    EXPECT_THAT(refusal([&](auto& s) { s.repeat_penalty = bad; }), HasSubstr("--repeat-penalty"));
  }
  EXPECT_THAT(refusal([](auto& s) { s.top_p = 1.5; }), HasSubstr("1.5"));
  EXPECT_THAT(refusal([](auto& s) { s.min_p = 2; }), HasSubstr("2"));
  EXPECT_THAT(refusal([](auto& s) { s.top_k = -3; }), HasSubstr("-3"));
  EXPECT_THAT(refusal([](auto& s) { s.repeat_penalty = 0; }), HasSubstr("0"));
  EXPECT_THAT(refusal([](auto& s) { s.repeat_last_n = -2; }), HasSubstr("-2"));
}

TEST(SamplerTest, TemperatureZeroTakesTheLikeliestAndTiesGoToTheLowerId) {
  SamplerSettings settings;
  settings.temperature = 0;
  Sampler sampler(settings);
  const std::vector<float> logits = {1, 5, 3, 5, -2};
  const SampledToken token = sampler.sample(logits, {}).value();
  EXPECT_EQ(token.id, 1);
  EXPECT_EQ(token.probability, 1.f);
}

TEST(SamplerTest, OneSeedGivesOneTextAndAnotherSeedAnother) {
  const std::vector<float> logits(50, 0.f);
  const auto sequence = [&](uint64_t seed) {
    SamplerSettings settings = everything();
    settings.seed = seed;
    Sampler sampler(settings);
    std::vector<int32_t> ids;
    for (int i = 0; i < 40; ++i) ids.push_back(sampler.sample(logits, {}).value().id);
    return ids;
  };
  EXPECT_EQ(sequence(0), sequence(0));
  EXPECT_EQ(sequence(7), sequence(7));
  EXPECT_NE(sequence(0), sequence(7));
}

// Pins the generator and the drawing: recorded runs are repeated by their seed for as long as this holds.
TEST(SamplerTest, TheDrawnSequenceNeverChanges) {
  SamplerSettings settings = everything();
  settings.seed = 42;
  Sampler sampler(settings);
  const std::vector<float> logits(1000, 0.f);  // equal weights: ids are floor(1000 u)
  std::vector<int32_t> ids;
  for (int i = 0; i < 6; ++i) ids.push_back(sampler.sample(logits, {}).value().id);
  EXPECT_EQ(ids, (std::vector<int32_t>{814, 318, 983, 701, 793, 588}));
}

TEST(SamplerTest, FrequenciesFollowTheSoftmax) {
  const std::vector<float> logits = {0, std::log(2.f), std::log(4.f), std::log(1.f)};  // 1 : 2 : 4 : 1
  const auto counts = draw(everything(), logits, 40000);
  EXPECT_NEAR(counts.at(0) / 40000.0, 0.125, 0.01);
  EXPECT_NEAR(counts.at(1) / 40000.0, 0.25, 0.01);
  EXPECT_NEAR(counts.at(2) / 40000.0, 0.5, 0.01);
  Sampler sampler(everything());
  for (int i = 0; i < 20; ++i) {
    const SampledToken token = sampler.sample(logits, {}).value();
    EXPECT_NEAR(token.probability, std::exp(logits[static_cast<size_t>(token.id)]) / 8, 1e-6);
  }
}

TEST(SamplerTest, TemperatureSharpensAndFlattens) {
  const std::vector<float> logits = {0, 1};
  SamplerSettings settings = everything();
  settings.temperature = 0.25;  // e^4 : 1
  EXPECT_NEAR(draw(settings, logits, 20000)[1] / 20000.0, std::exp(4) / (1 + std::exp(4)), 0.01);
  settings.temperature = 4;
  EXPECT_NEAR(draw(settings, logits, 20000)[1] / 20000.0, std::exp(0.25) / (1 + std::exp(0.25)), 0.015);
  settings.temperature = 1e-300;
  EXPECT_EQ(draw(settings, logits, 100)[1], 100);
}

TEST(SamplerTest, TopKKeepsTheLikeliestWithTiesToLowerIds) {
  SamplerSettings settings = everything();
  settings.top_k = 2;
  const auto counts = draw(settings, {1, 3, 1, 1}, 500);
  EXPECT_EQ(counts.size(), 2u);
  EXPECT_TRUE(counts.contains(0) && counts.contains(1));
}

TEST(SamplerTest, TopPKeepsTheFewestThatReachIt) {
  const std::vector<float> logits = {std::log(0.1f), std::log(0.5f), std::log(0.3f), std::log(0.1f)};
  SamplerSettings settings = everything();
  settings.top_p = 0.75;
  const auto counts = draw(settings, logits, 2000);
  EXPECT_EQ(counts.size(), 2u);
  EXPECT_TRUE(counts.contains(1) && counts.contains(2));
  settings.top_p = 0;
  EXPECT_EQ(draw(settings, logits, 200).size(), 1u);
}

TEST(SamplerTest, MinPIsRelativeToTheLikeliestAndIgnoresTemperature) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.04f)};
  SamplerSettings settings = everything();
  settings.min_p = 0.1;
  settings.temperature = 100;  // would flatten all three to a third, were it applied first
  const auto counts = draw(settings, logits, 2000);
  EXPECT_EQ(counts.size(), 2u);
  EXPECT_FALSE(counts.contains(2));
}

TEST(SamplerTest, RepeatPenaltyLowersPositiveAndNegativeLogits) {
  SamplerSettings settings;
  settings.temperature = 0;
  settings.repeat_penalty = 2;
  const auto greedy = [&](const std::vector<float>& logits, const std::vector<int32_t>& recent) {
    return Sampler(settings).sample(logits, recent).value().id;
  };
  EXPECT_EQ(greedy({4, 3, 0}, {0}), 1);
  EXPECT_EQ(greedy({-1, -1.5f, -9}, {0}), 1);
  EXPECT_EQ(greedy({4, 3, 0}, {0, 0, 0, 1}), 0);   // once only, however often it occurred: 2, 1.5
  EXPECT_EQ(greedy({4, 3, 0}, {-1, 3, 1000}), 0);  // ids from elsewhere do no harm
  settings.repeat_last_n = 2;
  EXPECT_EQ(greedy({4, 3, 0}, {0, 2, 2}), 0);
  settings.repeat_last_n = -1;
  EXPECT_EQ(greedy({4, 3, 0}, {0, 2, 2}), 1);
  settings.repeat_last_n = 0;
  EXPECT_EQ(greedy({4, 3, 0}, {0}), 0);
}

TEST(SamplerTest, MaskedTokensAreNeverDrawn) {
  const float none = -std::numeric_limits<float>::infinity();
  const auto counts = draw(everything(), {none, 1, none, 1}, 500);
  EXPECT_EQ(counts.size(), 2u);
  EXPECT_TRUE(counts.contains(1) && counts.contains(3));
}

TEST(SamplerTest, OutputThatIsNoNumberIsAnError) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const double temperature : {0.0, 0.8}) {
    SamplerSettings settings;
    settings.temperature = temperature;
    Sampler sampler(settings);
    for (const std::vector<float>& logits :
         {std::vector<float>{1, nan, 2}, {infinity, 1}, {-infinity, -infinity}, {}}) {
      const auto result = sampler.sample(logits, {});
      ASSERT_FALSE(result);
      EXPECT_EQ(result.error().code, ErrorCode::kInvalidFile);
    }
  }
}

TEST(SamplerTest, ExtremeLogitsStayInRange) {
  SamplerSettings settings;
  settings.repeat_penalty = 1e6;
  const float big = std::numeric_limits<float>::max();
  const auto counts = draw(settings, {-big, big, 0}, 50, {0, 1});
  EXPECT_EQ(counts.size(), 1u);
  EXPECT_TRUE(counts.contains(1));
}

}  // namespace
}  // namespace orrery
