#include <algorithm>

#include "tests/engine/cuda/on_backend.h"

namespace orrery::testing {
namespace {

// float32 sums in another order, over tens of updates.
constexpr double kMost = 1e-9;

class CudaFastWeights : public CudaOperation {
 protected:
  struct Inputs {
    FastWeightsSizes sizes;
    int64_t n_rows = 0;
    std::vector<float> q, k, v, rate, share, learned, norm_weight, norm_bias;
  };
  Inputs inputs(const FastWeightsSizes& sizes, int64_t n_rows) {
    const int64_t width = int64_t{sizes.n_heads} * sizes.d_head;
    Inputs in;
    in.sizes = sizes;
    in.n_rows = n_rows;
    in.q = random(n_rows * width, 0.7f);
    in.k = random(n_rows * width, 0.7f);
    in.v = random(n_rows * width, 0.7f);
    in.rate = random(n_rows * sizes.n_heads);
    in.share = random(sizes.batch_size, 0.2f);
    for (size_t i = 0; i < in.share.size(); ++i) {
      in.share[i] = std::max(0.0f, in.share[i] + 1.0f / static_cast<float>(i + 1));
    }
    in.learned = random(sizes.n_heads * sizes.n_weights(), 0.4f);
    in.norm_weight = random(width, 0.5f);
    in.norm_bias = random(width, 0.2f);
    return in;
  }

  // Two sequences, the second from position 11 on, whose rows come in batches of `n_at_once`.
  static std::vector<float> learn(Backend& backend, const Inputs& in, int64_t n_at_once, bool with_stats) {
    OnBackend on(backend);
    const FastWeightsSizes& sizes = in.sizes;
    const int64_t width = int64_t{sizes.n_heads} * sizes.d_head, half = in.n_rows / 2;
    const size_t state_bytes = static_cast<size_t>(2 * sizes.n_heads * sizes.n_weights()) * sizeof(float);
    float* const states[] = {reinterpret_cast<float*>(on.zeroed(state_bytes)),
                             reinterpret_cast<float*>(on.zeroed(state_bytes))};
    const auto vector = [&](const std::vector<float>& values) {
      return std::span<const float>(on.input<float>(values), values.size());
    };
    std::vector<int64_t> positions;
    for (int64_t r = 0; r < in.n_rows; ++r) positions.push_back(r < half ? r : 11 + r - half);
    FastWeightsArgs args;
    args.sizes = sizes;
    args.q = on.matrix(in.q, in.n_rows, width);
    args.k = on.matrix(in.k, in.n_rows, width);
    args.v = on.matrix(in.v, in.n_rows, width);
    args.rate = on.matrix(in.rate, in.n_rows, sizes.n_heads);
    args.share = vector(in.share);
    args.learned = vector(in.learned);
    args.norm_weight = vector(in.norm_weight);
    args.norm_bias = vector(in.norm_bias);
    args.base_rate = 0.9f * static_cast<float>(sizes.d_head);
    args.out = on.output(in.n_rows, width);
    args.positions = positions;
    FastWeightsStats stats;
    if (with_stats) {
      const auto slot = [&] { return on.slot(in.n_rows, sizes.n_heads); };
      stats = {slot(), slot(), slot(), slot(), slot()};
    }
    for (int64_t at = 0; at < half; at += n_at_once) {
      const int64_t end = std::min(half, at + n_at_once);
      const StateRows rows[] = {{at, end, states[0]}, {half + at, half + end, states[1]}};
      args.sequences = rows;
      backend.fast_weights(args, stats);
    }
    return on.results();
  }
};

TEST_P(CudaFastWeights, EqualTheCpuAtOddSizes) {
  const FastWeightsSizes shapes[] = {{.n_heads = 3, .d_head = 6, .d_hidden = 0, .batch_size = 5},
                                     {.n_heads = 2, .d_head = 34, .d_hidden = 0, .batch_size = 3},
                                     {.n_heads = 3, .d_head = 6, .d_hidden = 24, .batch_size = 4},
                                     {.n_heads = 1, .d_head = 10, .d_hidden = 37, .batch_size = 1}};
  for (const FastWeightsSizes& sizes : shapes) {
    const Inputs in = inputs(sizes, 22);
    expect_alike([&](Backend& backend) { return learn(backend, in, 11, true); }, kMost);
  }
}

TEST_P(CudaFastWeights, StepsGiveABatchsBits) {
  for (const int32_t d_hidden : {0, 13}) {
    const Inputs in = inputs({.n_heads = 2, .d_head = 8, .d_hidden = d_hidden, .batch_size = 4}, 18);
    EXPECT_EQ(learn(*backend_, in, 1, true), learn(*backend_, in, 9, true));
    const std::vector<float> bare = learn(*backend_, in, 9, false), measured = learn(*backend_, in, 4, true);
    EXPECT_TRUE(std::equal(bare.begin(), bare.end(), measured.begin())) << "statistics change the output";
  }
}

ORRERY_CUDA_OPERATION_TESTS(CudaFastWeights);

}  // namespace
}  // namespace orrery::testing
