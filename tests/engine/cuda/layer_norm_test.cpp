#include "tests/engine/cuda/on_backend.h"

namespace orrery::testing {
namespace {

// float32 sums of up to 3,000 numbers in another order.
constexpr double kMost = 1e-11;

class CudaLayerNorm : public CudaOperation {
 protected:
  static TensorView view(OnBackend& on, const std::vector<float>& values, Shape shape) {
    return {.dtype = DType::kF32, .shape = shape, .data = reinterpret_cast<const std::byte*>(on.input<float>(values))};
  }
};

TEST_P(CudaLayerNorm, EqualsTheCpuAtOddSizes) {
  for (const int64_t n_cols : {2, 31, 40, 257, 3000}) {
    for (const int64_t n_rows : {1, 3}) {
      const std::vector<float> x = random(n_rows * n_cols), weight = random(n_cols), bias = random(n_cols);
      expect_alike(
          [&](Backend& backend) {
            OnBackend on(backend);
            const TensorView w = view(on, weight, {n_cols}), b = view(on, bias, {n_cols});
            backend.layer_norm(on.matrix(x, n_rows, n_cols), w, b, 1e-2f, on.output(n_rows, n_cols));
            backend.layer_norm(on.matrix(x, n_rows, n_cols), {}, b, 1e-2f, on.output(n_rows, n_cols));
            backend.layer_norm(on.matrix(x, n_rows, n_cols), w, {}, 1e-2f, on.output(n_rows, n_cols));
            backend.layer_norm(on.matrix(x, n_rows, n_cols), {}, {}, 1e-2f, on.output(n_rows, n_cols));
            return on.results();
          },
          kMost);
    }
  }
}

TEST_P(CudaLayerNorm, RowsTakeTheirWeightsInTurn) {
  const int64_t n_cols = 13, n_rows = 12;
  const std::vector<float> x = random(n_rows * n_cols), weight = random(3 * n_cols), bias = random(2 * n_cols);
  expect_alike(
      [&](Backend& backend) {
        OnBackend on(backend);
        backend.layer_norm(on.matrix(x, n_rows, n_cols), view(on, weight, {3, n_cols}), view(on, bias, {2, n_cols}),
                           1e-5f, on.output(n_rows, n_cols));
        return on.results();
      },
      kMost);
}

ORRERY_CUDA_OPERATION_TESTS(CudaLayerNorm);

}  // namespace
}  // namespace orrery::testing
