#include "tests/engine/cuda/on_backend.h"

namespace orrery::testing {
namespace {

// Sums of squares in double against lanes of float32.
constexpr double kMost = 1e-11;

class CudaRowChange : public CudaOperation {};

TEST_P(CudaRowChange, EqualsTheCpuAtOddSizes) {
  for (const int64_t n_cols : {1, 31, 257, 1000}) {
    const std::vector<float> before = random(3 * n_cols), after = random(3 * n_cols), change = random(3 * n_cols);
    for (const bool has_earlier : {false, true}) {
      expect_alike(
          [&](Backend& backend) {
            OnBackend on(backend);
            const RowChangeArgs args{.before = on.matrix(before, 3, n_cols),
                                     .after = on.matrix(after, 3, n_cols),
                                     .change = on.writable(change, 3, n_cols),
                                     .has_earlier = has_earlier};
            backend.row_change(args, on.slot(3, 1), on.slot(3, 2));
            return on.results();
          },
          kMost);
    }
  }
}

TEST_P(CudaRowChange, DivergencesEqualTheCpus) {
  for (const int64_t n_cols : {1, 31, 257, 1000}) {
    const std::vector<float> p = random(3 * n_cols, 3.0f), q = random(3 * n_cols, 3.0f);
    expect_alike(
        [&](Backend& backend) {
          OnBackend on(backend);
          backend.row_divergence(on.matrix(p, 3, n_cols), on.matrix(q, 3, n_cols), on.slot(3, 2));
          return on.results();
        },
        kMost);
  }
}

ORRERY_CUDA_OPERATION_TESTS(CudaRowChange);

}  // namespace
}  // namespace orrery::testing
