#include "kernels/layer_norm.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/thread_pool.h"
#include "tests/kernels/each_target.h"
#include "tests/kernels/random_tensors.h"

namespace orrery {
namespace {

constexpr double kBound = 1e-11;  // a few roundings of 6e-8, of numbers as large as what is left without their mean

std::vector<float> with_mean(std::vector<float> values, float mean) {
  for (float& value : values) value += mean;
  return values;
}

TEST(LayerNorm, MatchesTheReferenceAtEveryWidthAndAddress) {
  for_each_target([] {
    ThreadPool pool(1);
    for (int64_t d = 2; d <= 70; ++d) {
      for (const int64_t offset : {0, 1, 3}) {
        const auto x = with_mean(random_floats(static_cast<size_t>(3 * (d + 2) + offset), 1, 3.0f), 1.7f);
        const auto weight = random_floats(static_cast<size_t>(d), 2), bias = random_floats(static_cast<size_t>(d), 3);
        const Matrix<const float> in(x.data() + offset, 3, d, d + 2);
        std::vector<float> got(static_cast<size_t>(3 * d)), expected(got.size());
        for (const NormAffine& affine : {NormAffine{weight, bias}, NormAffine{weight, {}}, NormAffine{}}) {
          layer_norm(in, affine, 1e-5f, Matrix<float>(got.data(), 3, d), pool);
          layer_norm_reference(in, affine, 1e-5f, Matrix<float>(expected.data(), 3, d));
          EXPECT_LT(nmse(got, expected), kBound) << d;
        }
      }
    }
  });
}

TEST(LayerNorm, RowsTakeTurnsWithSeveralWeightsAndBiases) {
  for_each_target([] {
    ThreadPool pool(3);
    const int64_t n = 301, groups = 3, d = 37;
    const auto x = random_floats(static_cast<size_t>(n * groups * d), 5);
    const auto weights = random_floats(static_cast<size_t>(groups * d), 6);
    const auto biases = random_floats(static_cast<size_t>(groups * d), 7);
    std::vector<float> got(x.size()), expected(x.size());
    layer_norm({x.data(), n * groups, d}, {weights, biases}, 1e-5f, {got.data(), n * groups, d}, pool);
    for (int64_t r = 0; r < n * groups; ++r) {
      const auto first = static_cast<size_t>(r % groups * d);
      const NormAffine own{std::span(weights).subspan(first, d), std::span(biases).subspan(first, d)};
      layer_norm_reference({x.data() + r * d, 1, d}, own, 1e-5f, {expected.data() + r * d, 1, d});
    }
    EXPECT_LT(nmse(got, expected), kBound);
    layer_norm_reference({x.data(), n * groups, d}, {weights, biases}, 1e-5f, {got.data(), n * groups, d});
    EXPECT_EQ(got, expected);
  });
}

TEST(LayerNorm, WorksInPlaceAndForAnyNumberOfThreads) {
  std::vector<float> x = random_floats(300 * 577, 3);
  const std::vector<float> weight = random_floats(577, 4), bias = random_floats(577, 5);
  std::vector<float> expected(x.size());
  ThreadPool one(1), three(3);
  layer_norm({x.data(), 300, 577}, {weight, bias}, 1e-6f, {expected.data(), 300, 577}, one);
  layer_norm({x.data(), 300, 577}, {weight, bias}, 1e-6f, {x.data(), 300, 577}, three);
  EXPECT_EQ(x, expected);
}

// A mean far above what differs: what is left must keep its digits.
TEST(LayerNorm, ALargeMeanTakesNoDigits) {
  for_each_target([] {
    ThreadPool pool(1);
    const std::vector<float> x = {1000.0f, 1001.0f, 1002.0f, 1003.0f, 1004.0f};
    std::vector<float> got(5);
    layer_norm({x.data(), 1, 5}, {}, 0.0f, {got.data(), 1, 5}, pool);
    EXPECT_NEAR(got[0], -1.41421356f, 1e-5f);
    EXPECT_NEAR(got[2], 0.0f, 1e-5f);
    EXPECT_NEAR(got[3], 0.70710678f, 1e-5f);
  });
}

}  // namespace
}  // namespace orrery
