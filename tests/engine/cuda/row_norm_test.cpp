#include "tests/engine/cuda/on_backend.h"

namespace orrery::testing {
namespace {

// The CPU sums squares in single precision: up to 3,000 of them in lanes, relative 1e-6 of the norm.
constexpr double kMost = 1e-12;

class CudaRowNorm : public CudaOperation {
 protected:
  void expect_norms_alike(const std::vector<float>& x, int64_t n_rows, int64_t n_cols, int64_t group) {
    expect_alike(
        [&](Backend& backend) {
          OnBackend on(backend);
          backend.group_norms(on.matrix(x, n_rows, n_cols), group, on.slot(n_rows, n_cols / group));
          return on.results();
        },
        kMost);
  }
};

TEST_P(CudaRowNorm, EqualsTheCpuAtOddSizes) {
  for (const int64_t n_cols : {1, 31, 257, 3000}) expect_norms_alike(random(3 * n_cols), 3, n_cols, n_cols);
  for (const int64_t group : {1, 3, 40, 129}) expect_norms_alike(random(2 * 7 * group), 2, 7 * group, group);
}

TEST_P(CudaRowNorm, IsFiniteWhereverTheNormFits) {
  expect_norms_alike(std::vector<float>(100, 1e30f), 1, 100, 10);  // squares are beyond float32
  expect_norms_alike(std::vector<float>(100, 1e-15f), 1, 100, 100);
  expect_norms_alike(std::vector<float>(64, 0.0f), 2, 32, 32);
}

TEST_P(CudaRowNorm, MeanMagnitudesEqualTheCpus) {
  for (const int64_t n_cols : {1, 31, 257, 3000}) {
    const std::vector<float> x = random(3 * (n_cols + 2));
    expect_alike(
        [&](Backend& backend) {
          OnBackend on(backend);
          backend.mean_magnitudes(on.matrix(x, 3, n_cols + 2).cols(1, n_cols), on.slot(3, 2));
          return on.results();
        },
        kMost);
  }
}

TEST_P(CudaRowNorm, GroupDotsEqualTheCpus) {
  for (const int64_t group : {1, 3, 40, 129}) {
    const std::vector<float> a = random(2 * 7 * group), b = random(2 * 7 * group);
    expect_alike(
        [&](Backend& backend) {
          OnBackend on(backend);
          backend.group_dots(on.matrix(a, 2, 7 * group), on.matrix(b, 2, 7 * group), on.output(2, 7));
          return on.results();
        },
        kMost);
  }
}

ORRERY_CUDA_OPERATION_TESTS(CudaRowNorm);

}  // namespace
}  // namespace orrery::testing
