#include "kernels/truncated_normal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/thread_pool.h"

namespace orrery {
namespace {

// Rows of n_cols numbers, side by side.
std::vector<float> drawn(uint64_t seed, const std::vector<int64_t>& positions, int64_t n_cols, float deviation = 1.0f,
                         int n_threads = 1) {
  ThreadPool pool(n_threads);
  const auto n_rows = static_cast<int64_t>(positions.size());
  std::vector<float> numbers(static_cast<size_t>(n_rows * n_cols));
  truncated_normal(seed, positions, deviation, {numbers.data(), n_rows, n_cols}, pool);
  return numbers;
}

// By assets/goldens/loop_reference.py.
TEST(TruncatedNormal, IsThatOfTheReference) {
  const std::vector<float> expected = {0.39082551f, 0.52632526f, -0.28602662f, -0.59226155f, -0.78360652f,
                                       1.16544577f, 1.36756956f, -0.26698013f, -0.50019725f};
  const std::vector<float> got = drawn(0, {0, 1, 7}, 3);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-7f) << i;
  const std::vector<float> other_seed = {2.02460343f, -1.24300521f, 1.09335412f};
  const std::vector<float> seeded = drawn(5, {0}, 3, 0.5f);
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(seeded[i], 0.5f * other_seed[i], 1e-7f) << i;
}

TEST(TruncatedNormal, ANumberDependsOnItsPlaceAlone) {
  const std::vector<int64_t> positions = {3, 0, 1000000007, 4};
  const std::vector<float> all = drawn(9, positions, 37, 1.0f, 3);
  for (size_t r = 0; r < positions.size(); ++r) {
    const std::vector<float> alone = drawn(9, {positions[r]}, 31);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), all.begin() + static_cast<std::ptrdiff_t>(37 * r))) << r;
  }
  EXPECT_NE(drawn(8, {3}, 31), drawn(9, {3}, 31));
}

TEST(TruncatedNormal, HasTheMomentsOfTheDistributionAndNoTails) {
  std::vector<int64_t> positions(1000);
  for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int64_t>(i);
  const std::vector<float> numbers = drawn(1, positions, 1001);
  double sum = 0, squares = 0, fourth = 0, along_row = 0, along_column = 0;
  for (size_t i = 0; i < numbers.size(); ++i) {
    const auto z = static_cast<double>(numbers[i]);
    sum += z;
    squares += z * z;
    fourth += z * z * z * z;
    if (i + 1 < numbers.size()) along_row += z * static_cast<double>(numbers[i + 1]);
    if (i + 1001 < numbers.size()) along_column += z * static_cast<double>(numbers[i + 1001]);
    ASSERT_LT(std::fabs(z), 3.0);
  }
  // Within 4 standard errors of a million numbers. Variance 1 - 6 phi(3) / (2 Phi(3) - 1) = 0.97334; fourth moment
  // 3 * 0.97334 - 54 phi(3) / (2 Phi(3) - 1) = 2.6801.
  const auto n = static_cast<double>(numbers.size());
  EXPECT_NEAR(sum / n, 0.0, 0.004);
  EXPECT_NEAR(squares / n, 0.97334, 0.006);
  EXPECT_NEAR(fourth / n, 2.6801, 0.03);
  EXPECT_NEAR(along_row / n, 0.0, 0.004);
  EXPECT_NEAR(along_column / n, 0.0, 0.004);
  EXPECT_GT(*std::ranges::max_element(numbers), 2.99f) << "the tails are cut there, not before";
}

TEST(TruncatedNormal, WritesNothingBetweenItsRows) {
  ThreadPool pool(2);
  std::vector<float> numbers(14, 9.0f);
  const std::vector<int64_t> positions = {5, 6};
  truncated_normal(0, positions, 2.0f, {numbers.data(), 2, 5, 7}, pool);
  for (const size_t i : {5u, 6u, 12u, 13u}) EXPECT_EQ(numbers[i], 9.0f);
}

}  // namespace
}  // namespace orrery
