#include "kernels/output_stats.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/thread_pool.h"
#include "tests/kernels/each_target.h"
#include "tests/kernels/random_tensors.h"

namespace orrery {
namespace {

struct Results {
  std::vector<float> top, entropy, tail;
};

template <typename Run>
Results run_stats(const std::vector<float>& logits, int64_t n_rows, int32_t n_top, bool log_probability,
                  const Run& run) {
  const size_t n = static_cast<size_t>(n_rows), width = static_cast<size_t>(n_top) * 2;
  Results results{std::vector<float>(n * width, -5.0f), std::vector<float>(n, -5.0f), std::vector<float>(n, -5.0f)};
  OutputStats stats;
  stats.top = {results.top.data(), static_cast<int64_t>(width)};
  stats.n_top = n_top;
  stats.log_probability = log_probability;
  stats.entropy = {results.entropy.data(), 1};
  stats.tail = {results.tail.data(), 1};
  run(Matrix<const float>(logits.data(), n_rows, static_cast<int64_t>(logits.size()) / n_rows), stats);
  return results;
}

Results fast(const std::vector<float>& logits, int64_t n_rows, int32_t n_top = 64, bool log_probability = true,
             int n_threads = 1) {
  ThreadPool pool(n_threads);
  return run_stats(logits, n_rows, n_top, log_probability,
                   [&](Matrix<const float> x, const OutputStats& stats) { output_stats(x, stats, pool); });
}

Results reference(const std::vector<float>& logits, int64_t n_rows, int32_t n_top = 64, bool log_probability = true) {
  return run_stats(logits, n_rows, n_top, log_probability, output_stats_reference);
}

// Exponentials are good to 2e-7, and sums average their errors: 1e-6 relative, and absolute in logarithms.
void expect_agree(const Results& got, const Results& expected) {
  for (size_t i = 0; i < expected.entropy.size(); ++i) {
    ASSERT_NEAR(got.entropy[i], expected.entropy[i], 1e-6f + 1e-6f * expected.entropy[i]) << i;
    ASSERT_NEAR(got.tail[i], expected.tail[i], 2e-6f * expected.tail[i] + 1e-37f) << i;
  }
  for (size_t i = 0; i < expected.top.size(); i += 2) {
    ASSERT_EQ(got.top[i], expected.top[i]) << i;
    if (std::isnan(expected.top[i + 1])) {
      ASSERT_TRUE(std::isnan(got.top[i + 1])) << i;
    } else {
      ASSERT_NEAR(got.top[i + 1], expected.top[i + 1], 2e-6f * (1.0f + std::fabs(expected.top[i + 1]))) << i;
    }
  }
}

TEST(OutputStats, MatchTheReferenceForEveryVocabulary) {
  for_each_target([] {
    for (size_t vocab : {1u, 2u, 15u, 16u, 63u, 64u, 65u, 100u, 255u, 1000u, 8191u, 8192u, 8193u, 49152u}) {
      SCOPED_TRACE(vocab);
      const std::vector<float> logits = random_floats(2 * vocab, 3, 4.0f);
      expect_agree(fast(logits, 2), reference(logits, 2));
      expect_agree(fast(logits, 2, 8, false), reference(logits, 2, 8, false));
    }
  });
}

TEST(OutputStats, PeakedRowsKeepTheirTinyTails) {
  for_each_target([] {
    for (float peak : {20.0f, 60.0f, 85.0f}) {
      std::vector<float> logits = random_floats(20000, 4);
      for (size_t i = 0; i < 70; ++i) logits[i * 250] += peak;
      expect_agree(fast(logits, 1), reference(logits, 1));
      logits[777] += 3.0f * peak;
      expect_agree(fast(logits, 1), reference(logits, 1));
    }
  });
}

TEST(OutputStats, EqualLogitsAreListedById) {
  for_each_target([] {
    const Results results = fast(std::vector<float>(30000, 1.25f), 1);
    for (size_t rank = 0; rank < 64; ++rank) {
      ASSERT_EQ(results.top[2 * rank], static_cast<float>(rank));
      ASSERT_NEAR(results.top[2 * rank + 1], -std::log(30000.0f), 1e-5f);
    }
    EXPECT_NEAR(results.tail[0], 1.0f - 64.0f / 30000.0f, 1e-6f);
    EXPECT_NEAR(results.entropy[0], std::log(30000.0f), 1e-5f);
  });
}

TEST(OutputStats, ImpossibleTokensHaveNoWeight) {
  for_each_target([] {
    std::vector<float> logits(9000, -std::numeric_limits<float>::infinity());
    logits[8999] = 1.0f;
    logits[3] = 1.0f;
    const Results results = fast(logits, 1);
    EXPECT_EQ(results.top[0], 3.0f);
    EXPECT_EQ(results.top[2], 8999.0f);
    EXPECT_NEAR(results.top[1], std::log(0.5f), 1e-6f);
    EXPECT_EQ(results.tail[0], 0.0f);
    EXPECT_NEAR(results.entropy[0], std::log(2.0f), 1e-6f);
  });
}

TEST(OutputStats, ABrokenModelsNumbersAreSurvived) {
  for_each_target([] {
    const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
    for (float value : {nan, infinity, -infinity}) {
      for (size_t vocab : {10u, 100u, 20000u}) {
        fast(std::vector<float>(vocab, value), 1);
        std::vector<float> logits = random_floats(vocab, 5);
        logits[vocab / 2] = value;
        EXPECT_EQ(fast(logits, 1).top.size(), 128u);
      }
    }
  });
}

TEST(OutputStats, AreBitIdenticalForAnyNumberOfThreadsAndRows) {
  const std::vector<float> logits = random_floats(20 * 20001, 6, 5.0f);
  const Results one = fast(logits, 20);
  for (int n_threads : {2, 3}) {
    const Results more = fast(logits, 20, 64, true, n_threads);
    EXPECT_EQ(more.top, one.top);
    EXPECT_EQ(more.entropy, one.entropy);
    EXPECT_EQ(more.tail, one.tail);
  }
  const std::vector<float> last(logits.end() - 20001, logits.end());
  EXPECT_EQ(fast(last, 1).entropy[0], one.entropy[19]);
  EXPECT_EQ(fast(last, 1).tail[0], one.tail[19]);
}

}  // namespace
}  // namespace orrery
