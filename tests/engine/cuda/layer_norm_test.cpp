#include "tests/engine/cuda/on_backend.h"

namespace orrery::testing {
namespace {

// Sums of up to 3,000 single-precision numbers in another order: relative 1e-6 of the factor.
constexpr double kMost = 1e-11;

class CudaLayerNorm : public CudaOperation {};

TEST_P(CudaLayerNorm, EqualsTheCpuAtOddSizes) {
  for (const int64_t n_cols : {2, 31, 40, 257, 3000}) {
    for (const int64_t n_rows : {1, 3}) {
      std::vector<float> x = random(n_rows * n_cols);
      for (float& value : x) value += 2.0f;
      const std::vector<float> weight = random(n_cols), bias = random(n_cols);
      expect_alike(
          [&](Backend& backend) {
            OnBackend on(backend);
            const auto view = [&](const std::vector<float>& values) {
              return TensorView{.dtype = DType::kF32,
                                .shape = {n_cols},
                                .data = reinterpret_cast<const std::byte*>(on.input<float>(values))};
            };
            const Matrix<const float> in = on.matrix(x, n_rows, n_cols);
            backend.layer_norm(in, view(weight), view(bias), 1e-5f, on.output(n_rows, n_cols));
            backend.layer_norm(in, view(weight), {}, 1e-5f, on.output(n_rows, n_cols));
            backend.layer_norm(in, {}, {}, 1e-5f, on.output(n_rows, n_cols));
            return on.results();
          },
          kMost);
    }
  }
}

// Groups of a row's columns, normed by themselves, with weights and biases of their own.
TEST_P(CudaLayerNorm, RowsTakeTheirWeightsInTurn) {
  const int64_t n_groups = 3, n_cols = 13, n_rows = 4;
  const std::vector<float> x = random(n_rows * n_groups * n_cols), weight = random(n_groups * n_cols);
  const std::vector<float> bias = random(n_groups * n_cols);
  expect_alike(
      [&](Backend& backend) {
        OnBackend on(backend);
        const auto view = [&](const std::vector<float>& values) {
          return TensorView{.dtype = DType::kF32,
                            .shape = {n_groups, n_cols},
                            .data = reinterpret_cast<const std::byte*>(on.input<float>(values))};
        };
        const int64_t n = n_rows * n_groups;
        backend.layer_norm(on.matrix(x, n, n_cols), view(weight), view(bias), 1e-5f, on.output(n, n_cols));
        return on.results();
      },
      kMost);
}

ORRERY_CUDA_OPERATION_TESTS(CudaLayerNorm);

}  // namespace
}  // namespace orrery::testing
