#include "kernels/token_shift.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/thread_pool.h"
#include "tests/kernels/each_target.h"
#include "tests/kernels/random_tensors.h"

namespace orrery {
namespace {

// Two sequences of a batch, rows of x in a wider matrix.
struct Problem {
  int64_t d = 0, n_mixes = 0;
  int64_t n_first = 4, n_second = 9;

  struct Results {
    std::vector<float> out, states;
  };
  template <typename Run>
  Results run(const Run& shift) const {
    const int64_t n_rows = n_first + n_second, width = d + 3;
    const auto x = random_floats(static_cast<size_t>(n_rows * width), 1);
    const auto mix = random_floats(static_cast<size_t>(n_mixes * d), 2);
    Results results;
    results.out.resize(static_cast<size_t>(n_rows * n_mixes * d));
    results.states = random_floats(static_cast<size_t>(2 * d), 3);
    const StateRows sequences[] = {{0, n_first, results.states.data()}, {n_first, n_rows, results.states.data() + d}};
    shift(TokenShiftArgs{.x = {x.data() + 1, n_rows, d, width},
                         .mix = mix,
                         .out = {results.out.data(), n_rows, n_mixes * d},
                         .sequences = sequences});
    return results;
  }
};

TEST(TokenShift, MatchesTheReferenceAtEveryWidth) {
  for_each_target([] {
    ThreadPool pool(2);
    for (int64_t d = 1; d <= 66; ++d) {
      const Problem problem{.d = d, .n_mixes = 1 + d % 6};
      const auto got = problem.run([&](const TokenShiftArgs& args) { token_shift(args, pool); });
      const auto expected = problem.run(token_shift_reference);
      EXPECT_LT(nmse(got.out, expected.out), 1e-13) << d;  // two roundings of 6e-8
      EXPECT_EQ(got.states, expected.states) << d;
    }
  });
}

TEST(TokenShift, StepsGiveTheSameBitsAsABatch) {
  const Problem problem{.d = 77, .n_mixes = 6, .n_first = 300, .n_second = 40};
  ThreadPool one(1), three(3);
  const auto whole = problem.run([&](const TokenShiftArgs& args) { token_shift(args, three); });
  const auto steps = problem.run([&](const TokenShiftArgs& all) {
    for (StateRows rows : all.sequences) {
      for (const int64_t end = rows.end; rows.begin < end; ++rows.begin) {
        rows.end = rows.begin + 1;
        TokenShiftArgs args = all;
        args.sequences = {&rows, 1};
        token_shift(args, one);
      }
    }
  });
  EXPECT_EQ(steps.out, whole.out);
  EXPECT_EQ(steps.states, whole.states);
}

}  // namespace
}  // namespace orrery
