#include "tests/engine/cuda/on_backend.h"

namespace orrery::testing {
namespace {

// float32 sums of up to 3,000 squares in another order: relative 1e-6 of the factor.
constexpr double kMost = 1e-11;

class CudaRmsNorm : public CudaOperation {};

TEST_P(CudaRmsNorm, EqualsTheCpuAtOddSizes) {
  for (const int64_t n_cols : {1, 31, 40, 257, 3000}) {
    for (const int64_t n_rows : {1, 3}) {
      const std::vector<float> x = random(n_rows * n_cols), weight = random(n_cols);
      expect_alike(
          [&](Backend& backend) {
            OnBackend on(backend);
            const TensorView view{.dtype = DType::kF32,
                                  .shape = {n_cols},
                                  .data = reinterpret_cast<const std::byte*>(on.input<float>(weight))};
            backend.rms_norm(on.matrix(x, n_rows, n_cols), view, 1e-5f, on.output(n_rows, n_cols));
            backend.rms_norm(on.matrix(x, n_rows, n_cols), {}, 1e-5f, on.output(n_rows, n_cols));
            return on.results();
          },
          kMost);
    }
  }
}

// Groups of a row's columns, normed by themselves, with weights of their own.
TEST_P(CudaRmsNorm, RowsTakeTheirWeightsInTurn) {
  const int64_t n_weights = 3, n_cols = 13, n_rows = 4;
  const std::vector<float> x = random(n_rows * n_weights * n_cols), weight = random(n_weights * n_cols);
  expect_alike(
      [&](Backend& backend) {
        OnBackend on(backend);
        const TensorView view{.dtype = DType::kF32,
                              .shape = {n_weights, n_cols},
                              .data = reinterpret_cast<const std::byte*>(on.input<float>(weight))};
        backend.rms_norm(on.matrix(x, n_rows * n_weights, n_cols), view, 1e-5f, on.output(n_rows * n_weights, n_cols));
        return on.results();
      },
      kMost);
}

ORRERY_CUDA_OPERATION_TESTS(CudaRmsNorm);

}  // namespace
}  // namespace orrery::testing
