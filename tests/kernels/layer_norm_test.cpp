#include "kernels/layer_norm.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/thread_pool.h"
#include "tests/kernels/each_target.h"
#include "tests/kernels/random_tensors.h"

namespace orrery {
namespace {

// The mean is taken away once, from numbers of its size: a few roundings of 6e-8.
constexpr double kBound = 1e-12;

TEST(LayerNorm, MatchesTheReferenceAtEveryWidthAndAddress) {
  for_each_target([] {
    ThreadPool pool(1);
    for (int64_t d = 2; d <= 70; ++d) {
      for (const int64_t offset : {0, 1, 3}) {
        std::vector<float> x = random_floats(static_cast<size_t>(3 * (d + 2) + offset), 1, 3.0f);
        for (float& value : x) value += 2.0f;
        const std::vector<float> weight = random_floats(static_cast<size_t>(d), 2);
        const std::vector<float> bias = random_floats(static_cast<size_t>(d), 3);
        const Matrix<const float> in(x.data() + offset, 3, d, d + 2);
        std::vector<float> got(static_cast<size_t>(3 * d)), expected(got.size());
        const auto compare = [&](std::span<const float> w, std::span<const float> b) {
          layer_norm(in, w, b, 1e-2f, Matrix<float>(got.data(), 3, d), pool);
          layer_norm_reference(in, w, b, 1e-2f, Matrix<float>(expected.data(), 3, d));
          EXPECT_LT(nmse(got, expected), kBound) << d;
        };
        compare(weight, bias);
        compare(weight, {});
        compare({}, bias);
        compare({}, {});
      }
    }
  });
}

TEST(LayerNorm, HasNoMeanAndVarianceOneButForEpsilon) {
  const std::vector<float> x = {3.0f, 5.0f, 7.0f, 9.0f};  // mean 6, variance 5
  std::vector<float> out(4);
  layer_norm_reference(Matrix<const float>(x.data(), 1, 4), {}, {}, 4.0f, Matrix<float>(out.data(), 1, 4));
  EXPECT_EQ(out, (std::vector<float>{-1.0f, -1.0f / 3.0f, 1.0f / 3.0f, 1.0f}));
}

TEST(LayerNorm, WorksInPlaceAndForAnyNumberOfThreads) {
  std::vector<float> x = random_floats(300 * 577, 3);
  const std::vector<float> weight = random_floats(577, 4), bias = random_floats(577, 5);
  std::vector<float> expected(x.size());
  ThreadPool one(1), three(3);
  const Matrix<float> in(x.data(), 300, 577);
  layer_norm(in, weight, bias, 1e-6f, Matrix<float>(expected.data(), 300, 577), one);
  layer_norm(in, weight, bias, 1e-6f, in, three);
  EXPECT_EQ(x, expected);
}

TEST(LayerNorm, RowsTakeTurnsWithSeveralWeights) {
  for_each_target([] {
    ThreadPool pool(3);
    const std::vector<float> x = random_floats(31 * 6 * 37, 5);
    const std::vector<float> weights = random_floats(3 * 37, 6), biases = random_floats(2 * 37, 7);
    std::vector<float> got(x.size()), expected(x.size());
    const Matrix<const float> in(x.data(), 31 * 6, 37);
    layer_norm(in, weights, biases, 1e-5f, Matrix<float>(got.data(), 31 * 6, 37), pool);
    for (int64_t r = 0; r < in.n_rows; ++r) {
      layer_norm_reference(in.rows(r, 1), std::span(weights).subspan(static_cast<size_t>(r % 3 * 37), 37),
                           std::span(biases).subspan(static_cast<size_t>(r % 2 * 37), 37), 1e-5f,
                           Matrix<float>(expected.data() + r * 37, 1, 37));
    }
    EXPECT_LT(nmse(got, expected), kBound);
    layer_norm_reference(in, weights, biases, 1e-5f, Matrix<float>(got.data(), 31 * 6, 37));
    EXPECT_EQ(got, expected);
  });
}

}  // namespace
}  // namespace orrery
