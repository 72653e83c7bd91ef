#include "kernels/matrix_state.h"

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

enum class Decay { kNone, kFixed, kByHead, kByChannelOfHead, kByChannel };

// A family of layers, and how large one is.
struct Family {
  const char* name;
  MatrixStateSizes sizes;
  Decay decay;
  bool has_write;
  StateErase erase;
  bool has_skip;
  int32_t n_stats;
};

const Family kFamilies[] = {
    {"linear attention", {3, 3, 7, 5}, Decay::kNone, false, StateErase::kNone, false, 3},
    {"retention", {2, 2, 16, 9}, Decay::kFixed, false, StateErase::kNone, false, 2},
    {"Mamba-2", {6, 2, 19, 11}, Decay::kByHead, true, StateErase::kNone, true, 6},
    {"Mamba-2 of round sizes", {4, 1, 64, 32}, Decay::kByHead, true, StateErase::kNone, true, 4},
    {"Mamba-1", {37, 1, 5, 1}, Decay::kByChannelOfHead, true, StateErase::kNone, true, 16},
    {"Mamba-1 with fewer channels than groups",
     {9, 1, 16, 1},
     Decay::kByChannelOfHead,
     true,
     StateErase::kNone,
     true,
     16},
    {"gated delta", {4, 2, 13, 10}, Decay::kByHead, true, StateErase::kDelta, false, 4},
    {"Kimi delta", {3, 3, 17, 6}, Decay::kByChannel, true, StateErase::kDelta, false, 3},
    {"RWKV-7", {3, 3, 13, 10}, Decay::kByChannel, false, StateErase::kPair, false, 3},
    {"RWKV-7 of round sizes", {2, 2, 64, 64}, Decay::kByChannel, false, StateErase::kPair, false, 2},
    {"pairs that heads share", {6, 2, 21, 7}, Decay::kByHead, true, StateErase::kPair, true, 6},
    {"RG-LRU", {35, 1, 1, 1}, Decay::kByHead, true, StateErase::kNone, false, 5},
    {"numbers of fixed decays", {67, 1, 1, 1}, Decay::kFixed, false, StateErase::kNone, true, 3},
    {"numbers in more groups than there are", {9, 1, 1, 1}, Decay::kNone, true, StateErase::kNone, true, 16},
};

std::vector<float> magnitudes(std::vector<float> values, float factor) {
  for (float& value : values) value = factor * std::abs(value);
  return values;
}

// Two sequences of a batch; columns of q, k and v lie in one wider matrix.
struct Problem {
  Family family;
  int64_t n_first = 3, n_second = 14;

  struct Results {
    std::vector<float> out, states, norm, write, erase, read, keep;
  };

  template <typename Run>
  Results run(const Run& recur, bool with_stats = true) const {
    const MatrixStateSizes& s = family.sizes;
    const int64_t n_rows = n_first + n_second, keys = int64_t{s.n_groups} * s.d_key;
    const int64_t values = int64_t{s.n_heads} * s.d_value, by_channel = int64_t{s.n_heads} * s.d_key;
    const int64_t width = 2 * keys + values;
    const std::vector<float> inputs = random_floats(static_cast<size_t>(n_rows * width), 1, 0.5f);
    const bool rate_by_channel = family.decay == Decay::kByChannel, has_rate = family.decay > Decay::kFixed;
    const int64_t rate_width = rate_by_channel ? by_channel : s.n_heads;
    const auto rate = magnitudes(random_floats(static_cast<size_t>(n_rows * rate_width), 2), 0.5f);
    const int64_t log_width = family.decay == Decay::kNone              ? 0
                              : family.decay == Decay::kByChannelOfHead ? by_channel
                                                                        : s.n_heads;
    const auto log_decay = magnitudes(random_floats(static_cast<size_t>(log_width), 3), -0.7f);
    const auto write = magnitudes(random_floats(static_cast<size_t>(n_rows * s.n_heads), 4), 0.4f);
    auto erase = random_floats(static_cast<size_t>(2 * n_rows * keys), 7);
    for (float& value : erase) value /= std::sqrt(static_cast<float>(s.d_key));  // of length 1, on average
    const auto skip = random_floats(family.has_skip ? static_cast<size_t>(s.n_heads) : 0, 5);
    const int64_t state_size = int64_t{s.n_heads} * s.d_value * s.d_key;

    Results results;
    results.out.resize(static_cast<size_t>(n_rows * values));
    results.states = random_floats(static_cast<size_t>(2 * state_size), 6, 0.3f);
    const StateRows sequences[] = {{0, n_first, results.states.data()},
                                   {n_first, n_rows, results.states.data() + state_size}};
    MatrixStateArgs args;
    args.sizes = s;
    args.q = {inputs.data(), n_rows, keys, width};
    args.k = {inputs.data() + keys, n_rows, keys, width};
    args.v = {inputs.data() + 2 * keys, n_rows, values, width};
    if (has_rate) args.decay.rate = {rate.data(), n_rows, rate_width};
    args.decay.log_decay = log_decay;
    if (family.has_write) args.write = {write.data(), n_rows, s.n_heads};
    args.erase = family.erase;
    if (family.erase == StateErase::kPair) {
      args.erase_read = {erase.data(), n_rows, keys, 2 * keys};
      args.erase_write = {erase.data() + keys, n_rows, keys, 2 * keys};
    }
    args.skip = skip;
    args.read_scale = 0.8f;
    args.out = {results.out.data(), n_rows, values};
    args.sequences = sequences;
    MatrixStateStats stats;
    stats.n = family.n_stats;
    const auto slot = [&](std::vector<float>& to, int64_t per_group) {
      to.assign(static_cast<size_t>(n_rows * family.n_stats * per_group), -5.0f);
      return with_stats ? StatSlot{to.data(), family.n_stats * per_group} : StatSlot{};
    };
    stats.norm = slot(results.norm, 1);
    stats.write = slot(results.write, 1);
    stats.erase = slot(results.erase, 1);
    stats.read = slot(results.read, 1);
    stats.keep = slot(results.keep, 3);
    recur(args, stats);
    return results;
  }
  Results fast(int n_threads = 1, bool with_stats = true) const {
    ThreadPool pool(n_threads);
    return run([&](const MatrixStateArgs& args, const MatrixStateStats& stats) { matrix_state(args, stats, pool); },
               with_stats);
  }
};

// NaN stands for a group without heads in both.
void expect_close(std::vector<float> got, std::vector<float> expected, double bound, const std::string& what) {
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(std::isnan(got[i]), std::isnan(expected[i])) << what << ", entry " << i;
    if (std::isnan(got[i])) got[i] = expected[i] = 0.0f;
  }
  EXPECT_LT(nmse(got, expected), bound) << what;
}

TEST(MatrixState, MatchesTheReferenceForEveryFamily) {
  // Rounding of 6e-8 in each of a few hundred sums, which decays keep from adding up.
  constexpr double kBound = 1e-11;
  for_each_target([] {
    for (const Family& family : kFamilies) {
      const Problem problem{family};
      const auto got = problem.fast(), expected = problem.run(matrix_state_reference);
      const std::string name = family.name;
      expect_close(got.out, expected.out, kBound, name + ": output");
      expect_close(got.states, expected.states, kBound, name + ": states");
      expect_close(got.norm, expected.norm, kBound, name + ": norm");
      expect_close(got.write, expected.write, kBound, name + ": write");
      expect_close(got.erase, expected.erase, kBound, name + ": erase");
      expect_close(got.read, expected.read, kBound, name + ": read");
      expect_close(got.keep, expected.keep, kBound, name + ": keep");
    }
  });
}

TEST(MatrixState, IsTheSameForAnyNumberOfThreadsAndWithoutStatistics) {
  for (const Family& family : kFamilies) {
    const Problem problem{family, 40, 30};
    const auto one = problem.fast(1);
    EXPECT_EQ(problem.fast(3).states, one.states) << family.name;
    EXPECT_EQ(problem.fast(3).norm, one.norm) << family.name;
    EXPECT_EQ(problem.fast(2, false).out, one.out) << family.name;
    EXPECT_EQ(problem.fast(2, false).states, one.states) << family.name;
  }
}

TEST(MatrixState, TheOutputMayTakeTheValuesPlace) {
  for (const Family& family : kFamilies) {
    const Problem problem{family};
    const auto apart = problem.fast();
    const auto in_place = problem.run([](MatrixStateArgs args, const MatrixStateStats& stats) {
      ThreadPool pool(1);
      for (int64_t r = 0; r < args.v.n_rows; ++r) std::copy_n(args.v.row(r), args.v.n_cols, args.out.row(r));
      args.v = args.out;
      matrix_state(args, stats, pool);
    });
    EXPECT_EQ(in_place.out, apart.out) << family.name;
    EXPECT_EQ(in_place.write, apart.write) << family.name;
  }
}

TEST(MatrixState, StepsGiveTheSameBitsAsABatch) {
  for (const Family& family : kFamilies) {
    const Problem problem{family};
    const auto whole = problem.fast();
    const auto steps = problem.run([](const MatrixStateArgs& all, const MatrixStateStats& stats) {
      ThreadPool pool(1);
      for (StateRows rows : all.sequences) {
        for (const int64_t end = rows.end; rows.begin < end; ++rows.begin) {
          rows.end = rows.begin + 1;
          MatrixStateArgs args = all;
          args.sequences = {&rows, 1};
          matrix_state(args, stats, pool);
        }
      }
    });
    EXPECT_EQ(steps.out, whole.out) << family.name;
    EXPECT_EQ(steps.states, whole.states) << family.name;
    EXPECT_EQ(steps.norm, whole.norm) << family.name;
    EXPECT_EQ(steps.read, whole.read) << family.name;
  }
}

// S <- S (diag(a) - e b^T) + v k^T, with S as it was before: by hand for two tokens of one number each.
TEST(MatrixState, APairErasesWhatTheStateBeforeItsDecayRecalls) {
  const float q[] = {1.0f, 1.0f}, k[] = {2.0f, 3.0f}, v[] = {5.0f, 7.0f}, e[] = {0.5f, 0.25f}, b[] = {1.0f, 0.5f};
  const float log_decay[] = {std::log(0.5f)};
  float out[2] = {}, state = 4.0f, erased[2] = {};
  const StateRows rows{0, 2, &state};
  MatrixStateArgs args;
  args.sizes = {1, 1, 1, 1};
  args.q = {q, 2, 1};
  args.k = {k, 2, 1};
  args.v = {v, 2, 1};
  args.decay.log_decay = log_decay;
  args.erase = StateErase::kPair;
  args.erase_read = {e, 2, 1};
  args.erase_write = {b, 2, 1};
  args.out = {out, 2, 1};
  args.sequences = {&rows, 1};
  MatrixStateStats stats;
  stats.n = 1;
  stats.erase = {erased, 1};
  ThreadPool pool(1);
  matrix_state(args, stats, pool);
  EXPECT_FLOAT_EQ(out[0], 4.0f * 0.5f - 4.0f * 0.5f * 1.0f + 10.0f);
  EXPECT_FLOAT_EQ(out[1], 10.0f * 0.5f - 10.0f * 0.25f * 0.5f + 21.0f);
  EXPECT_FLOAT_EQ(erased[0], 2.0f);
  EXPECT_FLOAT_EQ(erased[1], 1.25f);
}

// y = sum_s row[s] (w v)_s, which is what an implied row is.
TEST(StateRows, ReproduceWhatTheRecurrenceReads) {
  for (const Family& family : kFamilies) {
    const MatrixStateSizes& s = family.sizes;
    if (s.d_value == 1) continue;  // a group's row is a mean over its channels: below
    Problem problem{family, 0, 14};
    problem.run([&](MatrixStateArgs args, const MatrixStateStats&) {
      ThreadPool pool(2);
      const StateRows rows = args.sequences[1];
      std::fill_n(rows.state, s.n_heads * s.d_value * s.d_key, 0.0f);
      args.sequences = {&rows, 1};
      args.skip = {};
      matrix_state(args, {}, pool);
      std::vector<int32_t> heads(static_cast<size_t>(s.n_heads));
      for (size_t h = 0; h < heads.size(); ++h) heads[h] = static_cast<int32_t>(h);
      const int64_t n = args.q.n_rows, width = s.n_heads * n;
      std::vector<float> implied(static_cast<size_t>(n * width), -5.0f);
      StateRowArgs wanted;
      wanted.sizes = s;
      wanted.q = args.q;
      wanted.history = {.k = args.k,
                        .rate = args.decay.rate,
                        .write = args.write,
                        .erase_read = args.erase_read,
                        .erase_write = args.erase_write};
      wanted.log_decay = args.decay.log_decay;
      wanted.erase = args.erase;
      wanted.read_scale = args.read_scale;
      wanted.n_stat_heads = s.n_heads;
      wanted.stat_heads = heads;
      wanted.n_keys = n;
      matrix_state_rows(wanted, {implied.data(), width}, pool);
      for (int64_t t = 0; t < n; ++t) {
        for (int64_t h = 0; h < s.n_heads; ++h) {
          const float* const row = implied.data() + t * width + h * n;
          for (int64_t later = t + 1; later < n; ++later) EXPECT_EQ(row[later], 0.0f);
          for (int64_t i = 0; i < s.d_value; ++i) {
            double sum = 0.0;
            for (int64_t key = 0; key <= t; ++key) {
              const double w = args.write.data == nullptr ? 1.0 : double{args.write.row(key)[h]};
              sum += double{row[key]} * w * double{args.v.row(key)[h * s.d_value + i]};
            }
            ASSERT_NEAR(sum, double{args.out.row(t)[h * s.d_value + i]}, 1e-5) << family.name << ", token " << t;
          }
        }
      }
    });
  }
}

TEST(StateRows, OfAGroupAreTheMeanOfItsHeads) {
  const MatrixStateSizes sizes{5, 1, 3, 1};
  const auto q = random_floats(3 * 3, 1), k = random_floats(3 * 3, 2);
  const auto rate = magnitudes(random_floats(3 * 5, 3), 1.0f), log_decay = magnitudes(random_floats(5 * 3, 4), -1.0f);
  ThreadPool pool(1);
  const auto rows_of = [&](int32_t n_stat_heads) {
    std::vector<int32_t> heads(static_cast<size_t>(n_stat_heads));
    for (int32_t h = 0; h < n_stat_heads; ++h) heads[static_cast<size_t>(h)] = h;
    std::vector<float> rows(static_cast<size_t>(3 * n_stat_heads * 3));
    StateRowArgs args;
    args.sizes = sizes;
    args.q = {q.data(), 3, 3};
    args.history = {.k = {k.data(), 3, 3}, .rate = {rate.data(), 3, 5}};
    args.log_decay = log_decay;
    args.n_stat_heads = n_stat_heads;
    args.stat_heads = heads;
    args.n_keys = 3;
    matrix_state_rows(args, {rows.data(), 3 * n_stat_heads}, pool);
    return rows;
  };
  const auto one_each = rows_of(5), two = rows_of(2);  // heads 0, 1, 2 and 3, 4
  for (size_t t = 0; t < 3; ++t) {
    for (size_t key = 0; key < 3; ++key) {
      const auto of_head = [&](size_t h) { return double{one_each[t * 15 + h * 3 + key]}; };
      EXPECT_NEAR(two[t * 6 + key], (of_head(0) + of_head(1) + of_head(2)) / 3.0, 1e-6);
      EXPECT_NEAR(two[t * 6 + 3 + key], (of_head(3) + of_head(4)) / 2.0, 1e-6);
    }
  }
}

}  // namespace
}  // namespace orrery
