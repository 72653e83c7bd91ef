#include "kernels/rms_norm.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/row_norm.h"
#include "kernels/thread_pool.h"
#include "tests/kernels/each_target.h"
#include "tests/kernels/random_tensors.h"

namespace orrery {
namespace {

constexpr double kBound = 1e-12;  // a sum of squares has no cancellation: a few roundings of 6e-8

TEST(RmsNorm, MatchesTheReferenceAtEveryWidthAndAddress) {
  for_each_target([] {
    ThreadPool pool(1);
    for (int64_t d = 1; d <= 70; ++d) {
      for (int64_t offset : {0, 1, 3}) {
        const std::vector<float> x = random_floats(static_cast<size_t>(3 * (d + 2) + offset), 1, 3.0f);
        const std::vector<float> weight = random_floats(static_cast<size_t>(d), 2);
        const Matrix<const float> in(x.data() + offset, 3, d, d + 2);
        std::vector<float> got(static_cast<size_t>(3 * d)), expected(got.size());
        rms_norm(in, weight, 1e-5f, Matrix<float>(got.data(), 3, d), pool);
        rms_norm_reference(in, weight, 1e-5f, Matrix<float>(expected.data(), 3, d));
        EXPECT_LT(nmse(got, expected), kBound) << d;
        rms_norm(in, {}, 1e-5f, Matrix<float>(got.data(), 3, d), pool);
        rms_norm_reference(in, {}, 1e-5f, Matrix<float>(expected.data(), 3, d));
        EXPECT_LT(nmse(got, expected), kBound) << d;
      }
    }
  });
}

TEST(RmsNorm, WorksInPlaceAndForAnyNumberOfThreads) {
  std::vector<float> x = random_floats(300 * 577, 3);
  const std::vector<float> weight = random_floats(577, 4);
  std::vector<float> expected(x.size());
  ThreadPool one(1), three(3);
  rms_norm(Matrix<const float>(x.data(), 300, 577), weight, 1e-6f, Matrix<float>(expected.data(), 300, 577), one);
  rms_norm(Matrix<const float>(x.data(), 300, 577), weight, 1e-6f, Matrix<float>(x.data(), 300, 577), three);
  EXPECT_EQ(x, expected);
}

TEST(RmsNorm, RowsTakeTurnsWithSeveralWeights) {
  for_each_target([] {
    ThreadPool pool(3);
    const std::vector<float> x = random_floats(301 * 3 * 37, 5), weights = random_floats(3 * 37, 6);
    std::vector<float> got(x.size()), expected(x.size());
    rms_norm(Matrix<const float>(x.data(), 301 * 3, 37), weights, 1e-5f, Matrix<float>(got.data(), 301 * 3, 37), pool);
    for (int64_t r = 0; r < 301 * 3; ++r) {
      const Matrix<float> to(expected.data() + r * 37, 1, 37);
      rms_norm_reference(Matrix<const float>(x.data() + r * 37, 1, 37), std::span(weights).subspan(r % 3 * 37, 37),
                         1e-5f, to);
    }
    EXPECT_LT(nmse(got, expected), kBound);
    rms_norm_reference(Matrix<const float>(x.data(), 301 * 3, 37), weights, 1e-5f,
                       Matrix<float>(got.data(), 301 * 3, 37));
    EXPECT_EQ(got, expected);
  });
}

TEST(MeanMagnitudes, MatchTheReferenceAtEveryWidth) {
  for_each_target([] {
    ThreadPool pool(2);
    for (int64_t n = 1; n <= 66; ++n) {
      const std::vector<float> x = random_floats(static_cast<size_t>(5 * (n + 3)), 7);
      const Matrix<const float> in(x.data(), 5, n, n + 3);
      std::vector<float> got(5), expected(5);
      mean_magnitudes(in, StatSlot{got.data(), 1}, pool);
      mean_magnitudes_reference(in, StatSlot{expected.data(), 1});
      EXPECT_LT(nmse(got, expected), kBound) << n;
    }
  });
}

TEST(GroupDots, MatchTheReferenceForEveryGroupSize) {
  for_each_target([] {
    ThreadPool pool(2);
    for (int64_t group = 1; group <= 66; ++group) {
      const auto a = random_floats(static_cast<size_t>(5 * 3 * group), 5), b = random_floats(a.size(), 6);
      std::vector<float> got(15), expected(15);
      group_dots({a.data(), 5, 3 * group}, {b.data(), 5, 3 * group}, {got.data(), 5, 3}, pool);
      group_dots_reference({a.data(), 5, 3 * group}, {b.data(), 5, 3 * group}, {expected.data(), 5, 3});
      EXPECT_LT(nmse(got, expected), 1e-11) << group;  // sums that cancel
    }
  });
}

TEST(GroupNorms, MatchTheReferenceForEveryGroupSize) {
  for_each_target([] {
    ThreadPool pool(2);
    for (int64_t group = 1; group <= 66; ++group) {
      const std::vector<float> x = random_floats(static_cast<size_t>(5 * 3 * group), 5);
      std::vector<float> got(5 * 4, 9.0f), expected(5 * 4, 9.0f);
      group_norms(Matrix<const float>(x.data(), 5, 3 * group), group, StatSlot{got.data(), 4}, pool);
      group_norms_reference(Matrix<const float>(x.data(), 5, 3 * group), group, StatSlot{expected.data(), 4});
      EXPECT_LT(nmse(got, expected), kBound) << group;
      EXPECT_EQ(got[3], 9.0f) << "between the rows nothing is written";
    }
  });
}

TEST(GroupNorms, HoldWhereSquaresDoNot) {
  for_each_target([] {
    ThreadPool pool(1);
    for (float value : {1e25f, 1e-25f, 0.0f}) {
      const std::vector<float> x(64, value);
      float norm = -1.0f;
      group_norms(Matrix<const float>(x.data(), 1, 64), 64, StatSlot{&norm, 1}, pool);
      EXPECT_FLOAT_EQ(norm, value * 8.0f);
    }
  });
}

}  // namespace
}  // namespace orrery
