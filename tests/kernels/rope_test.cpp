#include "kernels/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/thread_pool.h"
#include "tests/kernels/each_target.h"
#include "tests/kernels/random_tensors.h"

namespace orrery {
namespace {

constexpr double kBound = 1e-13;  // two products and a sum: a few roundings of 6e-8

std::vector<float> frequencies(int64_t n_pairs) {
  std::vector<float> inv_freq;
  for (int64_t i = 0; i < n_pairs; ++i) {
    inv_freq.push_back(std::pow(10000.0f, -static_cast<float>(i) / static_cast<float>(n_pairs)));
  }
  return inv_freq;
}

TEST(Rope, MatchesTheReferenceForEveryHeadSize) {
  for_each_target([] {
    ThreadPool pool(2);
    for (int64_t n_pairs = 1; n_pairs <= 36; ++n_pairs) {
      for (int32_t left : {0, 5}) {  // dimensions that do not turn
        const int32_t d_head = static_cast<int32_t>(2 * n_pairs) + left;
        const std::vector<int64_t> positions = {0, 1, 77, 1000003};
        RopeTable table;
        table.set(positions, frequencies(n_pairs), 1.5f);
        for (RopePairing pairing : {RopePairing::kHalfSplit, RopePairing::kAdjacent}) {
          std::vector<float> got = random_floats(size_t{12} * static_cast<size_t>(d_head), 1);
          std::vector<float> expected = got;
          rope(Matrix<float>(got.data(), 4, 3 * d_head), table, d_head, pairing, pool);
          rope_reference(Matrix<float>(expected.data(), 4, 3 * d_head), table, d_head, pairing);
          EXPECT_LT(nmse(got, expected), kBound) << n_pairs << " " << d_head;
        }
      }
    }
  });
}

TEST(Rope, AnglesHoldAtAMillionTokens) {
  const int64_t position = 1000000;
  const std::vector<float> inv_freq = {1.0f, 0.1f};
  RopeTable table;
  table.set({&position, 1}, inv_freq);
  EXPECT_NEAR(table.cosines(0)[0], std::cos(1e6), 1e-6);
  EXPECT_NEAR(table.sines(0)[1], std::sin(1e6 * double{0.1f}), 1e-6);
}

TEST(Rope, PairsAsNamed) {
  ThreadPool pool(1);
  const int64_t position = 1;
  const std::vector<float> inv_freq = {std::acos(0.0f), 0.0f};  // a quarter turn, and none
  RopeTable table;
  table.set({&position, 1}, inv_freq);
  std::vector<float> half = {1, 2, 3, 4, 5}, adjacent = half;  // the fifth dimension does not turn
  rope(Matrix<float>(half.data(), 1, 5), table, 5, RopePairing::kHalfSplit, pool);
  rope(Matrix<float>(adjacent.data(), 1, 5), table, 5, RopePairing::kAdjacent, pool);
  const std::vector<float> expected_half = {-3, 2, 1, 4, 5}, expected_adjacent = {-2, 1, 3, 4, 5};
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_NEAR(half[i], expected_half[i], 1e-6f) << i;
    EXPECT_NEAR(adjacent[i], expected_adjacent[i], 1e-6f) << i;
  }
}

}  // namespace
}  // namespace orrery
