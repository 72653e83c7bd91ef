#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "kernels/kv_store.h"
#include "kernels/thread_pool.h"
#include "tests/kernels/each_target.h"
#include "tests/kernels/random_tensors.h"

namespace orrery {
namespace {

// Scores and sums in f32 against double: exponents of a few units are off by some 1e-6, so weights and outputs by as
// much relative: 1e-10 in the mean square leaves room for large d_head.
constexpr double kBound = 1e-10;

struct Shape2 {
  int32_t n_heads, n_kv_heads, d_head_k, d_head_v;
};

// One sequence with its pages; what no row may see is NaN.
class Sequence {
 public:
  Sequence(const Shape2& shape, DType dtype, int64_t n_keys, uint32_t seed) {
    ThreadPool pool(1);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (int64_t first = 0; first < n_keys; first += kKvPageTokens) {
      for (const bool is_key : {true, false}) {
        const int32_t d = is_key ? shape.d_head_k : shape.d_head_v;
        const int64_t width = int64_t{shape.n_kv_heads} * d;
        std::vector<std::byte>& page = pages_.emplace_back(kv_page_bytes(dtype, shape.n_kv_heads, d));
        const std::vector<float> filled = random_floats(static_cast<size_t>(kKvPageTokens * width), ++seed);
        for (int32_t token = 0; token < kKvPageTokens; ++token) {
          std::vector<float> row(filled.begin() + token * width, filled.begin() + (token + 1) * width);
          if (first + token >= n_keys) std::fill(row.begin(), row.end(), nan);
          const KvSlot slot{page.data(), token};
          kv_store(Matrix<const float>(row.data(), 1, width), {&slot, 1}, dtype, shape.n_kv_heads, d, pool);
        }
      }
    }
    for (size_t i = 0; i < pages_.size(); i += 2) {
      keys_.push_back(pages_[i].data());
      values_.push_back(pages_[i + 1].data());
    }
  }
  // From page `first_page` on.
  KvPages pages(size_t first_page = 0) const {
    return {std::span(keys_).subspan(first_page), std::span(values_).subspan(first_page),
            static_cast<int64_t>(first_page)};
  }
  // Values lie in the keys.
  KvPages keys_alone() const { return {keys_, keys_, 0}; }
  // The same values in pages of their own: the first d_head_v numbers of every key.
  KvPages values_copied(const Shape2& shape, DType dtype) {
    const auto bytes_of = [&](int32_t n) { return static_cast<size_t>(n) * (dtype == DType::kF32 ? 4 : 2); };
    for (size_t i = 1; i < pages_.size(); i += 2) {
      for (int32_t at = 0; at < shape.n_kv_heads * kKvPageTokens; ++at) {
        std::memcpy(pages_[i].data() + bytes_of(at * shape.d_head_v),
                    pages_[i - 1].data() + bytes_of(at * shape.d_head_k), bytes_of(shape.d_head_v));
      }
    }
    return pages();
  }

 private:
  std::vector<std::vector<std::byte>> pages_;
  std::vector<const std::byte*> keys_, values_;
};

// Outputs and every statistic of a batch.
struct Results {
  std::vector<float> out, entropy, first, previous, distance, top, rest, mass, rows;
};

struct Problem {
  Shape2 shape;
  DType dtype = DType::kF16;
  std::vector<AttentionRow> rows;
  std::vector<KvPages> sequences;
  std::vector<int32_t> row_heads = {};
  int64_t n_mass_blocks = 6, n_row_keys = 350;
  bool with_stats = true;
  int64_t broken_row = -1;  // its query is NaN
  bool values_in_keys = false;
  float score_cap = 0.0f;
  std::vector<float> sinks = {};
  AttentionNormaliser normaliser = AttentionNormaliser::kSoftmax;

  template <typename Run>
  Results run(const Run& run_attention, size_t first_row = 0, size_t count = SIZE_MAX) const {
    const size_t n = std::min(count, rows.size() - first_row), heads = static_cast<size_t>(shape.n_heads);
    const int64_t n_rows = static_cast<int64_t>(n), width = int64_t{shape.n_heads} * shape.d_head_k;
    std::vector<float> q = random_floats(rows.size() * static_cast<size_t>(width), 5, 1.5f);
    if (broken_row >= 0) std::fill_n(q.begin() + broken_row * width, width, std::nanf(""));
    Results results;
    AttentionStats stats;
    const auto slot = [&](std::vector<float>& values, size_t per_row) {
      values.assign(n * per_row, -5.0f);
      return with_stats ? StatSlot{values.data(), static_cast<int64_t>(per_row)} : StatSlot{};
    };
    stats.entropy = slot(results.entropy, heads);
    stats.first = slot(results.first, heads);
    stats.previous = slot(results.previous, heads);
    stats.distance = slot(results.distance, heads);
    stats.top = slot(results.top, heads * kAttentionTopKeys * 2);
    stats.rest = slot(results.rest, heads);
    stats.n_mass_blocks = n_mass_blocks;
    stats.mass = slot(results.mass, heads * static_cast<size_t>(n_mass_blocks));
    stats.row_heads = row_heads;
    stats.n_row_keys = n_row_keys;
    if (!row_heads.empty()) stats.rows = slot(results.rows, row_heads.size() * static_cast<size_t>(n_row_keys));
    results.out.assign(n * heads * static_cast<size_t>(shape.d_head_v), -5.0f);
    AttentionArgs args;
    args.q = Matrix<const float>(q.data() + static_cast<int64_t>(first_row) * width, n_rows, width);
    args.out = Matrix<float>(results.out.data(), n_rows, int64_t{shape.n_heads} * shape.d_head_v);
    args.rows = std::span(rows).subspan(first_row, n);
    args.sequences = sequences;
    args.kv_dtype = dtype;
    args.n_heads = shape.n_heads;
    args.n_kv_heads = shape.n_kv_heads;
    args.d_head_k = shape.d_head_k;
    args.d_head_v = shape.d_head_v;
    args.values_in_keys = values_in_keys;
    args.scale = 1.0f / std::sqrt(static_cast<float>(shape.d_head_k));
    args.score_cap = score_cap;
    args.sinks = sinks;
    args.normaliser = normaliser;
    run_attention(args, stats);
    return results;
  }

  Results fast(int n_threads = 1, size_t first_row = 0, size_t count = SIZE_MAX) const {
    ThreadPool pool(n_threads);
    return run([&](const AttentionArgs& args, const AttentionStats& stats) { attention(args, stats, pool); }, first_row,
               count);
  }
  Results reference() const {
    return run([](const AttentionArgs& args, const AttentionStats& stats) { attention_reference(args, stats); });
  }
};

// Tops: the weights agree, and each key has the weight that is said of it (near ties may swap).
void expect_tops_agree(const Results& got, const Results& expected) {
  ASSERT_EQ(got.top.size(), expected.top.size());
  for (size_t i = 1; i < got.top.size(); i += 2) {
    ASSERT_NEAR(got.top[i], expected.top[i], 1e-5f) << i;
    ASSERT_EQ(got.top[i - 1] < 0, expected.top[i - 1] < 0) << i;
    const bool clear = (i < 3 || expected.top[i - 2] > expected.top[i] * 1.0001f) && i + 2 < got.top.size() &&
                       expected.top[i] > expected.top[i + 2] * 1.0001f;
    if (clear) {
      ASSERT_EQ(got.top[i - 1], expected.top[i - 1]) << i;
    }
  }
}

void expect_agree(const Results& got, const Results& expected, const std::string& what) {
  SCOPED_TRACE(what);
  EXPECT_LT(nmse(got.out, expected.out), kBound);
  EXPECT_LT(nmse(got.entropy, expected.entropy), kBound);
  EXPECT_LT(nmse(got.first, expected.first), kBound);
  EXPECT_LT(nmse(got.previous, expected.previous), kBound);
  EXPECT_LT(nmse(got.distance, expected.distance), kBound);
  EXPECT_LT(nmse(got.mass, expected.mass), kBound);
  EXPECT_LT(nmse(got.rows, expected.rows), kBound);
  for (size_t i = 0; i < got.rest.size(); ++i) ASSERT_NEAR(got.rest[i], expected.rest[i], 1e-5f) << i;
  expect_tops_agree(got, expected);
}

std::vector<AttentionRow> causal_rows(int64_t first, int64_t n, int64_t window = 1 << 20) {
  std::vector<AttentionRow> rows;
  for (int64_t t = first; t < first + n; ++t) rows.push_back({0, std::max<int64_t>(0, t + 1 - window), t + 1});
  return rows;
}

constexpr Shape2 kShapes[] = {{9, 3, 64, 64}, {4, 4, 8, 8},     {6, 2, 7, 13},  {3, 1, 33, 20},
                              {5, 2, 80, 48}, {2, 1, 128, 128}, {37, 2, 12, 10}};

TEST(Attention, MatchesTheReferenceForEveryShape) {
  for_each_target([] {
    for (const Shape2& shape : kShapes) {
      for (DType dtype : {DType::kF16, DType::kF32}) {
        const Sequence sequence(shape, dtype, 150, 11);
        Problem problem{shape, dtype, causal_rows(120, 30), {sequence.pages()}, {0, shape.n_heads - 1}};
        expect_agree(
            problem.fast(), problem.reference(),
            std::to_string(shape.n_heads) + "/" + std::to_string(shape.d_head_k) + std::string(dtype_name(dtype)));
      }
    }
  });
}

TEST(Attention, MatchesTheReferenceAtEveryLength) {
  for_each_target([] {
    const Shape2 shape{3, 1, 16, 16};
    const Sequence sequence(shape, DType::kF16, 2000, 12);
    Problem problem{shape, DType::kF16, causal_rows(0, 200), {sequence.pages()}, {1}};
    expect_agree(problem.fast(), problem.reference(), "0..200");
    problem.rows = {{0, 0, 329}, {0, 100, 1000}, {0, 0, 1999}};  // past the blocks and keys that are asked for, too
    expect_agree(problem.fast(), problem.reference(), "long rows");
  });
}

TEST(Attention, WindowsSkipThePagesThatAreGone) {
  for_each_target([] {
    const Shape2 shape{4, 2, 16, 16};
    const Sequence sequence(shape, DType::kF16, 330, 13);
    Problem problem{shape, DType::kF16, causal_rows(250, 60, 70), {sequence.pages(2)}, {0, 3}};
    const Results without = problem.fast();
    expect_agree(without, problem.reference(), "window of 70");
    problem.sequences = {sequence.pages()};
    const Results with = problem.fast();
    EXPECT_EQ(with.out, without.out);
    EXPECT_EQ(with.rows, without.rows);
    EXPECT_EQ(with.distance, without.distance);
  });
}

TEST(Attention, CapsScoresBeforeTheSoftmax) {
  for_each_target([] {
    for (const Shape2& shape : {Shape2{9, 3, 64, 64}, Shape2{6, 2, 7, 13}}) {
      const Sequence sequence(shape, DType::kF32, 150, 20);
      Problem problem{shape, DType::kF32, causal_rows(60, 80, 70), {sequence.pages()}, {0}};
      const Results uncapped = problem.fast();
      problem.score_cap = 0.7f;
      const Results capped = problem.fast();
      expect_agree(capped, problem.reference(), "cap of 0.7");
      EXPECT_GT(capped.entropy.back(), uncapped.entropy.back()) << "no weight is far from the others";
    }
  });
}

TEST(Attention, SinksTakeTheirShareOfTheSoftmax) {
  for_each_target([] {
    const Shape2 shape{6, 2, 7, 13};
    const Sequence sequence(shape, DType::kF32, 150, 21);
    Problem problem{shape, DType::kF32, causal_rows(60, 80, 70), {sequence.pages()}, {0, 5}};
    const Results without = problem.fast();
    problem.sinks = {-1.0f, 0.5f, 40.0f, 2.0f, -30.0f, 1.0f};
    const Results with = problem.fast();
    expect_agree(with, problem.reference(), "sinks");
    EXPECT_LT(with.rows[0], without.rows[0]) << "weights of a row with a sink sum to less than 1";
    problem.sinks.assign(6, -HUGE_VALF);
    EXPECT_EQ(problem.fast().out, without.out);
    EXPECT_EQ(problem.fast().entropy, without.entropy);
  });
}

TEST(Attention, ASigmoidWeighsEachKeyByItself) {
  for_each_target([] {
    const Shape2 shape{6, 2, 7, 13};
    const Sequence sequence(shape, DType::kF32, 150, 22);
    Problem problem{shape, DType::kF32, causal_rows(60, 80, 70), {sequence.pages()}, {0, 5}};
    problem.normaliser = AttentionNormaliser::kSigmoid;
    expect_agree(problem.fast(), problem.reference(), "sigmoid");
    for (AttentionRow& row : problem.rows) row.score_bias = -std::log(static_cast<float>(row.key_end - row.key_begin));
    const Results biased = problem.fast();
    expect_agree(biased, problem.reference(), "sigmoid with a bias");
    for (AttentionRow& row : problem.rows) row.score_bias = -500.0f;  // weights that float32 does not hold
    for (const float value : problem.fast().out) EXPECT_EQ(value, 0.0f);
  });
}

TEST(Attention, AMaskHidesKeys) {
  for_each_target([] {
    const Shape2 shape{4, 2, 16, 16};
    const Sequence sequence(shape, DType::kF16, 330, 23);
    for (const AttentionNormaliser normaliser : {AttentionNormaliser::kSoftmax, AttentionNormaliser::kSigmoid}) {
      Problem problem{shape, DType::kF16, causal_rows(200, 40, 150), {sequence.pages()}, {0, 3}};
      problem.normaliser = normaliser;
      // Every third key, of different pages more or fewer; in the first page of the window none.
      std::vector<std::vector<uint64_t>> bits;
      for (AttentionRow& row : problem.rows) {
        std::vector<uint64_t>& words = bits.emplace_back(6, 0x9249249249249249u);
        words[0] = 0;
        row.visible = words;
      }
      const Results masked = problem.fast();
      expect_agree(masked, problem.reference(), "masked");
      EXPECT_EQ(masked.previous[0], 0.0f) << "key 199 is hidden";
    }
  });
}

TEST(Attention, AMaskOfTheWindowIsTheWindow) {
  for_each_target([] {
    const Shape2 shape{4, 2, 16, 16};
    const Sequence sequence(shape, DType::kF16, 330, 24);
    Problem problem{shape, DType::kF16, causal_rows(250, 60, 70), {sequence.pages()}, {0, 3}};
    const Results by_range = problem.fast();
    std::vector<std::vector<uint64_t>> bits;
    for (AttentionRow& row : problem.rows) {
      std::vector<uint64_t>& words = bits.emplace_back(6, 0);
      for (int64_t key = row.key_begin; key < row.key_end; ++key) {
        words[static_cast<size_t>(key / 64)] |= uint64_t{1} << (key % 64);
      }
      row.key_begin = 0;
      row.visible = words;
    }
    const Results by_mask = problem.fast();
    EXPECT_LT(nmse(by_mask.out, by_range.out), 1e-12);
    EXPECT_LT(nmse(by_mask.entropy, by_range.entropy), 1e-12);
    EXPECT_LT(nmse(by_mask.rows, by_range.rows), 1e-12);
    EXPECT_LT(nmse(by_mask.mass, by_range.mass), 1e-12);
  });
}

TEST(Attention, ValuesInTheKeysAreReadAsIfTheyLayApart) {
  for_each_target([] {
    // Latent attention's: many query heads, more than a tile has, on one; whole vectors, parts of them, and all.
    for (const Shape2& shape : {Shape2{19, 1, 80, 64}, Shape2{3, 1, 13, 9}, Shape2{4, 2, 40, 32}, Shape2{2, 1, 7, 7}}) {
      for (DType dtype : {DType::kF16, DType::kF32}) {
        Sequence sequence(shape, dtype, 150, 25);
        for (const int64_t n_rows : {1, 30}) {
          Problem problem{
              shape, dtype, causal_rows(150 - n_rows, n_rows), {sequence.keys_alone()}, {0, shape.n_heads - 1}};
          problem.values_in_keys = true;
          const Results in_keys = problem.fast();
          expect_agree(in_keys, problem.reference(), "values in keys");
          problem.values_in_keys = false;
          problem.sequences = {sequence.values_copied(shape, dtype)};
          EXPECT_EQ(problem.fast().out, in_keys.out);
        }
      }
    }
  });
}

TEST(Attention, SequencesOfABatchDoNotMix) {
  for_each_target([] {
    const Shape2 shape{6, 2, 32, 32};
    const Sequence a(shape, DType::kF16, 90, 14), b(shape, DType::kF16, 200, 15);
    Problem problem{shape, DType::kF16, {{0, 0, 90}, {1, 0, 200}, {1, 3, 80}, {0, 0, 1}}, {a.pages(), b.pages()}, {2}};
    expect_agree(problem.fast(), problem.reference(), "two sequences");
  });
}

TEST(Attention, RowsAreBitIdenticalAloneAndInABatch) {
  for_each_target([] {
    for (const Shape2& shape : {Shape2{9, 3, 64, 64}, Shape2{3, 1, 7, 9}}) {
      const Sequence sequence(shape, DType::kF16, 150, 16);
      Problem problem{shape, DType::kF16, causal_rows(100, 40, 90), {sequence.pages()}, {0}};
      const Results all = problem.fast();
      const size_t per_row = all.out.size() / 40;
      for (size_t row = 0; row < 40; ++row) {
        const Results one = problem.fast(1, row, 1);
        for (size_t i = 0; i < per_row; ++i) ASSERT_EQ(one.out[i], all.out[row * per_row + i]) << row << " " << i;
        for (size_t h = 0; h < static_cast<size_t>(shape.n_heads); ++h) {
          const size_t at = row * static_cast<size_t>(shape.n_heads) + h;
          ASSERT_EQ(one.entropy[h], all.entropy[at]);
          ASSERT_EQ(one.rest[h], all.rest[at]);
          ASSERT_EQ(one.distance[h], all.distance[at]);
          for (size_t i = 0; i < 64; ++i) ASSERT_EQ(one.top[64 * h + i], all.top[64 * at + i]);
        }
      }
    }
  });
}

TEST(Attention, OutputsAreBitIdenticalWithAndWithoutStatistics) {
  for_each_target([] {
    const Shape2 shape{9, 3, 64, 64};
    const Sequence sequence(shape, DType::kF16, 150, 17);
    Problem problem{shape, DType::kF16, causal_rows(100, 40), {sequence.pages()}, {0}};
    const Results with = problem.fast();
    problem.with_stats = false;
    EXPECT_EQ(problem.fast().out, with.out);
  });
}

void expect_same_bits(const Results& got, const Results& expected) {
  EXPECT_EQ(got.out, expected.out);
  EXPECT_EQ(got.entropy, expected.entropy);
  EXPECT_EQ(got.top, expected.top);
  EXPECT_EQ(got.mass, expected.mass);
  EXPECT_EQ(got.rows, expected.rows);
}

TEST(Attention, ResultsAreBitIdenticalForAnyNumberOfThreads) {
  const Shape2 shape{9, 3, 64, 64};
  const Sequence sequence(shape, DType::kF16, 150, 18);
  const Problem problem{shape, DType::kF16, causal_rows(80, 70), {sequence.pages()}, {0}};
  const Results one = problem.fast(1);
  for (int n_threads : {2, 3}) expect_same_bits(problem.fast(n_threads), one);
}

// A token or two over many keys: tiles, one for each key/value head, are then cut into parts.
TEST(Attention, AFewRowsOverManyKeysAreBitIdenticalForAnyNumberOfThreads) {
  for_each_target([] {
    for (const Shape2& shape :
         {Shape2{9, 3, 64, 64}, Shape2{6, 2, 7, 13}, Shape2{5, 2, 80, 48}, Shape2{5, 1, 16, 40}}) {
      for (DType dtype : {DType::kF16, DType::kF32}) {
        const Sequence sequence(shape, dtype, 5000, 19);
        const std::vector<AttentionRow> rows = {{0, 130, 4998}, {0, 0, 4999}};
        Problem problem{shape, dtype, rows, {sequence.pages()}, {0}};
        problem.n_mass_blocks = 79;
        problem.n_row_keys = 5000;
        const Results one = problem.fast(1);
        for (int n_threads : {2, 7}) expect_same_bits(problem.fast(n_threads), one);
      }
    }
  });
}

TEST(Attention, EqualWeightsAreListedByKey) {
  for_each_target([] {
    const Shape2 shape{1, 1, 16, 16};
    ThreadPool pool(1);
    std::vector<std::byte> page(kv_page_bytes(DType::kF32, 1, 16));  // zeros: all scores are equal
    const std::byte* pointers[] = {page.data(), page.data()};
    Problem problem{shape, DType::kF32, {{0, 5, 105}}, {KvPages{pointers, pointers}}};
    const Results results = problem.fast();
    for (size_t rank = 0; rank < kAttentionTopKeys; ++rank) {
      EXPECT_EQ(results.top[2 * rank], static_cast<float>(5 + rank));
      EXPECT_FLOAT_EQ(results.top[2 * rank + 1], 0.01f);
    }
    EXPECT_NEAR(results.rest[0], 0.68f, 1e-6f);
    EXPECT_NEAR(results.entropy[0], std::log(100.0f), 1e-6f);
    EXPECT_NEAR(results.distance[0], 49.5f, 1e-4f);
    EXPECT_FLOAT_EQ(results.previous[0], 0.01f);
    EXPECT_EQ(results.first[0], 0.0f);
  });
}

TEST(Attention, ABrokenQueryShowsInItsRowAndIsSurvived) {
  for_each_target([] {
    const Shape2 shape{3, 1, 16, 16};
    const Sequence sequence(shape, DType::kF32, 330, 19);
    Problem problem{shape, DType::kF32, causal_rows(250, 60), {sequence.pages()}, {0}};
    problem.broken_row = 20;
    const Results results = problem.fast();
    for (size_t i = 0; i < results.out.size(); ++i) {
      ASSERT_EQ(std::isnan(results.out[i]), i / 48 == 20) << i;
    }
  });
}

}  // namespace
}  // namespace orrery
