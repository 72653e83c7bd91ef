#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/kv_store.h"
#include "tests/engine/cuda/on_backend.h"

namespace orrery::testing {
namespace {

// float32 scores in another order and another exp: exponents of a few units are off by some 1e-6, weights and what is
// made of them by as much relative.
constexpr double kMost = 1e-10;

struct Heads {
  int32_t n_heads, n_kv_heads, d_head_k, d_head_v;
};

// A statistic of a batch: its name and how many numbers a row has.
struct Field {
  std::string name;
  int64_t width = 0;
  std::vector<float> values;
};
using Fields = std::vector<Field>;  // out, then the statistics in the order of AttentionStats

const std::vector<float>& values_of(const Fields& fields, const std::string& name) {
  return std::find_if(fields.begin(), fields.end(), [&](const Field& field) { return field.name == name; })->values;
}

struct SequenceData {
  int64_t n_keys = 0;
  int64_t first_page = 0;           // pages before it are dropped
  std::vector<float> keys, values;  // [n_keys, n_kv_heads * d_head]
};

struct Problem {
  Heads heads{};
  DType dtype = DType::kF16;
  std::vector<AttentionRow> rows;
  std::vector<SequenceData> sequences;
  std::vector<float> q;
  std::vector<int32_t> row_heads;
  int64_t n_mass_blocks = 6, n_row_keys = 350;
  float score_cap = 0.0f;
  std::vector<float> sinks;
  AttentionNormaliser normaliser = AttentionNormaliser::kSoftmax;
  bool values_in_keys = false;  // values of the sequences are not used
  std::string only;             // a statistic, or "out" for none; empty: all of them

  Fields run(Backend& backend) const {
    OnBackend on(backend);
    std::vector<std::vector<const std::byte*>> pages;
    std::vector<KvPages> views;
    for (const SequenceData& sequence : sequences) store(on, backend, sequence, pages);
    for (size_t i = 0; i < sequences.size(); ++i) {
      views.push_back({pages[2 * i], pages[values_in_keys ? 2 * i : 2 * i + 1], sequences[i].first_page});
    }
    const auto n_rows = static_cast<int64_t>(rows.size());
    const int64_t n_heads = heads.n_heads;
    Fields fields{{"out", n_heads * heads.d_head_v, {}}};
    const Matrix<float> out = filled(on, backend, n_rows, fields[0].width);
    AttentionStats stats;
    const auto want = [&](const char* name, int64_t width, StatSlot& slot) {
      if ((!only.empty() && only != name) || width == 0) return;
      fields.push_back({name, width, {}});
      slot = {filled(on, backend, n_rows, width).data, width};
    };
    want("entropy", n_heads, stats.entropy);
    want("first", n_heads, stats.first);
    want("previous", n_heads, stats.previous);
    want("distance", n_heads, stats.distance);
    want("top", n_heads * kAttentionTopKeys * 2, stats.top);
    want("rest", n_heads, stats.rest);
    want("mass", n_heads * n_mass_blocks, stats.mass);
    want("rows", static_cast<int64_t>(row_heads.size()) * n_row_keys, stats.rows);
    stats.n_mass_blocks = n_mass_blocks;
    stats.row_heads = row_heads;
    stats.n_row_keys = n_row_keys;
    AttentionArgs args;
    args.q = on.matrix(q, n_rows, n_heads * heads.d_head_k);
    args.out = out;
    args.rows = rows;
    args.sequences = views;
    args.kv_dtype = dtype;
    args.n_heads = heads.n_heads;
    args.n_kv_heads = heads.n_kv_heads;
    args.d_head_k = heads.d_head_k;
    args.d_head_v = heads.d_head_v;
    args.values_in_keys = values_in_keys;
    args.scale = 1.0f / std::sqrt(static_cast<float>(heads.d_head_k));
    args.score_cap = score_cap;
    args.normaliser = normaliser;
    if (!sinks.empty()) args.sinks = {on.input<float>(sinks), sinks.size()};
    backend.attention(args, stats);
    const std::vector<float> results = on.results();
    auto at = results.begin();
    for (Field& field : fields) {
      field.values.assign(at, at + n_rows * field.width);
      at += n_rows * field.width;
    }
    return fields;
  }

 private:
  // An output that holds no zeros before the operation.
  static Matrix<float> filled(OnBackend& on, Backend& backend, int64_t n_rows, int64_t n_cols) {
    const Matrix<float> out = on.output(n_rows, n_cols);
    const std::vector<float> garbage(static_cast<size_t>(n_rows * n_cols), -5.0f);
    backend.copy(reinterpret_cast<std::byte*>(out.data),
                 reinterpret_cast<const std::byte*>(on.input(std::span<const float>(garbage))),
                 garbage.size() * sizeof(float));
    return out;
  }

  // Keys and values in pages of their own; places after the last token are NaN.
  void store(OnBackend& on, Backend& backend, const SequenceData& sequence,
             std::vector<std::vector<const std::byte*>>& pages) const {
    const int64_t n_pages = (sequence.n_keys + kKvPageTokens - 1) / kKvPageTokens;
    for (const bool is_key : {true, false}) {
      const int32_t d_head = is_key ? heads.d_head_k : heads.d_head_v;
      const int64_t width = int64_t{heads.n_kv_heads} * d_head;
      std::vector<float> x = is_key ? sequence.keys : sequence.values;
      x.resize(static_cast<size_t>(n_pages * kKvPageTokens * width), std::numeric_limits<float>::quiet_NaN());
      std::vector<int64_t> positions;
      std::vector<std::byte*> of_rows;
      std::vector<const std::byte*>& kept = pages.emplace_back();
      for (int64_t page = sequence.first_page; page < n_pages; ++page) {
        std::byte* const memory = on.zeroed(kv_page_bytes(dtype, heads.n_kv_heads, d_head));
        kept.push_back(memory);
        for (int64_t i = 0; i < kKvPageTokens; ++i) {
          positions.push_back(page * kKvPageTokens + i);
          of_rows.push_back(memory);
        }
      }
      const auto n = static_cast<int64_t>(positions.size());
      const std::span<const float> stored = std::span<const float>(x).last(static_cast<size_t>(n * width));
      backend.store_kv(on.matrix(stored, n, width), positions, of_rows, dtype, heads.n_kv_heads, d_head);
    }
  }
};

std::vector<AttentionRow> causal_rows(int64_t first, int64_t n, int64_t window = 1 << 20, int32_t sequence = 0) {
  std::vector<AttentionRow> rows;
  for (int64_t t = first; t < first + n; ++t) {
    rows.push_back({sequence, std::max<int64_t>(0, t + 1 - window), t + 1});
  }
  return rows;
}

// Up to 16 queries of a sequence that share a key/value head are a step's, more are tiles': tests try both.
class CudaAttention : public CudaOperation {
 protected:
  SequenceData sequence(const Heads& heads, int64_t n_keys, int64_t first_page = 0) {
    return {n_keys, first_page, random(n_keys * heads.n_kv_heads * heads.d_head_k, 1.5f),
            random(n_keys * heads.n_kv_heads * heads.d_head_v)};
  }
  Problem problem(const Heads& heads, DType dtype, std::vector<AttentionRow> rows, int64_t n_keys) {
    Problem made;
    made.heads = heads;
    made.dtype = dtype;
    made.rows = std::move(rows);
    made.row_heads = {heads.n_heads - 1};
    made.sequences = {sequence(heads, n_keys)};
    made.q = random(static_cast<int64_t>(made.rows.size()) * heads.n_heads * heads.d_head_k);
    return made;
  }

  void expect_equals_cpu(const Problem& problem) {
    const Fields expected = problem.run(*cpu_), got = problem.run(*backend_);
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) {
      if (got[i].name == "top") {
        expect_tops_agree(got[i].values, expected[i].values);
      } else {
        expect_close(got[i], expected[i]);
      }
    }
  }

  // Of weights and sums of weights no number may be off by more than a few roundings either.
  static void expect_close(const Field& got, const Field& expected) {
    double difference = 0.0, size = 0.0;
    for (size_t i = 0; i < expected.values.size(); ++i) {
      const double a = got.values[i], b = expected.values[i];
      ASSERT_EQ(std::isnan(a), std::isnan(b)) << got.name << " " << i << ": " << a << ", " << b;
      if (std::isnan(b)) continue;
      if (got.name != "out" && got.name != "distance") {
        ASSERT_NEAR(a, b, 2e-6 * std::max(1.0, std::abs(b))) << got.name << " " << i;
      }
      difference += (a - b) * (a - b);
      size += b * b;
    }
    EXPECT_LE(difference, kMost * size) << got.name << ": normalised error " << difference / size;
  }

  // The weights agree, and so do the keys but where two weights are as good as equal.
  static void expect_tops_agree(const std::vector<float>& got, const std::vector<float>& expected) {
    for (size_t i = 1; i < got.size(); i += 2) {
      ASSERT_NEAR(got[i], expected[i], 2e-6f) << "rank " << i % 64 / 2;
      ASSERT_EQ(got[i - 1] < 0, expected[i - 1] < 0) << "rank " << i % 64 / 2;
      const bool clear = (i % 64 == 1 || expected[i - 2] > expected[i] * 1.0001f) && i % 64 != 63 &&
                         expected[i] > expected[i + 2] * 1.0001f;
      if (clear) {
        ASSERT_EQ(got[i - 1], expected[i - 1]) << "rank " << i % 64 / 2;
      }
    }
  }
};

TEST_P(CudaAttention, EqualsTheCpuForEveryShape) {
  constexpr Heads kHeads[] = {{9, 3, 64, 64}, {4, 4, 8, 8},     {6, 2, 7, 13},  {5, 2, 42, 20},
                              {3, 1, 80, 48}, {1, 1, 256, 256}, {2, 1, 5, 301}, {17, 1, 16, 12}};
  for (const Heads& heads : kHeads) {
    for (const DType dtype : {DType::kF16, DType::kF32}) {
      SCOPED_TRACE(std::to_string(heads.n_heads) + " heads of " + std::to_string(heads.d_head_k) + ", " +
                   std::string(dtype_name(dtype)));
      expect_equals_cpu(problem(heads, dtype, causal_rows(130, 3), 133));
    }
  }
}

TEST_P(CudaAttention, EqualsTheCpuForAnyNumberOfRows) {
  for (const int64_t n_rows : {1, 2, 5, 70}) {
    SCOPED_TRACE(n_rows);
    expect_equals_cpu(problem({4, 2, 16, 8}, DType::kF16, causal_rows(61, n_rows), 61 + n_rows));
  }
  expect_equals_cpu(problem({2, 1, 42, 70}, DType::kF32, causal_rows(0, 70), 70));
  expect_equals_cpu(problem({3, 1, 8, 130}, DType::kF16, causal_rows(3, 66), 69));
}

// Past the blocks and keys that are asked for, past what the splits take at once, and more weights than candidates.
TEST_P(CudaAttention, EqualsTheCpuInLongTexts) {
  expect_equals_cpu(problem({1, 1, 8, 8}, DType::kF16, {{0, 0, 2200}, {0, 100, 1000}}, 2200));
  Problem wide = problem({1, 1, 4, 4}, DType::kF32, {{0, 0, 33000}}, 33000);
  wide.n_mass_blocks = 520;
  wide.n_row_keys = 33100;
  expect_equals_cpu(wide);
}

TEST_P(CudaAttention, WindowsReadNothingOfThePagesThatAreGone) {
  const Heads heads{4, 2, 16, 8};
  for (const int64_t n_rows : {3, 12}) {
    Problem windowed = problem(heads, DType::kF16, causal_rows(250, n_rows, 70), 330);
    const Fields with = windowed.run(*backend_);
    windowed.sequences[0].first_page = 2;
    expect_equals_cpu(windowed);
    const Fields without = windowed.run(*backend_);
    for (size_t i = 0; i < with.size(); ++i) EXPECT_EQ(with[i].values, without[i].values) << with[i].name;
  }
}

TEST_P(CudaAttention, SequencesOfABatchDoNotMix) {
  const Heads heads{6, 2, 24, 8};
  for (const int64_t n : {1, 10}) {
    Problem mixed;
    mixed.heads = heads;
    mixed.row_heads = {1, 4};
    for (int32_t s = 0; s < 3; ++s) {
      mixed.sequences.push_back(sequence(heads, 90 + 70 * s));
      const std::vector<AttentionRow> rows = causal_rows(60 + 70 * s, n, 100, s);
      mixed.rows.insert(mixed.rows.end(), rows.begin(), rows.end());
    }
    mixed.rows.push_back({0, 0, 1});
    mixed.q = random(static_cast<int64_t>(mixed.rows.size()) * heads.n_heads * heads.d_head_k);
    expect_equals_cpu(mixed);
  }
}

TEST_P(CudaAttention, CapsScoresBeforeTheSoftmax) {
  for (const int64_t n_rows : {2, 12}) {
    Problem capped = problem({6, 2, 7, 13}, DType::kF32, causal_rows(60, n_rows, 70), 100);
    capped.score_cap = 0.7f;
    expect_equals_cpu(capped);
  }
}

// Sinks that take nearly nothing, some, and nearly all.
TEST_P(CudaAttention, SinksTakeTheirShare) {
  for (const int64_t n_rows : {2, 12}) {
    Problem sunk = problem({4, 2, 16, 8}, DType::kF16, causal_rows(130, n_rows, 80), 130 + n_rows);
    sunk.sinks = {-30.0f, 0.5f, 6.0f, 14.0f};
    expect_equals_cpu(sunk);
    sunk.score_cap = 1.5f;
    expect_equals_cpu(sunk);
    const Fields fields = sunk.run(*backend_);
    const std::vector<float>& rows = values_of(fields, "rows");  // of the last head
    for (int64_t r = 0; r < n_rows; ++r) {
      double sum = 0.0;
      for (int64_t key = 0; key < sunk.n_row_keys; ++key) sum += rows[static_cast<size_t>(r * sunk.n_row_keys + key)];
      EXPECT_GT(sum, 0.0);
      EXPECT_LT(sum, 0.01);
    }
  }
}

// Many query heads on one, as in latent attention, and few; in pieces of 16 bytes and not.
TEST_P(CudaAttention, ValuesMayLieInTheKeys) {
  for (const Heads& heads : {Heads{20, 1, 40, 32}, Heads{3, 1, 24, 16}, Heads{3, 1, 13, 9}, Heads{4, 2, 72, 70}}) {
    for (const DType dtype : {DType::kF16, DType::kF32}) {
      for (const int64_t n_rows : {1, 20}) {
        SCOPED_TRACE(std::to_string(heads.n_heads) + " heads of " + std::to_string(heads.d_head_k));
        Problem latent = problem(heads, dtype, causal_rows(110, n_rows), 110 + n_rows);
        latent.values_in_keys = true;
        expect_equals_cpu(latent);
      }
    }
  }
}

TEST_P(CudaAttention, ASigmoidWeighsEachKeyByItself) {
  for (const int64_t n_rows : {2, 12}) {
    Problem one = problem({6, 2, 7, 13}, DType::kF32, causal_rows(60, n_rows, 70), 100);
    one.normaliser = AttentionNormaliser::kSigmoid;
    expect_equals_cpu(one);
    for (AttentionRow& row : one.rows) row.score_bias = -std::log(static_cast<float>(row.key_end - row.key_begin));
    expect_equals_cpu(one);
  }
}

// In the first page that a row may see, all is hidden.
TEST_P(CudaAttention, AMaskHidesKeys) {
  for (const AttentionNormaliser normaliser : {AttentionNormaliser::kSoftmax, AttentionNormaliser::kSigmoid}) {
    for (const int64_t n_rows : {2, 12}) {
      Problem masked = problem({4, 2, 16, 16}, DType::kF16, causal_rows(200, n_rows, 150), 220);
      masked.normaliser = normaliser;
      std::vector<uint64_t> words(6, 0x9249249249249249u);
      words[0] = 0;
      masked.rows[0].visible = words;
      masked.rows.back().visible = words;
      expect_equals_cpu(masked);
    }
  }
}

TEST_P(CudaAttention, EveryStatisticAloneIsTheSameAsAmongAll) {
  Problem one = problem({4, 2, 16, 16}, DType::kF16, causal_rows(170, 3), 173);
  const Fields all = one.run(*backend_);
  for (const Field& field : all) {
    one.only = field.name;
    const Fields alone = one.run(*backend_);
    EXPECT_EQ(values_of(alone, field.name), field.values) << field.name;
    EXPECT_EQ(values_of(alone, "out"), all[0].values) << field.name;
  }
}

TEST_P(CudaAttention, RunsAreBitIdentical) {
  for (const int64_t n_rows : {2, 12}) {
    const Problem repeated = problem({4, 2, 16, 16}, DType::kF16, causal_rows(150, n_rows), 200);
    const Fields first = repeated.run(*backend_), second = repeated.run(*backend_);
    for (size_t i = 0; i < first.size(); ++i) EXPECT_EQ(first[i].values, second[i].values) << first[i].name;
  }
}

TEST_P(CudaAttention, EqualWeightsAreListedByKey) {
  const Heads heads{1, 1, 16, 16};
  Problem equal = problem(heads, DType::kF32, {{0, 5, 405}}, 405);
  std::fill(equal.sequences[0].keys.begin(), equal.sequences[0].keys.end(), 0.0f);
  const Fields fields = equal.run(*backend_);
  const std::vector<float>& top = values_of(fields, "top");
  for (size_t rank = 0; rank < kAttentionTopKeys; ++rank) {
    EXPECT_EQ(top[2 * rank], static_cast<float>(5 + rank));
    EXPECT_FLOAT_EQ(top[2 * rank + 1], 0.0025f);
  }
  EXPECT_NEAR(values_of(fields, "rest")[0], 0.92f, 1e-6f);
  EXPECT_NEAR(values_of(fields, "entropy")[0], std::log(400.0f), 2e-6f);
  EXPECT_EQ(values_of(fields, "first")[0], 0.0f);

  // Keys 300 to 309 stand out; the other 22 are the first of the rest.
  std::fill_n(equal.sequences[0].keys.begin() + 300 * 16, 10 * 16, 1.0f);
  std::fill(equal.q.begin(), equal.q.end(), 0.1f);
  const Fields some = equal.run(*backend_);
  for (size_t rank = 0; rank < kAttentionTopKeys; ++rank) {
    EXPECT_EQ(values_of(some, "top")[2 * rank], static_cast<float>(rank < 10 ? 300 + rank : 5 + rank - 10)) << rank;
  }
}

// Weights so small that they are zero as floats are still listed, by key.
TEST_P(CudaAttention, ZeroWeightsFillTheList) {
  Problem sharp = problem({1, 1, 8, 8}, DType::kF32, {{0, 0, 200}}, 200);
  std::fill(sharp.q.begin(), sharp.q.end(), 1.0f);
  std::fill(sharp.sequences[0].keys.begin(), sharp.sequences[0].keys.end(), -1000.0f);
  std::fill_n(sharp.sequences[0].keys.begin() + 100 * 8, 8, 1000.0f);
  const Fields fields = sharp.run(*backend_);
  for (size_t rank = 0; rank < kAttentionTopKeys; ++rank) {
    EXPECT_EQ(values_of(fields, "top")[2 * rank], static_cast<float>(rank == 0 ? 100 : rank - 1)) << rank;
    EXPECT_EQ(values_of(fields, "top")[2 * rank + 1], rank == 0 ? 1.0f : 0.0f) << rank;
  }
  EXPECT_EQ(values_of(fields, "rest")[0], 0.0f);
  EXPECT_EQ(values_of(fields, "entropy")[0], 0.0f);
}

TEST_P(CudaAttention, ABrokenRowShowsWhereItIsSeenAndNowhereElse) {
  for (const int64_t n_rows : {4, 12}) {
    const Heads heads{3, 1, 16, 8};
    Problem broken = problem(heads, DType::kF32, causal_rows(60, n_rows), 60 + n_rows);
    std::fill_n(broken.q.begin() + 2 * 48, 48, std::nanf(""));            // row 2
    std::fill_n(broken.sequences[0].values.end() - 8, 8, std::nanf(""));  // the last row's
    expect_equals_cpu(broken);
    const std::vector<float> out = values_of(broken.run(*backend_), "out");
    for (size_t i = 0; i < out.size(); ++i) {
      const auto row = static_cast<int64_t>(i / 24);
      ASSERT_EQ(std::isfinite(out[i]), row != 2 && row != n_rows - 1) << i;
    }
  }
}

ORRERY_CUDA_OPERATION_TESTS(CudaAttention);

}  // namespace
}  // namespace orrery::testing
