#define ORRERY_CUDA_EMULATED 1
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <memory>
#include <numeric>
#include <span>
#include <vector>

#include "kernels/cuda/causal_conv.h"
#include "kernels/cuda/expert_matmul.h"
#include "kernels/cuda/fast_weights.h"
#include "kernels/cuda/matrix_state.h"
#include "kernels/cuda/moe.h"

namespace orrery::cuda_emulated {
namespace {

std::vector<float> waves(size_t n, float step) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; ++i) values[i] = std::sin(step * static_cast<float>(i + 1));
  return values;
}

// What recurrences and experts launch. The emulated device's memory is the host's.
class CudaHybridLaunches : public ::testing::Test {
 protected:
  static constexpr MatrixStateSizes kSizes{.n_heads = 4, .n_groups = 2, .d_key = 12, .d_value = 5};
  static constexpr int64_t kKeys = 2 * 12, kValues = 4 * 5;

  CudaHybridLaunches() : device_(make_emulated_device()), stream_(*device_) {}

  MatrixStateArgs state_args(int64_t n_rows, Matrix<float> out) const {
    MatrixStateArgs args;
    args.sizes = kSizes;
    args.q = {q_.data(), n_rows, kKeys};
    args.k = {k_.data(), n_rows, kKeys};
    args.v = {v_.data(), n_rows, kValues};
    args.decay.log_decay = log_decay_;
    args.erase = StateErase::kDelta;
    args.out = out;
    return args;
  }

  std::unique_ptr<Device> device_;
  CommandStream stream_;
  std::vector<float> q_ = waves(10 * kKeys, 0.7f), k_ = waves(10 * kKeys, 0.3f), v_ = waves(10 * kValues, 0.9f);
  std::vector<float> log_decay_ = {-0.1f, -0.2f, -0.3f, -0.4f};
};

// A step differs from the one before it in the token's position, its experts, and the width of implied rows alone; fast
// weights begin a mini-batch at the fifth.
TEST_F(CudaHybridLaunches, AreEqualFromStepToStep) {
  constexpr int32_t kTaps = 4, kExperts = 3, kChosen = 2;
  std::vector<float> conv_state(3 * kValues), taps = waves(kTaps * kValues, 0.2f), convolved(kValues);
  std::vector<float> state(kValues * 12), out(kValues), norms(4), implied(4 * 10);
  std::vector<float> logits = {0.1f, 0.2f, 0.3f}, weights = waves(kExperts * 3 * kValues, 0.4f), sums(kChosen * 3);
  std::array<int32_t, kChosen> experts{};
  std::array<float, kChosen> expert_weights{};
  const std::array<int32_t, 4> heads = {0, 1, 2, 3};
  const FastWeightsSizes fast{.n_heads = 4, .d_head = 5, .d_hidden = 0, .batch_size = 4};
  const std::vector<float> fast_learned = waves(static_cast<size_t>(4 * fast.n_weights()), 0.6f), fast_share(4, 0.5f);
  std::vector<float> fast_state(static_cast<size_t>(8 * fast.n_weights())), fast_out(kValues);
  std::vector<TensorView> views;
  for (size_t e = 0; e < kExperts; ++e) {
    views.push_back({DType::kF32, {3, kValues}, reinterpret_cast<const std::byte*>(weights.data() + e * 3 * kValues)});
  }
  for (int64_t step = 0; step < 6; ++step) {
    const StateRows conv_rows{0, 1, conv_state.data()}, state_rows{0, 1, state.data()};
    causal_conv({.x = {v_.data(), 1, kValues},
                 .taps = taps,
                 .bias = {},
                 .out = {convolved.data(), 1, kValues},
                 .n_taps = kTaps,
                 .sequences = {&conv_rows, 1}},
                {}, stream_);
    MatrixStateArgs args = state_args(1, {out.data(), 1, kValues});
    args.sequences = {&state_rows, 1};
    MatrixStateStats stats;
    stats.n = 4;
    stats.norm = {norms.data(), 4};
    matrix_state(args, stats, stream_);
    matrix_state_rows({.sizes = kSizes,
                       .q = args.q,
                       .history = {.k = {k_.data(), 10, kKeys}, .rate = {}, .write = {}},
                       .log_decay = log_decay_,
                       .erase = StateErase::kDelta,
                       .first = step,
                       .n_stat_heads = 4,
                       .stat_heads = heads,
                       .n_keys = step + 2},
                      {implied.data(), 4 * 10}, stream_);
    const StateRows fast_rows{0, 1, fast_state.data()};
    FastWeightsArgs fast_args;
    fast_args.sizes = fast;
    fast_args.q = fast_args.k = fast_args.v = {v_.data(), 1, kValues};
    fast_args.rate = {v_.data(), 1, 4};
    fast_args.share = fast_share;
    fast_args.learned = fast_learned;
    fast_args.norm_weight = fast_args.norm_bias = std::span<const float>(v_).first(kValues);
    fast_args.out = {fast_out.data(), 1, kValues};
    fast_args.positions = {&step, 1};
    fast_args.sequences = {&fast_rows, 1};
    const std::vector<float> fast_before = fast_state;
    fast_weights(fast_args, {}, stream_);
    const Routes routes{experts.data(), expert_weights.data(), 1, kChosen};
    logits[static_cast<size_t>(step) % kExperts] += 1.0f;
    route({logits.data(), 1, kExperts}, nullptr, {.n_experts = kExperts, .n_chosen = kChosen}, routes, {}, stream_);
    const ExpertProduct product{views, {}, {sums.data(), kChosen, 3}};
    expert_matmul({v_.data(), 1, kValues}, routes, {&product, 1}, stream_);
    ASSERT_TRUE(stream_.finish({}));
    EXPECT_NE(fast_state, fast_before);
    EXPECT_EQ(experts[0], step % kExperts);
    const float* const chosen = weights.data() + experts[0] * 3 * kValues;
    EXPECT_NEAR(sums[0], std::inner_product(v_.begin(), v_.begin() + kValues, chosen, 0.0f), 1e-5f);
    EXPECT_NE(implied[static_cast<size_t>(step)], 0.0f);
    EXPECT_EQ(implied[static_cast<size_t>(step) + 1], 0.0f) << "beyond the token";
  }
  EXPECT_EQ(stream_.n_replays(), 5) << "all steps but the first";
  EXPECT_NE(conv_state[0], 0.0f);
}

// Parts that have room for the statistics of three rows, and for two implied ones.
TEST_F(CudaHybridLaunches, TakeRowsInPartsWhereScratchIsShort) {
  std::vector<float> outs[2], norms[2], states[2], implied[2];
  const std::array<int32_t, 2> heads = {1, 3};
  for (const size_t in_parts : {0, 1}) {
    outs[in_parts].resize(10 * kValues);
    norms[in_parts].resize(10 * 4);
    states[in_parts].resize(2 * kValues * 12);
    MatrixStateArgs args = state_args(10, {outs[in_parts].data(), 10, kValues});
    const StateRows rows[] = {{0, 4, states[in_parts].data()}, {4, 10, states[in_parts].data() + kValues * 12}};
    args.sequences = rows;
    MatrixStateStats stats;
    stats.n = 4;
    stats.norm = {norms[in_parts].data(), 4};
    matrix_state(args, stats, stream_, in_parts == 1 ? 3 * kValues * 4 : int64_t{1} << 20);
    implied[in_parts].resize(5 * 2 * 10);
    matrix_state_rows({.sizes = kSizes,
                       .q = {q_.data(), 5, kKeys},
                       .history = {.k = {k_.data(), 10, kKeys}, .rate = {}, .write = {}},
                       .log_decay = log_decay_,
                       .first = 5,
                       .n_stat_heads = 4,
                       .stat_heads = heads,
                       .n_keys = 10},
                      {implied[in_parts].data(), 2 * 10}, stream_, in_parts == 1 ? 2 * 2 * 2 * 12 : 1 << 20);
    ASSERT_TRUE(stream_.finish({}));
  }
  EXPECT_EQ(outs[0], outs[1]);
  EXPECT_EQ(norms[0], norms[1]);
  EXPECT_EQ(states[0], states[1]);
  EXPECT_GT(norms[0].back(), 0.1f);
  EXPECT_EQ(implied[0], implied[1]);
  EXPECT_NE(implied[0].back(), 0.0f);
}

}  // namespace
}  // namespace orrery::cuda_emulated
