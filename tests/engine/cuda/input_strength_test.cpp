#include "tests/engine/cuda/on_backend.h"

namespace orrery::testing {
namespace {

constexpr double kMost = 1e-12;  // exponentials that are good to 2e-7

class CudaInputStrength : public CudaOperation {};

TEST_P(CudaInputStrength, EqualsTheCpuAtOddSizes) {
  for (const int64_t n_cols : {1, 31, 300}) {
    std::vector<float> rate = random(4 * (n_cols + 1)), log_decay = random(n_cols);
    for (float& value : rate) value = 0.3f * std::fabs(value);
    for (float& value : log_decay) value = -std::fabs(value);
    const std::vector<int64_t> positions = {3, 0, 1, 2};
    expect_alike(
        [&](Backend& backend) {
          OnBackend on(backend);
          const TensorView view{.dtype = DType::kF32,
                                .shape = {n_cols},
                                .data = reinterpret_cast<const std::byte*>(on.input<float>(log_decay))};
          backend.input_strength(on.matrix(rate, 4, n_cols + 1).cols(1, n_cols), view, positions, on.output(4, n_cols));
          return on.results();
        },
        kMost);
  }
}

ORRERY_CUDA_OPERATION_TESTS(CudaInputStrength);

}  // namespace
}  // namespace orrery::testing
