#include "kernels/matrix_state.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/base/check.h"
#include "kernels/thread_pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matrix_state.cpp"
#include <hwy/foreach_target.h>
// Highway after foreach_target.
#include "kernels/simd-inl.h"

#ifndef ORRERY_KERNELS_MATRIX_STATE_DECAY_
#define ORRERY_KERNELS_MATRIX_STATE_DECAY_
namespace orrery {
namespace {

// What the statistics of a group need of its heads, at one row. Squares are of Frobenius norms.
struct GroupSums {
  float norm = 0.0f;
  float write = 0.0f;
  float erase = 0.0f;
  float read = 0.0f;
  float query = 0.0f;
  float log_keep = 0.0f;
  float least = std::numeric_limits<float>::infinity();
  float greatest = 0.0f;
  int64_t n_decays = 0;
};

void put(const GroupSums& sums, int64_t row, int64_t group, const MatrixStateStats& stats) {
  if (stats.norm) stats.norm.row(row)[group] = std::sqrt(sums.norm);
  if (stats.write) stats.write.row(row)[group] = std::sqrt(sums.write);
  if (stats.erase) stats.erase.row(row)[group] = std::sqrt(sums.erase);
  if (stats.read) stats.read.row(row)[group] = sums.query > 0.0f ? std::sqrt(sums.read / sums.query) : 0.0f;
  if (!stats.keep) return;
  float* const keep = stats.keep.row(row) + 3 * group;
  const bool is_empty = sums.n_decays == 0;  // a group without heads
  const float nan = std::numeric_limits<float>::quiet_NaN();
  keep[0] = is_empty ? nan : std::exp(sums.log_keep / static_cast<float>(sums.n_decays));
  keep[1] = is_empty ? nan : sums.least;
  keep[2] = is_empty ? nan : sums.greatest;
}

// Whether the decays differ between the channels of a head's key.
bool decays_by_channel(const MatrixStateArgs& args) {
  const int64_t n_heads = args.sizes.n_heads;
  return (args.decay.rate.data != nullptr && args.decay.rate.n_cols != n_heads) ||
         (!args.decay.log_decay.empty() && static_cast<int64_t>(args.decay.log_decay.size()) != n_heads);
}

// ln a of channel n of a head, at a row.
float log_decay(const StateDecay& decay, const MatrixStateSizes& sizes, int64_t row, int32_t head, int32_t n) {
  const int64_t by_channel = int64_t{head} * sizes.d_key + n;
  if (decay.rate.data == nullptr && decay.log_decay.empty()) return 0.0f;
  float log = 1.0f;
  if (decay.rate.data != nullptr) log = decay.rate.row(row)[decay.rate.n_cols == sizes.n_heads ? head : by_channel];
  if (!decay.log_decay.empty()) {
    const bool by_head = static_cast<int64_t>(decay.log_decay.size()) == sizes.n_heads;
    log *= decay.log_decay[static_cast<size_t>(by_head ? head : by_channel)];
  }
  return log;
}

}  // namespace
}  // namespace orrery
#endif

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void update_heads_simd(const MatrixStateArgs& args, const StateRows& rows, HeadRange heads, int64_t group,
                       const MatrixStateStats& stats) {
  update_heads_reference(args, rows, heads, group, stats);
}

#else

HWY_INLINE VF load_some(const float* at, int64_t count) {
  return count >= kLanes ? hn::LoadU(DF(), at) : load_last(at, count);
}
HWY_INLINE void store_some(VF value, float* at, int64_t count) {
  if (count >= kLanes) {
    hn::StoreU(value, DF(), at);
  } else {
    store_last(value, at, count);
  }
}

HWY_INLINE float squares_of(const float* x, int64_t n) {
  VF sum = hn::Zero(DF());
  for (int64_t i = 0; i < n; i += kLanes) {
    const VF v = load_some(x + i, n - i);
    sum = hn::MulAdd(v, v, sum);
  }
  return sum_of(sum);
}

// One token at one head.
struct Token {
  const float* q;
  const float* k;
  const float* v;
  const float* decay;  // [d_key]
  float write;
};

// What a few rows of a head's matrix add to the statistics.
struct RowSums {
  float norm = 0.0f;
  float recalled = 0.0f;  // squares of w S k
  float read = 0.0f;      // squares of S q
};

// S[i] diag(a) k of one row.
HWY_INLINE float recall(const Token& token, const float* state, int64_t d_key) {
  const DF df;
  const int64_t whole = d_key - d_key % kLanes;
  VF dot = hn::Zero(df);
  for (int64_t n = 0; n < whole; n += kLanes) {
    const VF kept = hn::Mul(hn::LoadU(df, state + n), hn::LoadU(df, token.decay + n));
    dot = hn::MulAdd(kept, hn::LoadU(df, token.k + n), dot);
  }
  if (whole < d_key) {
    const int64_t rest = d_key - whole;
    const VF kept = hn::Mul(load_last(state + whole, rest), load_last(token.decay + whole, rest));
    dot = hn::MulAdd(kept, load_last(token.k + whole, rest), dot);
  }
  return sum_of(dot);
}

// kRows rows of S [.., d_key] go through one token; reads[i] = S[i] q.
template <int kRows, bool kErases, bool kMeasures>
HWY_INLINE void update_rows(const Token& token, const float* values, float* state, int64_t d_key, float* reads,
                            RowSums& sums) {
  const DF df;
  VF change[kRows], read[kRows], squares = hn::Zero(df);
  for (int i = 0; i < kRows; ++i) {
    const float recalled = kErases ? recall(token, state + i * d_key, d_key) : 0.0f;
    if constexpr (kMeasures) sums.recalled += token.write * recalled * token.write * recalled;
    change[i] = hn::Set(df, token.write * (values[i] - recalled));
    read[i] = hn::Zero(df);
  }
  const auto updated = [&](int i, VF before, VF decay, VF k, VF q) HWY_ATTR {
    const VF after = hn::MulAdd(change[i], k, hn::Mul(before, decay));
    read[i] = hn::MulAdd(after, q, read[i]);
    if constexpr (kMeasures) squares = hn::MulAdd(after, after, squares);
    return after;
  };
  const int64_t whole = d_key - d_key % kLanes, rest = d_key - whole;
  for (int64_t n = 0; n < whole; n += kLanes) {
    const VF decay = hn::LoadU(df, token.decay + n), k = hn::LoadU(df, token.k + n), q = hn::LoadU(df, token.q + n);
    for (int i = 0; i < kRows; ++i) {
      float* const s = state + i * d_key + n;
      hn::StoreU(updated(i, hn::LoadU(df, s), decay, k, q), df, s);
    }
  }
  if (rest > 0) {
    const VF decay = load_last(token.decay + whole, rest);
    const VF k = load_last(token.k + whole, rest), q = load_last(token.q + whole, rest);
    for (int i = 0; i < kRows; ++i) {
      float* const s = state + i * d_key + whole;
      store_last(updated(i, load_last(s, rest), decay, k, q), s, rest);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    reads[i] = sum_of(read[i]);
    if constexpr (kMeasures) sums.read += reads[i] * reads[i];
  }
  if constexpr (kMeasures) sums.norm += sum_of(squares);
}

// All rows of a head's matrix through one token; out = read_scale * S q + skip * v.
template <bool kErases, bool kMeasures>
HWY_INLINE void update_head(const Token& token, const MatrixStateArgs& args, float skip, float* state, float* out,
                            RowSums& sums) {
  constexpr int kRows = 4;
  const int64_t d_key = args.sizes.d_key, d_value = args.sizes.d_value;
  float reads[kRows];
  int64_t i = 0;
  for (; i + kRows <= d_value; i += kRows) {
    update_rows<kRows, kErases, kMeasures>(token, token.v + i, state + i * d_key, d_key, reads, sums);
    for (int j = 0; j < kRows; ++j) out[i + j] = args.read_scale * reads[j] + skip * token.v[i + j];
  }
  for (; i < d_value; ++i) {
    update_rows<1, kErases, kMeasures>(token, token.v + i, state + i * d_key, d_key, reads, sums);
    out[i] = args.read_scale * reads[0] + skip * token.v[i];
  }
}

// exp(rate * log_decay) of every channel, by channel.
HWY_INLINE void decays_of_channels(const MatrixStateArgs& args, int64_t row, int32_t head, float* logs, float* decays) {
  const DF df;
  const int64_t d_key = args.sizes.d_key, first = int64_t{head} * d_key;
  const StateDecay& decay = args.decay;
  const bool rate_by_channel = decay.rate.data != nullptr && decay.rate.n_cols != args.sizes.n_heads;
  const bool log_by_channel = static_cast<int64_t>(decay.log_decay.size()) > args.sizes.n_heads;
  const VF one_rate = hn::Set(df, decay.rate.data != nullptr && !rate_by_channel ? decay.rate.row(row)[head] : 1.0f);
  const VF one_log =
      hn::Set(df, !decay.log_decay.empty() && !log_by_channel ? decay.log_decay[static_cast<size_t>(head)] : 1.0f);
  for (int64_t n = 0; n < d_key; n += kLanes) {
    const int64_t count = d_key - n;
    const VF rate = rate_by_channel ? load_some(decay.rate.row(row) + first + n, count) : one_rate;
    const VF log = hn::Mul(rate, log_by_channel ? load_some(decay.log_decay.data() + first + n, count) : one_log);
    store_some(log, logs + n, count);
    store_some(exp_of(log), decays + n, count);
  }
}

// Heads `heads` of a sequence, which are group `group` of the statistics, through all its rows.
void update_heads_simd(const MatrixStateArgs& args, const StateRows& rows, HeadRange heads, int64_t group,
                       const MatrixStateStats& stats) {
  const int64_t d_key = args.sizes.d_key, d_value = args.sizes.d_value;
  const int32_t heads_per_group = args.sizes.n_heads / args.sizes.n_groups;
  const bool by_channel = decays_by_channel(args), measures = stats.any();
  std::vector<float> buffer(static_cast<size_t>(2 * d_key), 1.0f);
  float* const decays = buffer.data();
  float* const logs = decays + d_key;
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    GroupSums sums;
    for (int32_t h = heads.begin; h < heads.end; ++h) {
      const int64_t key_group = h / heads_per_group;
      const Token token{.q = args.q.row(r) + key_group * d_key,
                        .k = args.k.row(r) + key_group * d_key,
                        .v = args.v.row(r) + h * d_value,
                        .decay = decays,
                        .write = args.write.data == nullptr ? 1.0f : args.write.row(r)[h]};
      float log = 0.0f;
      if (by_channel) {
        decays_of_channels(args, r, h, logs, decays);
      } else {
        log = log_decay(args.decay, args.sizes, r, h, 0);
        std::fill(decays, decays + d_key, hn::GetLane(exp_of(hn::Set(DF(), log))));
      }
      float* const state = rows.state + int64_t{h} * d_value * d_key;
      float* const out = args.out.row(r) + h * d_value;
      const float skip = args.skip.empty() ? 0.0f : args.skip[static_cast<size_t>(h)];
      const bool erases = args.erase == StateErase::kDelta;
      RowSums row_sums;
      if (!measures) {
        erases ? update_head<true, false>(token, args, skip, state, out, row_sums)
               : update_head<false, false>(token, args, skip, state, out, row_sums);
        continue;
      }
      // Before the update: out may be v itself.
      const float k_squares = squares_of(token.k, d_key);
      sums.write += token.write * token.write * squares_of(token.v, d_value) * k_squares;
      erases ? update_head<true, true>(token, args, skip, state, out, row_sums)
             : update_head<false, true>(token, args, skip, state, out, row_sums);
      sums.norm += row_sums.norm;
      sums.erase += row_sums.recalled * k_squares;
      sums.read += row_sums.read;
      sums.query = squares_of(token.q, d_key);
      // One decay of a head stands for all its channels.
      for (int64_t n = 0; n < (by_channel ? d_key : 1); ++n) {
        sums.log_keep += by_channel ? logs[n] : log * static_cast<float>(d_key);
        sums.least = std::min(sums.least, decays[n]);
        sums.greatest = std::max(sums.greatest, decays[n]);
      }
      sums.n_decays += d_key;
    }
    if (measures) put(sums, r, group, stats);
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace orrery
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace orrery {

namespace {

constexpr int64_t kElementsPerTask = 16384;  // some 2 us: below that, sharing costs more than it gains
constexpr int64_t kMostTasks = 64;           // where no statistics say how heads are grouped

void check_shapes(const MatrixStateArgs& args) {
  const MatrixStateSizes& sizes = args.sizes;
  CHECK(sizes.n_groups > 0 && sizes.n_heads % sizes.n_groups == 0, "groups do not share the heads evenly");
  CHECK(args.k.n_cols == int64_t{sizes.n_groups} * sizes.d_key && args.q.n_cols == args.k.n_cols,
        "keys: another shape");
  CHECK(args.v.n_cols == int64_t{sizes.n_heads} * sizes.d_value && args.out.n_cols == args.v.n_cols,
        "values have another shape");
}

// The row of one head, added to `row` with a weight.
void add_state_row(const StateRowArgs& args, int64_t r, int32_t head, double weight, std::vector<double>& row) {
  const auto d_key = static_cast<size_t>(args.sizes.d_key);
  const auto group = static_cast<size_t>(head / (args.sizes.n_heads / args.sizes.n_groups));
  const StateDecay decay{.rate = args.history.rate, .log_decay = args.log_decay};
  const float* const q = args.q.row(r) + group * d_key;
  std::vector<double> x(d_key);
  for (size_t n = 0; n < d_key; ++n) x[n] = double{args.read_scale} * double{q[n]};
  for (int64_t s = args.first + r; s >= 0; --s) {
    const float* const k = args.history.k.row(s) + group * d_key;
    double recalled = 0.0;
    for (size_t n = 0; n < d_key; ++n) recalled += double{k[n]} * x[n];
    row[static_cast<size_t>(s)] += weight * recalled;
    const double w = args.history.write.data == nullptr ? 1.0 : double{args.history.write.row(s)[head]};
    for (size_t n = 0; n < d_key; ++n) {
      if (args.erase == StateErase::kDelta) x[n] -= w * double{k[n]} * recalled;
      x[n] *= std::exp(double{log_decay(decay, args.sizes, s, head, static_cast<int32_t>(n))});
    }
  }
}

}  // namespace

HWY_EXPORT(update_heads_simd);

HeadRange heads_of_group(int64_t group, int64_t n, int64_t n_heads) {
  return {static_cast<int32_t>((group * n_heads + n - 1) / n),
          static_cast<int32_t>(((group + 1) * n_heads + n - 1) / n)};
}

void matrix_state(const MatrixStateArgs& args, const MatrixStateStats& stats, ThreadPool& pool) {
  check_shapes(args);
  const int64_t n_heads = args.sizes.n_heads;
  const int64_t n_groups = stats.any() ? stats.n : std::min(n_heads, kMostTasks);
  for (const StateRows& rows : args.sequences) {
    const int64_t elements = n_heads * args.sizes.d_value * args.sizes.d_key * (rows.end - rows.begin) / n_groups;
    pool.parallel_for(n_groups, kElementsPerTask / (elements + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t group = begin; group < end; ++group) {
        HWY_DYNAMIC_DISPATCH(update_heads_simd)(args, rows, heads_of_group(group, n_groups, n_heads), group, stats);
      }
    });
  }
}

void matrix_state_rows(const StateRowArgs& args, StatSlot rows, ThreadPool& pool) {
  const auto n_wanted = static_cast<int64_t>(args.stat_heads.size());
  pool.parallel_for(args.q.n_rows * n_wanted, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t r = i / n_wanted, place = i % n_wanted;
      const HeadRange heads =
          heads_of_group(args.stat_heads[static_cast<size_t>(place)], args.n_stat_heads, args.sizes.n_heads);
      std::vector<double> row(static_cast<size_t>(args.n_keys), 0.0);
      for (int32_t h = heads.begin; h < heads.end; ++h) add_state_row(args, r, h, 1.0 / (heads.end - heads.begin), row);
      std::ranges::transform(row, rows.row(r) + place * args.n_keys, [](double w) { return static_cast<float>(w); });
    }
  });
}

}  // namespace orrery
#endif  // HWY_ONCE
