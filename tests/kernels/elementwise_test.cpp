#include "kernels/elementwise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/thread_pool.h"
#include "tests/kernels/each_target.h"
#include "tests/kernels/random_tensors.h"

namespace orrery {
namespace {

constexpr Activation kActivations[] = {Activation::kSilu,        Activation::kGeluTanh, Activation::kGelu,
                                       Activation::kReluSquared, Activation::kSigmoid,  Activation::kIdentity};
// Those that are 0 far below 0 and the identity, or its square, far above.
constexpr Activation kHalves[] = {Activation::kSilu, Activation::kGeluTanh, Activation::kGelu,
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
      const ClippedGate clipped{.limit = 6.0f, .slope = 1.7f};
      clipped_multiply(clipped, left, right, to, pool);
      clipped_multiply_reference(clipped, left, right, reference);
      EXPECT_LT(nmse(got, expected), 1e-12) << n;
      clip(left, 2.5f, to, pool);
      clip_reference(left, 2.5f, reference);
      EXPECT_EQ(got, expected);
      soft_cap(left, 7.5f, to, pool);
      soft_cap_reference(left, 7.5f, reference);
      EXPECT_LT(nmse(got, expected), 1e-12) << n;
      add(left, right, 1.0f, to, pool);
      add_reference(left, right, 1.0f, reference);
      EXPECT_EQ(got, expected);
      add(left, right, -0.7f, to, pool);
      add_reference(left, right, -0.7f, reference);
      EXPECT_LT(nmse(got, expected), 1e-13) << n;
      scale(left, -0.3f, to, pool);
      scale_reference(left, -0.3f, reference);
      EXPECT_EQ(got, expected);
    }
  });
}

// A matrix whose rows lie on each other: one gate for all rows.
TEST(Elementwise, ARowIsMultipliedWithAllRows) {
  for_each_target([] {
    ThreadPool pool(2);
    for (int64_t n = 1; n <= 50; ++n) {
      const std::vector<float> gate = random_floats(static_cast<size_t>(n), 3);
      std::vector<float> x = random_floats(static_cast<size_t>(5 * n), 4);
      std::vector<float> expected = x;
      for (size_t i = 0; i < x.size(); ++i) expected[i] *= gate[i % static_cast<size_t>(n)];
      const Matrix<float> rows(x.data(), 5, n);
      activate_multiply(Activation::kIdentity, {gate.data(), 5, n, 0}, rows, rows, pool);
      EXPECT_EQ(x, expected) << n;
    }
  });
}

TEST(Elementwise, ActivationsHoldAtTheEnds) {
  for_each_target([] {
    ThreadPool pool(1);
    const std::vector<float> x = {-1e18f, -200.0f, -89.0f, -88.0f, -20.0f, 0.0f, 20.0f, 80.0f, 200.0f, 1e18f};
    const int64_t n = static_cast<int64_t>(x.size());
    const Matrix<const float> in(x.data(), 1, n);
    for (const Activation activation : kHalves) {
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

TEST(Elementwise, ClippingHoldsAtTheEndsAndKeepsWhatIsNotANumber) {
  for_each_target([] {
    ThreadPool pool(1);
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    const std::vector<float> x = {-kInfinity, -1e18f, -3.0f, -0.5f, 0.0f, 2.0f, 3.0f, 1e18f, kInfinity};
    const std::vector<float> ends = {-3.0f, -3.0f, -3.0f, -0.5f, 0.0f, 2.0f, 3.0f, 3.0f, 3.0f};
    const auto n = static_cast<int64_t>(x.size());
    std::vector<float> got(x.size()), ones(x.size(), 1.0f);
    clip(Matrix<const float>(x.data(), 1, n), 3.0f, Matrix<float>(got.data(), 1, n), pool);
    EXPECT_EQ(got, ends);
    // A gate has no lower bound: below it goes to nothing.
    clipped_multiply({.limit = 3.0f, .slope = 40.0f}, Matrix<const float>(x.data() + 1, 1, n - 1),
                     Matrix<const float>(ones.data(), 1, n - 1), Matrix<float>(got.data(), 1, n - 1), pool);
    for (size_t i = 0; i + 1 < x.size(); ++i) EXPECT_NEAR(got[i], 2.0f * std::max(0.0f, ends[i + 1]), 1e-6f) << i;

    for (size_t place = 0; place < x.size(); ++place) {
      std::vector<float> broken = ones;
      broken[place] = std::numeric_limits<float>::quiet_NaN();
      const Matrix<const float> in(broken.data(), 1, n), other(ones.data(), 1, n);
      const Matrix<float> out(got.data(), 1, n);
      clip(in, 3.0f, out, pool);
      EXPECT_TRUE(std::isnan(got[place]));
      clipped_multiply({.limit = 3.0f}, in, other, out, pool);
      EXPECT_TRUE(std::isnan(got[place]));
      clipped_multiply({.limit = 3.0f}, other, in, out, pool);
      EXPECT_TRUE(std::isnan(got[place]));
    }
  });
}

TEST(Elementwise, AddWorksInPlaceAndForAnyNumberOfThreads) {
  ThreadPool one(1), three(3);
  const std::vector<float> a = random_floats(500 * 300, 3), b = random_floats(500 * 300, 4);
  std::vector<float> in_place = a, expected(a.size());
  add(Matrix<const float>(a.data(), 500, 300), Matrix<const float>(b.data(), 500, 300), 0.3f,
      Matrix<float>(expected.data(), 500, 300), one);
  add(Matrix<const float>(in_place.data(), 500, 300), Matrix<const float>(b.data(), 500, 300), 0.3f,
      Matrix<float>(in_place.data(), 500, 300), three);
  EXPECT_EQ(in_place, expected);
}

TEST(Gates, MatchTheReferenceForGroupsAndWholeRows) {
  for_each_target([] {
    ThreadPool pool(2);
    for (int64_t n = 1; n <= 40; ++n) {
      for (const int64_t n_groups : {1, 3}) {
        const std::vector<float> gates = random_floats(static_cast<size_t>(4 * (n_groups + 2)), 5, 3.0f);
        std::vector<float> got = random_floats(static_cast<size_t>(4 * n_groups * n), 6), expected = got;
        const Matrix<const float> by_group(gates.data(), 4, n_groups, n_groups + 2);
        gate_groups(Activation::kSigmoid, by_group, Matrix<float>(got.data(), 4, n_groups * n), pool);
        gate_groups_reference(Activation::kSigmoid, by_group, Matrix<float>(expected.data(), 4, n_groups * n));
        EXPECT_LT(nmse(got, expected), 1e-12) << n;
      }
    }
  });
}

TEST(Softplus, MatchesTheReferenceWithBiasAndBounds) {
  for_each_target([] {
    ThreadPool pool(2);
    for (int64_t n = 1; n <= 40; ++n) {
      const std::vector<float> x = random_floats(static_cast<size_t>(5 * n), 7, 8.0f);
      const std::vector<float> bias = random_floats(static_cast<size_t>(n), 8, 2.0f);
      const Matrix<const float> in(x.data(), 5, n);
      std::vector<float> got(x.size()), expected(x.size());
      for (const SoftplusRange range : {SoftplusRange{}, SoftplusRange{0.5f, 3.0f}}) {
        for (const std::span<const float> added : {std::span<const float>(bias), std::span<const float>()}) {
          softplus(in, added, range, Matrix<float>(got.data(), 5, n), pool);
          softplus_reference(in, added, range, Matrix<float>(expected.data(), 5, n));
          // Relative, however small: decays are made of it.
          for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], 1e-6f * expected[i]) << x[i];
        }
      }
    }
  });
}

TEST(Softplus, HoldsAtTheEnds) {
  for_each_target([] {
    ThreadPool pool(1);
    const std::vector<float> x = {-1e30f, -100.0f, 0.0f, 25.0f, 1e30f};
    std::vector<float> out(x.size());
    softplus(Matrix<const float>(x.data(), 1, 5), {}, {}, Matrix<float>(out.data(), 1, 5), pool);
    EXPECT_EQ(out[0], 0.0f);
    EXPECT_NEAR(out[1], 0.0f, 1e-30f);
    EXPECT_FLOAT_EQ(out[2], std::log(2.0f));
    EXPECT_EQ(out[3], 25.0f);
    EXPECT_EQ(out[4], 1e30f);
  });
}

}  // namespace
}  // namespace orrery
