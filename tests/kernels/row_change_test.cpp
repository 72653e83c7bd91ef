#include "kernels/row_change.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/thread_pool.h"
#include "tests/kernels/each_target.h"
#include "tests/kernels/random_tensors.h"

namespace orrery {
namespace {

// Step and cosine of 3 rows of width d that lie apart, and the change that is kept.
struct Changes {
  std::vector<float> steps = std::vector<float>(6, 9.0f), cosines = std::vector<float>(6, 9.0f), change;
};

template <typename Operation>
Changes changes_of(int64_t d, bool has_earlier, const Operation& operation) {
  const auto n = static_cast<size_t>(3 * (d + 2));
  const std::vector<float> before = random_floats(n, 1), after = random_floats(n, 2);
  Changes changes;
  changes.change = random_floats(n, 3);
  operation(RowChangeArgs{.before = {before.data() + 1, 3, d, d + 2},
                          .after = {after.data(), 3, d, d + 2},
                          .change = {changes.change.data(), 3, d, d + 2},
                          .has_earlier = has_earlier},
            StatSlot{changes.steps.data(), 2}, StatSlot{changes.cosines.data(), 2});
  return changes;
}

TEST(RowChange, MatchesTheReferenceAtEveryWidth) {
  for_each_target([] {
    ThreadPool pool(2);
    for (int64_t d = 1; d <= 70; ++d) {
      for (const bool has_earlier : {false, true}) {
        const Changes got = changes_of(d, has_earlier, [&](const RowChangeArgs& args, StatSlot step, StatSlot cosine) {
          row_change(args, step, cosine, pool);
        });
        const Changes expected = changes_of(d, has_earlier, row_change_reference);
        EXPECT_LT(nmse(got.steps, expected.steps), 1e-12) << d;
        EXPECT_EQ(got.change, expected.change) << d;
        EXPECT_EQ(got.steps[1], 9.0f) << "between the rows nothing is written";
        for (const size_t r : {0u, 2u, 4u}) {
          EXPECT_EQ(std::isnan(got.cosines[r]), !has_earlier);
          if (has_earlier) {
            EXPECT_NEAR(got.cosines[r], expected.cosines[r], 1e-6f) << d;
          }
        }
      }
    }
  });
}

TEST(RowChange, IsThatOfVectorsKnown) {
  ThreadPool pool(1);
  const std::vector<float> before = {3.0f, 4.0f}, after = {3.0f, 9.0f};
  std::vector<float> change = {0.0f, -2.0f};
  float step = 0.0f, cosine = 0.0f;
  row_change({{before.data(), 1, 2}, {after.data(), 1, 2}, {change.data(), 1, 2}, true}, {&step, 1}, {&cosine, 1},
             pool);
  EXPECT_FLOAT_EQ(step, 1.0f);     // 5 of 5
  EXPECT_FLOAT_EQ(cosine, -1.0f);  // the other way
  EXPECT_EQ(change, (std::vector<float>{0.0f, 5.0f}));
}

TEST(RowDivergence, MatchesTheReferenceAtEveryWidth) {
  for_each_target([] {
    ThreadPool pool(3);
    for (int64_t n = 1; n <= 1100; n = n < 70 ? n + 1 : 2 * n - 33) {
      const auto size = static_cast<size_t>(4 * n);
      const std::vector<float> p = random_floats(size, 4, 3.0f), q = random_floats(size, 5, 3.0f);
      std::vector<float> got(4), expected(4);
      row_divergence({p.data(), 4, n}, {q.data(), 4, n}, {got.data(), 1}, pool);
      row_divergence_reference({p.data(), 4, n}, {q.data(), 4, n}, {expected.data(), 1});
      for (size_t r = 0; r < 4; ++r) EXPECT_NEAR(got[r], expected[r], 1e-5f * (1.0f + expected[r])) << n;
    }
  });
}

TEST(RowDivergence, IsZeroOfTheSameAndKnownOfTwo) {
  for_each_target([] {
    ThreadPool pool(1);
    const float hidden = -HUGE_VALF;
    const std::vector<float> p = {std::log(0.75f), std::log(0.25f), hidden}, q = {0.0f, 0.0f, hidden};
    float same = 1.0f, other = 0.0f;
    row_divergence({p.data(), 1, 3}, {p.data(), 1, 3}, {&same, 1}, pool);
    row_divergence({p.data(), 1, 3}, {q.data(), 1, 3}, {&other, 1}, pool);
    EXPECT_NEAR(same, 0.0f, 1e-7f);
    EXPECT_NEAR(other, 0.75f * std::log(1.5f) + 0.25f * std::log(0.5f), 1e-6f);
  });
}

}  // namespace
}  // namespace orrery
