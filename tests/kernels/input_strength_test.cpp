#include "kernels/input_strength.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/thread_pool.h"
#include "tests/kernels/each_target.h"
#include "tests/kernels/random_tensors.h"

namespace orrery {
namespace {

std::vector<float> magnitudes(std::vector<float> values, float factor) {
  for (float& value : values) value = factor * std::abs(value);
  return values;
}

TEST(InputStrength, MatchesTheReferenceAtEveryWidth) {
  for_each_target([] {
    ThreadPool pool(2);
    for (int64_t n = 1; n <= 66; ++n) {
      const auto rate = magnitudes(random_floats(static_cast<size_t>(5 * (n + 2)), 1), 0.6f);
      const auto log_decay = magnitudes(random_floats(static_cast<size_t>(n), 2), -2.0f);
      const std::vector<int64_t> positions = {7, 0, 1, 2, 3};
      std::vector<float> got(static_cast<size_t>(5 * n)), expected(got.size());
      input_strength({rate.data(), 5, n, n + 2}, log_decay, positions, {got.data(), 5, n}, pool);
      input_strength_reference({rate.data(), 5, n, n + 2}, log_decay, positions, {expected.data(), 5, n});
      EXPECT_LT(nmse(got, expected), 1e-12) << n;
      EXPECT_EQ(got[static_cast<size_t>(n)], 1.0f) << "the first token writes all";
    }
  });
}

// Decays from almost 1 down to 0: relative, since 1 - a^2 itself would lose what is small.
TEST(InputStrength, KeepsItsDigitsFromEndToEnd) {
  for_each_target([] {
    ThreadPool pool(1);
    std::vector<float> rate;
    for (float x = 1e-12f; x < 100.0f; x *= 1.3f) rate.push_back(x);
    rate.push_back(0.0f);
    const auto n = static_cast<int64_t>(rate.size());
    const std::vector<float> log_decay(rate.size(), -1.0f);
    const std::vector<int64_t> positions = {5};
    std::vector<float> got(rate.size());
    input_strength({rate.data(), 1, n}, log_decay, positions, {got.data(), 1, n}, pool);
    for (size_t i = 0; i < rate.size(); ++i) {
      const double expected = std::sqrt(-std::expm1(-2.0 * double{rate[i]}));
      EXPECT_NEAR(got[i], expected, 4e-7 * expected) << rate[i];
    }
  });
}

}  // namespace
}  // namespace orrery
