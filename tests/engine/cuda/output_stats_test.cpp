#include <limits>

#include "tests/engine/cuda/on_backend.h"

namespace orrery::testing {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

class CudaOutputStats : public CudaOperation {
 protected:
  // Of each row: its top, [n_top, 2]; then the rows' entropies; then their tails.
  static std::vector<float> stats_on(Backend& backend, const std::vector<float>& logits, int64_t n_rows, int32_t n_top,
                                     bool log_probability) {
    OnBackend on(backend);
    OutputStats stats;
    stats.top = on.slot(n_rows, 2 * n_top);
    stats.n_top = n_top;
    stats.log_probability = log_probability;
    stats.entropy = on.slot(n_rows, 1);
    stats.tail = on.slot(n_rows, 1);
    backend.output_stats(on.matrix(logits, n_rows, static_cast<int64_t>(logits.size()) / n_rows), stats);
    return on.results();
  }

  // The same ids; values as near as two single-precision exponentials of the same number are: a rounded exponent of at
  // most 90 moves one by 4e-6, and the CPU's is good to 2e-7. Sums are in double.
  void expect_agree(const std::vector<float>& logits, int64_t n_rows, int32_t n_top = kOutputTopMax,
                    bool log_probability = true) {
    const std::vector<float> expected = stats_on(*cpu_, logits, n_rows, n_top, log_probability);
    const std::vector<float> got = stats_on(*backend_, logits, n_rows, n_top, log_probability);
    ASSERT_EQ(got.size(), expected.size());
    const size_t n_top_floats = static_cast<size_t>(n_rows * 2 * n_top);
    for (size_t i = 0; i < got.size(); ++i) {
      const bool is_id = i < n_top_floats && i % 2 == 0, is_logarithm = log_probability && i < n_top_floats;
      SCOPED_TRACE(::testing::Message() << logits.size() << " logits, at " << i);
      if (is_id || std::isinf(expected[i])) {
        ASSERT_EQ(got[i], expected[i]);
      } else if (std::isnan(expected[i])) {
        ASSERT_TRUE(std::isnan(got[i])) << got[i];
      } else {
        const float most = 8e-6f * std::fabs(expected[i]) + (is_logarithm ? 1e-6f : 1e-37f);
        ASSERT_NEAR(got[i], expected[i],
                    i >= n_top_floats && i < n_top_floats + static_cast<size_t>(n_rows)
                        ? most + 1e-6f  // an entropy is a difference of logarithms
                        : most);
      }
    }
  }
};

TEST_P(CudaOutputStats, EqualTheCpuForEveryVocabulary) {
  for (const int64_t vocab : {1, 2, 31, 63, 64, 65, 100, 255, 1000, 1023, 1024, 1025, 5000}) {
    expect_agree(random(2 * vocab, 4.0f), 2);
    expect_agree(random(vocab, 4.0f), 1, 8, false);
  }
  expect_agree(random(49152, 4.0f), 1);
}

TEST_P(CudaOutputStats, EqualTheCpuWherePartsHoldSeveralTiles) {
  expect_agree(random(257 * 1024 + 5, 4.0f), 1, 3);  // more tiles than a row has parts
  if (GetParam() != "cuda") return;                  // too much for the emulation
  expect_agree(random(4 * 262144, 4.0f), 1);
  expect_agree(random(300 * 49152, 4.0f), 300, 10);
}

TEST_P(CudaOutputStats, PeakedRowsKeepTheirTinyTails) {
  for (const float peak : {20.0f, 60.0f, 85.0f}) {
    std::vector<float> logits = random(20000);
    for (size_t i = 0; i < 70; ++i) logits[i * 250] += peak;
    expect_agree(logits, 1);
    logits[777] += 3.0f * peak;
    expect_agree(logits, 1);
  }
}

TEST_P(CudaOutputStats, EqualLogitsAreListedById) {
  for (const int64_t vocab : {64, 3000, 70000}) {
    std::vector<float> logits(static_cast<size_t>(vocab), 0.0f);
    for (size_t i = 0; i < logits.size(); i += 3) logits[i] = -0.0f;  // equal to 0
    expect_agree(logits, 1);
    for (float& logit : logits) logit = std::round(random(1)[0]);  // each value many times
    expect_agree(logits, 1);
  }
}

TEST_P(CudaOutputStats, TheGreatestMayAllLieInOnePart) {
  std::vector<float> logits = random(9000);
  for (size_t i = 2000; i < 2100; ++i) logits[i] += 9.0f;
  expect_agree(logits, 1);
  expect_agree(logits, 1, 1);
}

TEST_P(CudaOutputStats, ImpossibleTokensHaveNoWeight) {
  std::vector<float> logits(9000, kNever);
  logits[8999] = 1.0f;
  logits[3] = 1.0f;
  expect_agree(logits, 1);
  const std::vector<float> got = stats_on(*backend_, logits, 1, kOutputTopMax, true);
  EXPECT_EQ(got[0], 3.0f);
  EXPECT_EQ(got[2], 8999.0f);
  EXPECT_EQ(got[4], 0.0f);  // the first of the impossible ones
  EXPECT_EQ(got[5], kNever);
  EXPECT_EQ(got.back(), 0.0f);
}

TEST_P(CudaOutputStats, ABrokenModelsNumbersAreSurvived) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const float value : {nan, -kNever, kNever}) {
    for (const int64_t vocab : {10, 3000}) {
      std::vector<float> logits(static_cast<size_t>(vocab), value);
      EXPECT_EQ(stats_on(*backend_, logits, 1, kOutputTopMax, true).size(), 130u);
      logits = random(vocab);
      logits[static_cast<size_t>(vocab) / 2] = value;
      EXPECT_EQ(stats_on(*backend_, logits, 1, kOutputTopMax, true).size(), 130u);
    }
  }
}

TEST_P(CudaOutputStats, OnlyWhatIsWantedIsWritten) {
  const std::vector<float> logits = random(2 * 500);
  expect_alike(
      [&](Backend& backend) {
        OnBackend on(backend);
        OutputStats stats;
        stats.entropy = on.slot(2, 1);
        backend.output_stats(on.matrix(logits, 2, 500), stats);
        return on.results();
      },
      1e-11);
}

TEST_P(CudaOutputStats, AreTheSameBitsInEveryRunAndAmongOtherRows) {
  const std::vector<float> logits = random(3 * 5000, 5.0f);
  const std::vector<float> three = stats_on(*backend_, logits, 3, kOutputTopMax, true);
  EXPECT_EQ(stats_on(*backend_, logits, 3, kOutputTopMax, true), three);
  const std::vector<float> last(logits.end() - 5000, logits.end());
  const std::vector<float> one = stats_on(*backend_, last, 1, kOutputTopMax, true);
  EXPECT_TRUE(std::equal(one.begin(), one.begin() + 128, three.begin() + 256));
  EXPECT_EQ(one[128], three[386]);
  EXPECT_EQ(one[129], three[389]);
}

ORRERY_CUDA_OPERATION_TESTS(CudaOutputStats);

}  // namespace
}  // namespace orrery::testing
