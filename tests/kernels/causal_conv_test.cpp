#include "kernels/causal_conv.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/thread_pool.h"
#include "tests/kernels/each_target.h"
#include "tests/kernels/random_tensors.h"

namespace orrery {
namespace {

// Two sequences of a batch that lies in a wider matrix, with their states.
struct Problem {
  int64_t n_channels;
  int32_t n_taps;
  bool has_bias;
  int64_t n_first, n_second;

  struct Results {
    std::vector<float> out, states, means;
    bool operator==(const Results&) const = default;
  };

  template <typename Run>
  Results run(const Run& convolve) const {
    const int64_t n_rows = n_first + n_second, stride = n_channels + 5;
    const std::vector<float> x = random_floats(static_cast<size_t>(n_rows * stride), 1);
    const std::vector<float> taps = random_floats(static_cast<size_t>(n_taps * n_channels), 2);
    const std::vector<float> bias = random_floats(has_bias ? static_cast<size_t>(n_channels) : 0, 3);
    const int64_t state_size = (n_taps - 1) * n_channels;
    Results results;
    results.out.resize(static_cast<size_t>(n_rows * n_channels));
    results.states = random_floats(static_cast<size_t>(2 * state_size), 4);
    results.means.resize(static_cast<size_t>(n_rows * n_taps));
    const StateRows sequences[] = {{0, n_first, results.states.data()},
                                   {n_first, n_rows, results.states.data() + state_size}};
    CausalConvArgs args;
    args.x = {x.data() + 5, n_rows, n_channels, stride};
    args.taps = taps;
    args.bias = bias;
    args.out = {results.out.data(), n_rows, n_channels};
    args.n_taps = n_taps;
    args.sequences = sequences;
    convolve(args, StatSlot{results.means.data(), n_taps});
    return results;
  }
  Results fast(int n_threads = 1) const {
    ThreadPool pool(n_threads);
    return run([&](const CausalConvArgs& args, StatSlot means) { causal_conv(args, means, pool); });
  }
};

TEST(CausalConv, MatchesTheReferenceForEveryNumberOfTapsAndChannels) {
  for_each_target([] {
    for (const int64_t n_channels : {1, 7, 16, 33, 130}) {
      for (const int32_t n_taps : {1, 2, 3, 4, 7}) {
        const Problem problem{n_channels, n_taps, n_channels % 2 == 0, 2, 9};
        const auto got = problem.fast(), expected = problem.run(causal_conv_reference);
        // A few products; nothing larger cancels.
        EXPECT_LT(nmse(got.out, expected.out), 1e-12) << n_channels << " channels, " << n_taps << " taps";
        EXPECT_LT(nmse(got.means, expected.means), 1e-12);
        EXPECT_EQ(got.states, expected.states);
      }
    }
  });
}

TEST(CausalConv, IsTheSameForAnyNumberOfThreads) {
  const Problem problem{777, 4, true, 50, 3};
  EXPECT_EQ(problem.fast(1), problem.fast(3));
}

TEST(CausalConv, StepsGiveTheSameBitsAsABatch) {
  for_each_target([] {
    ThreadPool pool(1);
    constexpr int64_t kRows = 20, kChannels = 19;
    constexpr int32_t kTaps = 5;
    const std::vector<float> x = random_floats(kRows * kChannels, 1), taps = random_floats(kTaps * kChannels, 2);
    const auto in_parts = [&](int64_t part) {
      std::vector<float> out(kRows * kChannels), state((kTaps - 1) * kChannels);
      for (int64_t begin = 0; begin < kRows; begin += part) {
        const int64_t n = std::min(part, kRows - begin);
        const StateRows rows{0, n, state.data()};
        causal_conv({.x = {x.data() + begin * kChannels, n, kChannels},
                     .taps = taps,
                     .bias = {},
                     .out = {out.data() + begin * kChannels, n, kChannels},
                     .n_taps = kTaps,
                     .sequences = {&rows, 1}},
                    {}, pool);
      }
      return out;
    };
    const std::vector<float> whole = in_parts(kRows);
    for (const int64_t part : {1, 2, 3, 4, 7}) EXPECT_EQ(in_parts(part), whole) << part;
  });
}

}  // namespace
}  // namespace orrery
