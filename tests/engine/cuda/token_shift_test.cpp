#include "tests/engine/cuda/on_backend.h"

namespace orrery::testing {
namespace {

constexpr double kMost = 1e-13;  // the same fused products on both sides

class CudaTokenShift : public CudaOperation {};

// Batches of three sequences, some of them long, of one row, or absent; states go on.
TEST_P(CudaTokenShift, EqualsTheCpuOverBatchesAndSequences) {
  const std::vector<std::vector<int64_t>> batches = {{37, 1, 9}, {1, 1, 1}, {0, 16, 17}};
  for (const int64_t d : {1, 31, 130}) {
    for (const int64_t n_mixes : {1, 6}) {
      const std::vector<float> mix = random(n_mixes * d);
      std::vector<std::vector<float>> inputs;
      for (const auto& lengths : batches) inputs.push_back(random((lengths[0] + lengths[1] + lengths[2]) * (d + 2)));
      expect_alike(
          [&](Backend& backend) {
            OnBackend on(backend);
            std::vector<float*> states;
            for (size_t s = 0; s < 3; ++s) states.push_back(on.output(1, d).data);
            for (size_t b = 0; b < batches.size(); ++b) {
              std::vector<StateRows> sequences;
              int64_t n_rows = 0;
              for (size_t s = 0; s < 3; ++s) {
                if (batches[b][s] > 0) sequences.push_back({n_rows, n_rows + batches[b][s], states[s]});
                n_rows += batches[b][s];
              }
              TokenShiftArgs args;
              args.x = on.matrix(inputs[b], n_rows, d + 2).cols(1, d);
              args.mix = {on.input<float>(mix), mix.size()};
              args.out = on.output(n_rows, n_mixes * d);
              args.sequences = sequences;
              backend.token_shift(args);
            }
            return on.results();
          },
          kMost);
    }
  }
}

ORRERY_CUDA_OPERATION_TESTS(CudaTokenShift);

}  // namespace
}  // namespace orrery::testing
