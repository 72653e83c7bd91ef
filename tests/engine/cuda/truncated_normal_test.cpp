#include "tests/engine/cuda/on_backend.h"

namespace orrery::testing {
namespace {

class CudaTruncatedNormal : public CudaOperation {};

// Both compute in double and round once; logarithms differ in their last bit.
TEST_P(CudaTruncatedNormal, IsTheCpus) {
  for (const int64_t n_cols : {1, 31, 257, 1000}) {
    for (const std::vector<int64_t>& positions : {std::vector<int64_t>{0}, {7, 8, 9}, {0, 1, 1000000007, 2, 5}}) {
      const auto n_rows = static_cast<int64_t>(positions.size());
      expect_alike(
          [&](Backend& backend) {
            OnBackend on(backend);
            const Matrix<float> out = on.output(n_rows, n_cols + 3);
            backend.scale(out, 0.0f);
            backend.truncated_normal(0x123456789abcdefull, positions, 0.63f, out.cols(2, n_cols));
            return on.results();
          },
          1e-14);
    }
  }
}

ORRERY_CUDA_OPERATION_TESTS(CudaTruncatedNormal);

}  // namespace
}  // namespace orrery::testing
