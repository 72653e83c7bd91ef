#include "kernels/fast_weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/thread_pool.h"
#include "tests/kernels/each_target.h"
#include "tests/kernels/random_tensors.h"

namespace orrery {
namespace {

// Weights are float32 and go through tens of updates; each is a few roundings of 6e-8, which the layer norm widens.
constexpr double kBound = 1e-10;

struct Shape {
  const char* name;
  FastWeightsSizes sizes;
};

const Shape kShapes[] = {
    {"linear", {.n_heads = 3, .d_head = 6, .d_hidden = 0, .batch_size = 5}},
    {"linear, one token a mini-batch", {.n_heads = 1, .d_head = 10, .d_hidden = 0, .batch_size = 1}},
    {"linear of round sizes", {.n_heads = 2, .d_head = 64, .d_hidden = 0, .batch_size = 16}},
    {"linear of a width between", {.n_heads = 2, .d_head = 82, .d_hidden = 0, .batch_size = 7}},
    {"mlp", {.n_heads = 3, .d_head = 6, .d_hidden = 24, .batch_size = 4}},
    {"mlp of another inner width", {.n_heads = 2, .d_head = 18, .d_hidden = 11, .batch_size = 3}},
};

// Two sequences of a batch: one that begins, one that is in the middle of a mini-batch. Columns of q, k and v lie in
// one wider matrix.
struct Problem {
  FastWeightsSizes sizes;
  int64_t n_first = 9, n_second = 14, second_position = 13;

  int64_t n_rows() const { return n_first + n_second; }
  int64_t width() const { return int64_t{sizes.n_heads} * sizes.d_head; }
  size_t state_floats() const { return static_cast<size_t>(2 * sizes.n_heads * sizes.n_weights()); }

  struct Results {
    std::vector<float> out, states, loss_before, loss_after, rate, update, drift;
    bool operator==(const Results&) const = default;
  };

  // Calls learn(args, stats) once, or for every `rows_at_once` rows of each sequence.
  template <typename Learn>
  Results run(const Learn& learn, bool with_stats = true, int64_t rows_at_once = 1000) const {
    const auto n = static_cast<size_t>(n_rows());
    const int64_t cols = 3 * width();
    const std::vector<float> inputs = random_floats(n * static_cast<size_t>(cols), 1, 0.7f);
    const std::vector<float> rates = random_floats(n * static_cast<size_t>(sizes.n_heads), 2);
    std::vector<float> share = random_floats(static_cast<size_t>(sizes.batch_size), 3, 0.2f);
    for (size_t i = 0; i < share.size(); ++i) share[i] = std::max(0.0f, share[i] + 1.0f / static_cast<float>(i + 1));
    const auto n_learned = static_cast<size_t>(sizes.n_heads * sizes.n_weights());
    const std::vector<float> learned = random_floats(n_learned, 4, 0.4f);
    std::vector<float> gamma = random_floats(static_cast<size_t>(width()), 5, 0.2f);
    for (float& value : gamma) value += 1.0f;
    const std::vector<float> beta = random_floats(static_cast<size_t>(width()), 6, 0.2f);
    std::vector<int64_t> positions;
    for (int64_t i = 0; i < n_first; ++i) positions.push_back(i);
    for (int64_t i = 0; i < n_second; ++i) positions.push_back(second_position + i);

    Results results;
    results.out.resize(n * static_cast<size_t>(width()));
    // What the first one finds is not zero and must not matter.
    results.states = random_floats(2 * state_floats(), 7, 0.4f);
    std::vector<std::vector<float>*> measured = {&results.loss_before, &results.loss_after, &results.rate,
                                                 &results.update, &results.drift};
    for (std::vector<float>* to : measured) to->assign(with_stats ? n * static_cast<size_t>(sizes.n_heads) : 0, -1.0f);
    FastWeightsArgs args;
    args.sizes = sizes;
    args.q = {inputs.data(), n_rows(), width(), cols};
    args.k = {inputs.data() + width(), n_rows(), width(), cols};
    args.v = {inputs.data() + 2 * width(), n_rows(), width(), cols};
    args.rate = {rates.data(), n_rows(), sizes.n_heads};
    args.share = share;
    args.learned = learned;
    args.norm_weight = gamma;
    args.norm_bias = beta;
    args.base_rate = 0.9f * static_cast<float>(sizes.d_head);  // steps that matter
    args.out = {results.out.data(), n_rows(), width()};
    args.positions = positions;
    FastWeightsStats stats;
    const auto slot = [&](std::vector<float>& to) {
      return with_stats ? StatSlot{to.data(), sizes.n_heads} : StatSlot{};
    };
    stats = {slot(results.loss_before), slot(results.loss_after), slot(results.rate), slot(results.update),
             slot(results.drift)};
    for (int64_t at = 0; at < std::max(n_first, n_second); at += rows_at_once) {
      std::vector<StateRows> sequences;
      if (at < n_first) sequences.push_back({at, std::min(n_first, at + rows_at_once), results.states.data()});
      if (at < n_second) {
        sequences.push_back(
            {n_first + at, n_first + std::min(n_second, at + rows_at_once), results.states.data() + state_floats()});
      }
      args.sequences = sequences;
      learn(args, stats);
    }
    return results;
  }

  Results fast(int n_threads = 1, bool with_stats = true, int64_t rows_at_once = 1000) const {
    ThreadPool pool(n_threads);
    return run([&](const FastWeightsArgs& args, const FastWeightsStats& stats) { fast_weights(args, stats, pool); },
               with_stats, rows_at_once);
  }
};

TEST(FastWeights, MatchTheReference) {
  for_each_target([] {
    for (const Shape& shape : kShapes) {
      const Problem problem{shape.sizes};
      const Problem::Results got = problem.fast(), expected = problem.run(fast_weights_reference);
      EXPECT_LT(nmse(got.out, expected.out), kBound) << shape.name;
      EXPECT_LT(nmse(got.states, expected.states), kBound) << shape.name;
      EXPECT_LT(nmse(got.loss_before, expected.loss_before), kBound) << shape.name;
      EXPECT_LT(nmse(got.loss_after, expected.loss_after), kBound) << shape.name;
      EXPECT_LT(nmse(got.rate, expected.rate), kBound) << shape.name;
      EXPECT_LT(nmse(got.update, expected.update), kBound) << shape.name;
      EXPECT_LT(nmse(got.drift, expected.drift), kBound) << shape.name;
    }
  });
}

TEST(FastWeights, StepsGiveABatchsBitsWithAndWithoutStatistics) {
  for_each_target([] {
    for (const Shape& shape : kShapes) {
      const Problem problem{shape.sizes};
      const Problem::Results at_once = problem.fast();
      EXPECT_TRUE(problem.fast(1, true, 1) == at_once) << shape.name;
      EXPECT_TRUE(problem.fast(3, true, 4) == at_once) << shape.name;
      const Problem::Results bare = problem.fast(2, false);
      EXPECT_EQ(bare.out, at_once.out) << shape.name;
      EXPECT_EQ(bare.states, at_once.states) << shape.name;
    }
  });
}

TEST(FastWeights, TheReferencesStepsGiveItsBatchsBits) {
  for (const Shape& shape : kShapes) {
    const Problem problem{shape.sizes};
    EXPECT_TRUE(problem.run(fast_weights_reference, true, 1) == problem.run(fast_weights_reference)) << shape.name;
  }
}

// A head that is fed one pair over and over: the loss of every token is that which the one before left.
TEST(FastWeights, RepeatedPairsAreLearned) {
  const FastWeightsSizes sizes{.n_heads = 1, .d_head = 8, .d_hidden = 0, .batch_size = 4};
  const int64_t n = 20;
  std::vector<float> q(8 * n), k(8 * n), v(8 * n), out(8 * n), before(n), after(n), drift(n);
  const std::vector<float> pair = random_floats(16, 9);
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t i = 0; i < 8; ++i) {
      k[static_cast<size_t>(8 * r + i)] = q[static_cast<size_t>(8 * r + i)] = pair[static_cast<size_t>(i)];
      v[static_cast<size_t>(8 * r + i)] = pair[static_cast<size_t>(8 + i)];
    }
  }
  const std::vector<float> rate(n, 0.0f), share(4, 1.0f), gamma(8, 1.0f), beta(8, 0.0f);
  const std::vector<float> learned = random_floats(static_cast<size_t>(sizes.n_weights()), 10, 0.3f);
  std::vector<float> state(static_cast<size_t>(2 * sizes.n_weights()));
  std::vector<int64_t> positions(n);
  for (int64_t r = 0; r < n; ++r) positions[static_cast<size_t>(r)] = r;
  const StateRows rows{0, n, state.data()};
  FastWeightsArgs args;
  args.sizes = sizes;
  args.q = {q.data(), n, 8};
  args.k = {k.data(), n, 8};
  args.v = {v.data(), n, 8};
  args.rate = {rate.data(), n, 1};
  args.share = share;
  args.learned = learned;
  args.norm_weight = gamma;
  args.norm_bias = beta;
  args.base_rate = 0.2f;
  args.out = {out.data(), n, 8};
  args.positions = positions;
  args.sequences = {&rows, 1};
  FastWeightsStats stats;
  stats.loss_before = {before.data(), 1};
  stats.loss_after = {after.data(), 1};
  stats.drift = {drift.data(), 1};
  ThreadPool pool(1);
  fast_weights(args, stats, pool);
  for (size_t r = 0; r + 1 < static_cast<size_t>(n); ++r) {
    EXPECT_LT(after[r], before[r]) << r;
    EXPECT_NEAR(before[r + 1], after[r], 1e-5f * after[r]) << r;
    EXPECT_GT(drift[r + 1], drift[r]) << r;
  }
  EXPECT_LT(after.back(), 0.98f * before.front());
}

}  // namespace
}  // namespace orrery
