#include "kernels/elementwise.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/thread_pool.h"
#include "tests/kernels/each_target.h"
#include "tests/kernels/random_tensors.h"

namespace orrery {
namespace {

constexpr Activation kActivations[] = {Activation::kSilu, Activation::kGeluTanh, Activation::kGelu,
                                       Activation::kReluSquared};

TEST(Elementwise, MatchTheReferenceAtEveryWidthAndAddress) {
  for_each_target([] {
    ThreadPool pool(2);
    for (int64_t n = 1; n <= 50; ++n) {
      const std::vector<float> a = random_floats(static_cast<size_t>(4 * n + 1), 1, 20.0f);
      const std::vector<float> b = random_floats(static_cast<size_t>(4 * (n + 1)), 2);
      const Matrix<const float> left(a.data() + 1, 4, n), right(b.data(), 4, n, n + 1);
      std::vector<float> got(static_cast<size_t>(4 * n)), expected(got.size());
      const Matrix<float> to(got.data(), 4, n), reference(expected.data(), 4, n);
      for (const Activation activation : kActivations) {
        activate(activation, left, to, pool);
        activate_reference(activation, left, reference);
        EXPECT_LT(nmse(got, expected), 1e-12) << n;  // exp is good to 2 units in the last place, erf to 2e-7
        activate_multiply(activation, left, right, to, pool);
        activate_multiply_reference(activation, left, right, reference);
        EXPECT_LT(nmse(got, expected), 1e-12) << n;
      }
      soft_cap(left, 7.5f, to, pool);
      soft_cap_reference(left, 7.5f, reference);
      EXPECT_LT(nmse(got, expected), 1e-12) << n;
      add(left, right, to, pool);
      add_reference(left, right, reference);
      EXPECT_EQ(got, expected);
      scale(left, -0.3f, to, pool);
      scale_reference(left, -0.3f, reference);
      EXPECT_EQ(got, expected);
    }
  });
}

TEST(Elementwise, ActivationsHoldAtTheEnds) {
  for_each_target([] {
    ThreadPool pool(1);
    const std::vector<float> x = {-1e18f, -200.0f, -89.0f, -88.0f, -20.0f, 0.0f, 20.0f, 80.0f, 200.0f, 1e18f};
    const int64_t n = static_cast<int64_t>(x.size());
    const Matrix<const float> in(x.data(), 1, n);
    for (const Activation activation : kActivations) {
      std::vector<float> out(x.size());
      activate(activation, in, Matrix<float>(out.data(), 1, n), pool);
      for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(out[i], 0.0f, 1e-20f) << x[i];
      const bool squared = activation == Activation::kReluSquared;
      for (size_t i = 5; i < x.size(); ++i) EXPECT_FLOAT_EQ(out[i], squared ? x[i] * x[i] : x[i]);
    }
    std::vector<float> capped(x.size());
    soft_cap(in, 30.0f, Matrix<float>(capped.data(), 1, n), pool);
    EXPECT_EQ(capped.front(), -30.0f);
    EXPECT_EQ(capped[5], 0.0f);
    EXPECT_EQ(capped.back(), 30.0f);
  });
}

TEST(Elementwise, AddWorksInPlaceAndForAnyNumberOfThreads) {
  ThreadPool one(1), three(3);
  const std::vector<float> a = random_floats(500 * 300, 3), b = random_floats(500 * 300, 4);
  std::vector<float> in_place = a, expected(a.size());
  add(Matrix<const float>(a.data(), 500, 300), Matrix<const float>(b.data(), 500, 300),
      Matrix<float>(expected.data(), 500, 300), one);
  add(Matrix<const float>(in_place.data(), 500, 300), Matrix<const float>(b.data(), 500, 300),
      Matrix<float>(in_place.data(), 500, 300), three);
  EXPECT_EQ(in_place, expected);
}

}  // namespace
}  // namespace orrery
