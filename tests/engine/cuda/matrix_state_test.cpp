#include <limits>
#include <numeric>

#include "tests/engine/cuda/on_backend.h"

namespace orrery::testing {
namespace {

// Recurrences in float32 on both sides: each token rounds the matrix, its read and its recall at 6e-8 relative, in
// other orders of summation and with exponentials that are good to 2e-7.
constexpr double kMost = 1e-11;
// Sums in double on both sides, of decays in double.
constexpr double kMostOfRows = 1e-12;

enum class Decay { kNone, kFixed, kRateAlone, kScalar, kVectorOfRate, kVector, kVectorOfHeads };

struct Case {
  const char* like;
  MatrixStateSizes sizes;
  Decay decay;
  StateErase erase;
  bool has_write;
  bool has_skip;
  int32_t n_stats;
};

constexpr Case kCases[] = {
    {"linear attention", {3, 3, 5, 7}, Decay::kNone, StateErase::kNone, false, false, 3},
    {"retention", {4, 4, 12, 20}, Decay::kFixed, StateErase::kNone, false, false, 4},
    {"grouped queries", {6, 2, 33, 9}, Decay::kRateAlone, StateErase::kNone, true, false, 6},
    {"Mamba-2", {6, 3, 16, 8}, Decay::kScalar, StateErase::kNone, true, true, 6},
    {"wide Mamba-2", {2, 1, 128, 17}, Decay::kScalar, StateErase::kNone, true, true, 2},
    {"Mamba-1", {67, 1, 16, 1}, Decay::kVectorOfRate, StateErase::kNone, true, true, 16},
    {"odd Mamba-1", {37, 1, 7, 1}, Decay::kVectorOfRate, StateErase::kNone, true, true, 5},
    {"gated delta net", {4, 2, 24, 11}, Decay::kRateAlone, StateErase::kDelta, true, false, 4},
    {"wide delta net", {2, 2, 128, 5}, Decay::kScalar, StateErase::kDelta, true, false, 2},
    {"delta net", {3, 3, 9, 13}, Decay::kNone, StateErase::kDelta, true, false, 3},
    {"gates by channel", {2, 1, 19, 6}, Decay::kVector, StateErase::kDelta, true, true, 2},
    {"keys of 60", {3, 1, 60, 5}, Decay::kScalar, StateErase::kNone, true, true, 3},
    {"keys of 200", {2, 1, 200, 3}, Decay::kVectorOfRate, StateErase::kNone, true, true, 2},
    {"keys of 250 that erase", {1, 1, 250, 5}, Decay::kScalar, StateErase::kDelta, true, false, 1},
    {"the widest keys", {1, 1, 530, 3}, Decay::kVector, StateErase::kDelta, true, false, 1},
    {"one by one", {1, 1, 1, 1}, Decay::kScalar, StateErase::kNone, true, true, 1},
    {"RWKV-7", {3, 3, 24, 11}, Decay::kVectorOfHeads, StateErase::kPair, false, false, 3},
    {"RWKV-7 of its usual width", {1, 1, 64, 64}, Decay::kVectorOfHeads, StateErase::kPair, false, false, 1},
    {"short pairs", {5, 5, 3, 2}, Decay::kScalar, StateErase::kPair, true, false, 5},
    {"shared pairs of 100", {4, 2, 100, 3}, Decay::kVector, StateErase::kPair, true, true, 4},
    {"pairs of 200", {2, 2, 200, 3}, Decay::kVectorOfHeads, StateErase::kPair, false, false, 2},
    {"the widest pairs", {1, 1, 530, 3}, Decay::kVectorOfHeads, StateErase::kPair, true, false, 1},
    {"RG-LRU", {67, 1, 1, 1}, Decay::kScalar, StateErase::kNone, true, false, 5},
};

class CudaMatrixState : public CudaOperation {
 protected:
  struct Inputs {
    int64_t n_rows;
    std::vector<float> wide;  // [n_rows, width]: q, k, v, rate, write and other columns side by side
  };

  static int64_t n_keys(const Case& c) { return int64_t{c.sizes.n_groups} * c.sizes.d_key; }
  static int64_t n_values(const Case& c) { return int64_t{c.sizes.n_heads} * c.sizes.d_value; }
  static int64_t n_rates(const Case& c) {
    const bool by_channel = c.decay == Decay::kVector || c.decay == Decay::kVectorOfHeads;
    return by_channel ? int64_t{c.sizes.n_heads} * c.sizes.d_key : c.sizes.n_heads;
  }
  static int64_t n_erasing(const Case& c) { return c.erase == StateErase::kPair ? 2 * n_keys(c) : 0; }
  static int64_t width(const Case& c) {
    return 3 + 2 * n_keys(c) + n_values(c) + n_rates(c) + c.sizes.n_heads + n_erasing(c);
  }

  Inputs inputs(const Case& c, int64_t n_rows) {
    Inputs in{n_rows, random(n_rows * width(c))};
    const int64_t key_begin = 1 + n_keys(c), rate_begin = 1 + 2 * n_keys(c) + n_values(c);
    for (int64_t r = 0; r < n_rows; ++r) {
      float* const row = in.wide.data() + r * width(c);
      // Keys of length 1 on average, positive rates, and write strengths in 0 .. 1.
      for (int64_t i = 0; i < n_keys(c); ++i) row[key_begin + i] /= std::sqrt(static_cast<float>(c.sizes.d_key));
      for (int64_t i = 0; i < n_rates(c); ++i) row[rate_begin + i] = 0.2f * std::fabs(row[rate_begin + i]);
      for (int64_t i = 0; i < c.sizes.n_heads; ++i) {
        float& write = row[rate_begin + n_rates(c) + i];
        write = 1.0f / (1.0f + std::exp(-write));
      }
      float* const erasing = row + rate_begin + n_rates(c) + c.sizes.n_heads;
      for (int64_t i = 0; i < n_erasing(c); ++i) erasing[i] /= std::sqrt(static_cast<float>(c.sizes.d_key));
      // Where a rate is the logarithm itself it is negative.
      if (c.decay == Decay::kRateAlone || c.decay == Decay::kVector) {
        for (int64_t i = 0; i < n_rates(c); ++i) row[rate_begin + i] *= -1.0f;
      }
    }
    return in;
  }

  std::vector<float> log_decay(const Case& c) {
    int64_t n = 0;
    const bool by_head = c.decay == Decay::kFixed || c.decay == Decay::kScalar || c.decay == Decay::kVectorOfHeads;
    if (by_head) n = c.sizes.n_heads;
    if (c.decay == Decay::kVectorOfRate) n = int64_t{c.sizes.n_heads} * c.sizes.d_key;
    std::vector<float> logs = random(n);
    for (float& log : logs) log = -std::fabs(log);
    if (c.decay == Decay::kVectorOfRate) logs.front() = -std::numeric_limits<float>::infinity();  // keeps nothing
    return logs;
  }

  static MatrixStateArgs args_of(const Case& c, Matrix<const float> wide, std::span<const float> logs, OnBackend& on) {
    MatrixStateArgs args;
    args.sizes = c.sizes;
    args.q = wide.cols(1, n_keys(c));
    args.k = wide.cols(1 + n_keys(c), n_keys(c));
    args.v = wide.cols(1 + 2 * n_keys(c), n_values(c));
    const int64_t rate_begin = 1 + 2 * n_keys(c) + n_values(c);
    if (c.decay != Decay::kNone && c.decay != Decay::kFixed) args.decay.rate = wide.cols(rate_begin, n_rates(c));
    if (!logs.empty()) args.decay.log_decay = {on.input(logs), logs.size()};
    if (c.has_write) args.write = wide.cols(rate_begin + n_rates(c), c.sizes.n_heads);
    args.erase = c.erase;
    if (c.erase == StateErase::kPair) {
      args.erase_read = wide.cols(rate_begin + n_rates(c) + c.sizes.n_heads, n_keys(c));
      args.erase_write = wide.cols(rate_begin + n_rates(c) + c.sizes.n_heads + n_keys(c), n_keys(c));
    }
    args.read_scale = 0.7f;
    return args;
  }

  static StateHistory history_of(const MatrixStateArgs& args) {
    return {.k = args.k,
            .rate = args.decay.rate,
            .write = args.write,
            .erase_read = args.erase_read,
            .erase_write = args.erase_write};
  }

  static MatrixStateStats all_stats(const Case& c, int64_t n_rows, OnBackend& on) {
    return {.n = c.n_stats,
            .norm = on.slot(n_rows, c.n_stats),
            .write = on.slot(n_rows, c.n_stats),
            .erase = on.slot(n_rows, c.n_stats),
            .read = on.slot(n_rows, c.n_stats),
            .keep = on.slot(n_rows, 3 * c.n_stats)};
  }
};

TEST_P(CudaMatrixState, EqualsTheCpuOverBatchesAndSequences) {
  const std::vector<std::vector<int64_t>> batches = {{5, 1, 9}, {1, 1, 1}, {0, 3, 1}};
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.like);
    const std::vector<float> logs = log_decay(c), skip = random(c.sizes.n_heads);
    std::vector<Inputs> in;
    for (const auto& lengths : batches) in.push_back(inputs(c, std::reduce(lengths.begin(), lengths.end())));
    expect_alike(
        [&](Backend& backend) {
          OnBackend on(backend);
          std::vector<float*> states;
          for (size_t s = 0; s < 3; ++s) states.push_back(on.output(n_values(c), c.sizes.d_key).data);
          for (size_t b = 0; b < batches.size(); ++b) {
            const int64_t n_rows = in[b].n_rows;
            MatrixStateArgs args = args_of(c, on.matrix(in[b].wide, n_rows, width(c)), logs, on);
            if (c.has_skip) args.skip = {on.input<float>(skip), skip.size()};
            args.out = on.output(n_rows, n_values(c) + 3).cols(2, n_values(c));
            std::vector<StateRows> sequences;
            int64_t begin = 0;
            for (size_t s = 0; s < 3; ++s) {
              if (batches[b][s] > 0) sequences.push_back({begin, begin + batches[b][s], states[s]});
              begin += batches[b][s];
            }
            args.sequences = sequences;
            backend.matrix_state(args, b == 1 ? MatrixStateStats() : all_stats(c, n_rows, on));
          }
          return on.results();
        },
        kMost);
  }
}

// The output may be the values themselves; statistics are still of the values.
TEST_P(CudaMatrixState, WritesOverItsValues) {
  for (const Case& c : {kCases[3], kCases[5], kCases[7], kCases[16]}) {
    SCOPED_TRACE(c.like);
    const Inputs in = inputs(c, 6);
    const std::vector<float> logs = log_decay(c);
    expect_alike(
        [&](Backend& backend) {
          OnBackend on(backend);
          const Matrix<const float> wide = on.matrix(in.wide, in.n_rows, width(c));
          MatrixStateArgs args = args_of(c, wide, logs, on);
          const Matrix<float> values = on.output(in.n_rows, n_values(c));
          for (int64_t r = 0; r < in.n_rows; ++r) {
            backend.copy(reinterpret_cast<std::byte*>(values.row(r)), reinterpret_cast<const std::byte*>(args.v.row(r)),
                         static_cast<size_t>(n_values(c)) * sizeof(float));
          }
          args.v = args.out = values;
          const StateRows rows{0, in.n_rows, on.output(n_values(c), c.sizes.d_key).data};
          args.sequences = {&rows, 1};
          backend.matrix_state(args, all_stats(c, in.n_rows, on));
          return on.results();
        },
        kMost);
  }
}

TEST_P(CudaMatrixState, ABatchIsTheSameAsItsSteps) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.like);
    const Inputs in = inputs(c, 12);
    const std::vector<float> logs = log_decay(c), skip = random(c.sizes.n_heads);
    const auto taken = [&](int64_t n_at_once) {
      OnBackend on(*backend_);
      const Matrix<const float> wide = on.matrix(in.wide, in.n_rows, width(c));
      const Matrix<float> out = on.output(in.n_rows, n_values(c));
      const StatSlot norm = on.slot(in.n_rows, c.n_stats);
      float* const state = on.output(n_values(c), c.sizes.d_key).data;
      for (int64_t row = 0; row < in.n_rows; row += n_at_once) {
        MatrixStateArgs args = args_of(c, wide.rows(row, n_at_once), logs, on);
        if (c.has_skip) args.skip = {on.input<float>(skip), skip.size()};
        args.out = out.rows(row, n_at_once);
        const StateRows rows{0, n_at_once, state};
        args.sequences = {&rows, 1};
        MatrixStateStats stats;
        stats.n = c.n_stats;
        stats.norm = {norm.row(row), norm.row_stride};
        backend_->matrix_state(args, stats);
      }
      return on.results();
    };
    EXPECT_EQ(taken(12), taken(1));
    EXPECT_EQ(taken(12), taken(4));
  }
}

TEST_P(CudaMatrixState, ImpliedRowsEqualTheCpus) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.like);
    const int64_t n_tokens = 11, first = 8, n_keys_of_row = 13;
    const Inputs in = inputs(c, n_tokens);
    const std::vector<float> logs = log_decay(c);
    std::vector<int32_t> wanted;
    for (int32_t h = 0; h < c.n_stats; h += 2) wanted.push_back(h);
    expect_alike(
        [&](Backend& backend) {
          OnBackend on(backend);
          const Matrix<const float> wide = on.matrix(in.wide, n_tokens, width(c));
          const MatrixStateArgs args = args_of(c, wide, logs, on);
          const StateRowArgs rows{.sizes = c.sizes,
                                  .q = args.q.rows(first, n_tokens - first),
                                  .history = history_of(args),
                                  .log_decay = args.decay.log_decay,
                                  .erase = args.erase,
                                  .read_scale = args.read_scale,
                                  .first = first,
                                  .n_stat_heads = c.n_stats,
                                  .stat_heads = wanted,
                                  .n_keys = n_keys_of_row};
          backend.matrix_state_rows(rows,
                                    on.slot(n_tokens - first, static_cast<int64_t>(wanted.size()) * n_keys_of_row));
          return on.results();
        },
        kMostOfRows);
  }
}

// y = sum_s row[s] (w v)_s is what the recurrence itself reads.
TEST_P(CudaMatrixState, ImpliedRowsReproduceTheRead) {
  for (const Case& c : kCases) {
    if (c.n_stats != c.sizes.n_heads) continue;  // a row for every head
    SCOPED_TRACE(c.like);
    const int64_t n_tokens = 9, n_heads = c.sizes.n_heads, d_value = c.sizes.d_value;
    const Inputs in = inputs(c, n_tokens);
    const std::vector<float> logs = log_decay(c);
    std::vector<int32_t> wanted(static_cast<size_t>(n_heads));
    std::iota(wanted.begin(), wanted.end(), 0);
    OnBackend on(*backend_);
    const Matrix<const float> wide = on.matrix(in.wide, n_tokens, width(c));
    MatrixStateArgs args = args_of(c, wide, logs, on);
    args.out = on.output(n_tokens, n_values(c));
    const StatSlot slot = on.slot(n_tokens, n_heads * n_tokens);
    const StateRows sequence{
        0, n_tokens,
        reinterpret_cast<float*>(on.zeroed(static_cast<size_t>(n_values(c) * c.sizes.d_key) * sizeof(float)))};
    args.sequences = {&sequence, 1};
    backend_->matrix_state(args, {});
    backend_->matrix_state_rows({.sizes = c.sizes,
                                 .q = args.q,
                                 .history = history_of(args),
                                 .log_decay = args.decay.log_decay,
                                 .erase = args.erase,
                                 .read_scale = args.read_scale,
                                 .first = 0,
                                 .n_stat_heads = c.sizes.n_heads,
                                 .stat_heads = wanted,
                                 .n_keys = n_tokens},
                                slot);
    const std::vector<float> results = on.results();
    const float* const rows = results.data() + n_tokens * n_values(c);
    for (int64_t t = 0; t < n_tokens; ++t) {
      for (int64_t i = 0; i < n_values(c); ++i) {
        const int64_t head = i / d_value;
        double read = 0.0;
        for (int64_t s = 0; s < n_tokens; ++s) {
          const float* const from = in.wide.data() + s * width(c);
          const int64_t value_at = 1 + 2 * n_keys(c), write_at = value_at + n_values(c) + n_rates(c);
          const double write = c.has_write ? double{from[write_at + head]} : 1.0;
          read += double{rows[(t * n_heads + head) * n_tokens + s]} * write * double{from[value_at + i]};
        }
        EXPECT_NEAR(results[static_cast<size_t>(t * n_values(c) + i)], read, 1e-5 * (1.0 + std::fabs(read)));
      }
    }
  }
}

ORRERY_CUDA_OPERATION_TESTS(CudaMatrixState);

}  // namespace
}  // namespace orrery::testing
