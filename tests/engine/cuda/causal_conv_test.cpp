#include <numeric>

#include "tests/engine/cuda/on_backend.h"

namespace orrery::testing {
namespace {

// float32 sums of up to 7 products, each rounding 6e-8 of a part of the sum; means in another order.
constexpr double kMost = 1e-12;

struct Sizes {
  int64_t n_channels;
  int32_t n_taps;
  bool with_bias;
};
constexpr Sizes kSizes[] = {{1, 1, true}, {5, 2, false}, {131, 3, true}, {257, 4, true}, {40, 7, false}};

class CudaCausalConv : public CudaOperation {
 protected:
  // Batches of a few sequences each: batches[b][s] rows of sequence s, whose states go from one batch to the next.
  void expect_convolved_alike(const Sizes& sizes, const std::vector<std::vector<int64_t>>& batches) {
    const auto [n_channels, n_taps, with_bias] = sizes;
    const std::vector<float> taps = random(n_taps * n_channels), bias = random(with_bias ? n_channels : 0);
    const int64_t width = 2 * n_channels + 3;  // x is some columns of a wide matrix
    std::vector<std::vector<float>> inputs;
    for (const auto& lengths : batches) inputs.push_back(random(std::reduce(lengths.begin(), lengths.end()) * width));
    expect_alike(
        [&](Backend& backend) {
          OnBackend on(backend);
          CausalConvArgs args;
          args.taps = {on.input<float>(taps), taps.size()};
          if (with_bias) args.bias = {on.input<float>(bias), bias.size()};
          args.n_taps = n_taps;
          std::vector<float*> states;
          for (size_t s = 0; s < batches.front().size(); ++s) {
            states.push_back(on.output(std::max(1, n_taps - 1), n_channels).data);
          }
          for (size_t b = 0; b < batches.size(); ++b) {
            const auto n_rows = static_cast<int64_t>(inputs[b].size()) / width;
            args.x = on.matrix(inputs[b], n_rows, width).cols(n_channels, n_channels);
            args.out = on.output(n_rows, n_channels + 2).cols(1, n_channels);
            std::vector<StateRows> sequences;
            int64_t begin = 0;
            for (size_t s = 0; s < batches[b].size(); ++s) {
              if (batches[b][s] > 0) sequences.push_back({begin, begin + batches[b][s], states[s]});
              begin += batches[b][s];
            }
            args.sequences = sequences;
            backend.causal_conv(args, b % 2 == 0 ? on.slot(n_rows, n_taps) : StatSlot());
          }
          return on.results();
        },
        kMost);
  }
};

TEST_P(CudaCausalConv, EqualsTheCpuOverBatchesAndSequences) {
  for (const Sizes& sizes : kSizes) {
    SCOPED_TRACE(sizes.n_channels);
    expect_convolved_alike(sizes, {{1}, {1}, {2}, {1}});
    expect_convolved_alike(sizes, {{3, 1, 7}, {1, 1, 1}, {0, 2, 1}});
    expect_convolved_alike(sizes, {{35, 2}, {17, 40}, {1, 1}});  // more than a block takes at once
  }
}

TEST_P(CudaCausalConv, ABatchIsTheSameAsItsSteps) {
  const int64_t n_channels = 33, n_rows = 21;
  const int32_t n_taps = 4;
  const std::vector<float> taps = random(n_taps * n_channels), x = random(n_rows * n_channels);
  const auto convolved = [&](int64_t n_at_once) {
    OnBackend on(*backend_);
    const Matrix<const float> input = on.matrix(x, n_rows, n_channels);
    const Matrix<float> out = on.output(n_rows, n_channels);
    float* const state = on.output(n_taps - 1, n_channels).data;
    for (int64_t row = 0; row < n_rows; row += n_at_once) {
      const StateRows rows{0, n_at_once, state};
      backend_->causal_conv({.x = input.rows(row, n_at_once),
                             .taps = {on.input<float>(taps), taps.size()},
                             .bias = {},
                             .out = out.rows(row, n_at_once),
                             .n_taps = n_taps,
                             .sequences = {&rows, 1}},
                            {});
    }
    return on.results();
  };
  EXPECT_EQ(convolved(n_rows), convolved(1));
  EXPECT_EQ(convolved(n_rows), convolved(7));
}

ORRERY_CUDA_OPERATION_TESTS(CudaCausalConv);

}  // namespace
}  // namespace orrery::testing
