#include "kernels/moe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/expert_matmul.h"
#include "kernels/thread_pool.h"
#include "tests/kernels/random_tensors.h"

namespace orrery {
namespace {

struct Routed {
  std::vector<int32_t> experts;
  std::vector<float> weights, margin, entropy;
};

Routed route_all(const std::vector<float>& logits, const std::vector<float>& bias, const RouterConfig& config,
                 int n_threads = 1) {
  const auto n_rows = static_cast<int64_t>(logits.size()) / config.n_experts;
  Routed routed;
  routed.experts.resize(static_cast<size_t>(n_rows * config.n_chosen));
  routed.weights.resize(routed.experts.size());
  routed.margin.resize(static_cast<size_t>(n_rows));
  routed.entropy.resize(static_cast<size_t>(n_rows));
  std::vector<float> recorded_experts(routed.experts.size()), recorded_weights(routed.experts.size());
  ThreadPool pool(n_threads);
  route({logits.data(), n_rows, config.n_experts}, bias, config,
        {routed.experts.data(), routed.weights.data(), n_rows, config.n_chosen},
        {.experts = {recorded_experts.data(), config.n_chosen},
         .weights = {recorded_weights.data(), config.n_chosen},
         .margin = {routed.margin.data(), 1},
         .entropy = {routed.entropy.data(), 1}},
        pool);
  EXPECT_EQ(std::memcmp(recorded_experts.data(), routed.experts.data(), routed.experts.size() * 4), 0);
  EXPECT_EQ(std::memcmp(recorded_weights.data(), routed.weights.data(), routed.weights.size() * 4), 0);
  return routed;
}

double softmax_of(const std::vector<float>& logits, size_t i) {
  double sum = 0.0;
  for (const float x : logits) sum += std::exp(double{x});
  return std::exp(double{logits[i]}) / sum;
}

TEST(Route, SoftmaxGivesProbabilitiesAndRenormalisesWhereAsked) {
  const std::vector<float> logits = {0.1f, 2.0f, -1.0f, 1.5f, 0.0f};
  RouterConfig config{.n_experts = 5, .n_chosen = 2};
  const Routed raw = route_all(logits, {}, config);
  EXPECT_EQ(raw.experts, (std::vector<int32_t>{1, 3}));
  EXPECT_NEAR(raw.weights[0], softmax_of(logits, 1), 1e-6);
  EXPECT_NEAR(raw.weights[1], softmax_of(logits, 3), 1e-6);
  EXPECT_NEAR(raw.margin[0], softmax_of(logits, 3) - softmax_of(logits, 0), 1e-6);
  double entropy = 0.0;
  for (size_t i = 0; i < 5; ++i) entropy -= softmax_of(logits, i) * std::log(softmax_of(logits, i));
  EXPECT_NEAR(raw.entropy[0], entropy, 1e-6);
  config.renormalise = true;
  config.scale = 2.5f;
  const Routed scaled = route_all(logits, {}, config);
  EXPECT_NEAR(scaled.weights[0] + scaled.weights[1], 2.5, 1e-6);
  EXPECT_NEAR(scaled.weights[0] / scaled.weights[1], std::exp(0.5), 1e-5);
}

TEST(Route, SoftmaxOfTheChosenEqualsRenormalisedSoftmax) {
  const std::vector<float> logits = random_floats(300 * 7, 1, 2.0f);
  const Routed after = route_all(logits, {}, {.n_experts = 7, .n_chosen = 3, .score = RouterScore::kSoftmaxOfChosen});
  const Routed before = route_all(logits, {}, {.n_experts = 7, .n_chosen = 3, .renormalise = true}, 3);
  EXPECT_EQ(after.experts, before.experts);
  EXPECT_LT(nmse(after.weights, before.weights), 1e-12);
  // The one ranks by logits, the other by probabilities.
  std::vector<float> first(logits.begin(), logits.begin() + 7);
  std::ranges::sort(first, std::greater());
  EXPECT_FLOAT_EQ(after.margin[0], first[2] - first[3]);
}

TEST(Route, ABiasChoosesButDoesNotWeigh) {
  const std::vector<float> logits = {0.0f, 1.0f, 2.0f, 3.0f}, bias = {10.0f, 0.0f, 0.5f, 0.0f};
  const RouterConfig config{.n_experts = 4, .n_chosen = 2, .score = RouterScore::kSigmoid};
  const Routed routed = route_all(logits, bias, config);
  const auto sigmoid = [](double x) { return 1.0 / (1.0 + std::exp(-x)); };
  // By score + bias: 0 (10.5), then 2 (1.38); 3 (0.95) is next. By weight 2 comes first.
  EXPECT_EQ(routed.experts, (std::vector<int32_t>{2, 0}));
  EXPECT_NEAR(routed.weights[0], sigmoid(2.0), 1e-6);
  EXPECT_NEAR(routed.weights[1], sigmoid(0.0), 1e-6);
  EXPECT_NEAR(routed.margin[0], sigmoid(2.0) + 0.5 - sigmoid(3.0), 1e-6);
}

TEST(Route, OnlyTheBestGroupsAreChosenFrom) {
  // Groups {0, 1}, {2, 3}, {4, 5}: the sums of the best two are 1.1, 1.2, 1.0; the best ones 1.0, 0.7, 0.9.
  const std::vector<float> scores = {0.1f, 1.0f, 0.7f, 0.5f, 0.9f, 0.1f};
  RouterConfig config{.n_experts = 6, .n_chosen = 2, .score = RouterScore::kSoftmaxOfChosen, .n_groups = 3};
  config.n_kept_groups = 2;
  EXPECT_EQ(route_all(scores, {}, config).experts, (std::vector<int32_t>{1, 2}));
  config.n_kept_groups = 1;
  EXPECT_EQ(route_all(scores, {}, config).experts, (std::vector<int32_t>{2, 3}));
  EXPECT_TRUE(std::isnan(route_all(scores, {}, config).margin[0])) << "all of the kept groups are chosen";
  config.group_by_sum_of_two = false;
  EXPECT_EQ(route_all(scores, {}, config).experts, (std::vector<int32_t>{1, 0}));
}

TEST(Route, TiesGoToTheLowerId) {
  const Routed routed = route_all(std::vector<float>(8, 0.5f), {}, {.n_experts = 8, .n_chosen = 3});
  EXPECT_EQ(routed.experts, (std::vector<int32_t>{0, 1, 2}));
  EXPECT_EQ(routed.margin[0], 0.0f);
}

TEST(Route, NumbersThatAreNoneChooseSomeExpertAllTheSame) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const RouterScore score : {RouterScore::kSoftmax, RouterScore::kSigmoid, RouterScore::kSoftmaxOfChosen}) {
    const RouterConfig config{.n_experts = 20, .n_chosen = 5, .score = score, .n_groups = 4, .n_kept_groups = 2};
    for (const int32_t expert : route_all(std::vector<float>(20, nan), {}, config).experts) {
      EXPECT_GE(expert, 0);
      EXPECT_LT(expert, 20);
    }
  }
}

// Products of three experts' weights with the rows that chose them.
TEST(ExpertMatmul, EqualsAProductForEveryChoice) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kQ8_0, DType::kQ4_K}) {
    constexpr int64_t kIn = 256, kOut = 33;
    std::vector<RandomWeight> stored;
    std::vector<TensorView> weights, biases;
    std::vector<std::vector<float>> bias_values;
    for (uint32_t e = 0; e < 5; ++e) {
      stored.emplace_back(dtype, kOut, kIn, e);
      bias_values.push_back(random_floats(kOut, 50 + e));
    }
    for (size_t e = 0; e < 5; ++e) {
      weights.push_back(stored[e].view());
      biases.push_back({DType::kF32, {kOut}, reinterpret_cast<const std::byte*>(bias_values[e].data())});
    }
    ThreadPool pool(2);
    ExpertMatmulScratch scratch;
    MatmulScratch plain;
    for (const int64_t n_rows : {1, 4, 30}) {
      constexpr int32_t kChosen = 2;
      std::vector<int32_t> experts;
      for (int64_t r = 0; r < n_rows; ++r) {  // expert 2 is never chosen
        experts.push_back(static_cast<int32_t>(r % 2));
        experts.push_back(static_cast<int32_t>(3 + r / 2 % 2));
      }
      std::vector<float> ones(experts.size(), 1.0f);
      const Routes routes{experts.data(), ones.data(), n_rows, kChosen};
      for (const bool per_choice : {false, true}) {
        const int64_t n_inputs = per_choice ? n_rows * kChosen : n_rows;
        const std::vector<float> x = random_floats(static_cast<size_t>(n_inputs * kIn), 7);
        std::vector<float> got(static_cast<size_t>(n_rows * kChosen * kOut)), expected(got.size());
        const ExpertProduct product{weights, biases, {got.data(), n_rows * kChosen, kOut}};
        expert_matmul({x.data(), n_inputs, kIn}, routes, {&product, 1}, scratch, pool);
        for (int64_t choice = 0; choice < n_rows * kChosen; ++choice) {
          const auto e = static_cast<size_t>(experts[static_cast<size_t>(choice)]);
          const int64_t row = per_choice ? choice : choice / kChosen;
          const MatmulTarget target{weights[e], bias_values[e], {expected.data() + choice * kOut, 1, kOut}};
          matmul({x.data() + row * kIn, 1, kIn}, {&target, 1}, plain, pool);
        }
        EXPECT_EQ(got, expected) << dtype_name(dtype) << ", " << n_rows << " rows";
      }
    }
  }
}

// A product for every head: inputs and outputs are parts of wider rows.
TEST(ExpertMatmul, RoutesThatNameNoExpertsTakeThemInTurn) {
  constexpr int64_t kIn = 32, kOut = 5, kInStride = 35, kOutStride = 9;
  constexpr int32_t kHeads = 3;
  std::vector<RandomWeight> stored;
  std::vector<TensorView> weights;
  for (uint32_t head = 0; head < kHeads; ++head) stored.emplace_back(DType::kQ8_0, kOut, kIn, head);
  for (const RandomWeight& one : stored) weights.push_back(one.view());
  ThreadPool pool(2);
  ExpertMatmulScratch scratch;
  for (const int64_t n_rows : {1, 2, 30}) {
    const std::vector<float> x = random_floats(static_cast<size_t>(n_rows * kHeads * kInStride), 8);
    std::vector<int32_t> named;
    for (int64_t choice = 0; choice < n_rows * kHeads; ++choice) named.push_back(static_cast<int32_t>(choice % kHeads));
    std::vector<float> got(static_cast<size_t>(n_rows * kHeads * kOutStride), -5.0f), expected = got;
    for (const bool names : {false, true}) {
      const ExpertProduct product{
          weights, {}, {(names ? expected : got).data() + 2, n_rows * kHeads, kOut, kOutStride}};
      expert_matmul({x.data() + 1, n_rows * kHeads, kIn, kInStride},
                    {names ? named.data() : nullptr, nullptr, n_rows, kHeads}, {&product, 1}, scratch, pool);
    }
    EXPECT_EQ(got, expected) << n_rows << " rows";
    EXPECT_NE(got[2], -5.0f);
  }
}

TEST(SumExperts, WeighsEveryChoice) {
  constexpr int64_t kRows = 40, kWidth = 501;
  constexpr int32_t kChosen = 3;
  const std::vector<float> x = random_floats(kRows * kChosen * kWidth, 1);
  std::vector<float> weights = random_floats(kRows * kChosen, 2), out(kRows * kWidth);
  std::vector<int32_t> experts(kRows * kChosen);
  ThreadPool pool(3);
  sum_experts({x.data(), kRows * kChosen, kWidth}, {experts.data(), weights.data(), kRows, kChosen},
              {out.data(), kRows, kWidth}, pool);
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t i = 0; i < kWidth; ++i) {
      double sum = 0.0;
      for (size_t j = 0; j < kChosen; ++j) {
        sum += double{weights[r * kChosen + j]} * double{x[(r * kChosen + j) * kWidth + i]};
      }
      ASSERT_NEAR(out[r * kWidth + i], sum, 1e-5);
    }
  }
}

}  // namespace
}  // namespace orrery
