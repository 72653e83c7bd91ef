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
  const float* e;      // what erases by a pair is read with, and written
  const float* b;
  float write;
};

// What a few rows of a head's matrix add to the statistics.
struct RowSums {
  float norm = 0.0f;
  float recalled = 0.0f;  // squares of w S k, or of S' e
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

// S[i] e of one row.
HWY_INLINE float dot_of(const float* state, const float* e, int64_t d_key) {
  VF dot = hn::Zero(DF());
  for (int64_t n = 0; n < d_key; n += kLanes) {
    dot = hn::MulAdd(load_some(state + n, d_key - n), load_some(e + n, d_key - n), dot);
  }
  return sum_of(dot);
}

// kRows rows of S [.., d_key] go through one token; reads[i] = S[i] q.
template <int kRows, StateErase kErase, bool kMeasures>
HWY_INLINE void update_rows(const Token& token, const float* values, float* state, int64_t d_key, float* reads,
                            RowSums& sums) {
  const DF df;
  constexpr bool kByPair = kErase == StateErase::kPair;
  VF change[kRows], read[kRows], squares = hn::Zero(df);
  [[maybe_unused]] VF erased[kRows];
  for (int i = 0; i < kRows; ++i) {
    read[i] = hn::Zero(df);
    if constexpr (kByPair) {
      const float recalled = dot_of(state + i * d_key, token.e, d_key);
      if constexpr (kMeasures) sums.recalled += recalled * recalled;
      change[i] = hn::Set(df, token.write * values[i]);
      erased[i] = hn::Set(df, recalled);
    } else {
      const float recalled = kErase == StateErase::kDelta ? recall(token, state + i * d_key, d_key) : 0.0f;
      if constexpr (kMeasures) sums.recalled += token.write * recalled * token.write * recalled;
      change[i] = hn::Set(df, token.write * (values[i] - recalled));
    }
  }
  const auto updated = [&](int i, VF kept, VF k, VF q) HWY_ATTR {
    const VF after = hn::MulAdd(change[i], k, kept);
    read[i] = hn::MulAdd(after, q, read[i]);
    if constexpr (kMeasures) squares = hn::MulAdd(after, after, squares);
    return after;
  };
  const int64_t whole = d_key - d_key % kLanes, rest = d_key - whole;
  for (int64_t n = 0; n < whole; n += kLanes) {
    const VF decay = hn::LoadU(df, token.decay + n), k = hn::LoadU(df, token.k + n), q = hn::LoadU(df, token.q + n);
    [[maybe_unused]] const VF b = kByPair ? hn::LoadU(df, token.b + n) : k;
    for (int i = 0; i < kRows; ++i) {
      float* const s = state + i * d_key + n;
      VF kept = hn::Mul(hn::LoadU(df, s), decay);
      if constexpr (kByPair) kept = hn::NegMulAdd(erased[i], b, kept);
      hn::StoreU(updated(i, kept, k, q), df, s);
    }
  }
  if (rest > 0) {
    const VF decay = load_last(token.decay + whole, rest);
    const VF k = load_last(token.k + whole, rest), q = load_last(token.q + whole, rest);
    [[maybe_unused]] const VF b = kByPair ? load_last(token.b + whole, rest) : k;
    for (int i = 0; i < kRows; ++i) {
      float* const s = state + i * d_key + whole;
      VF kept = hn::Mul(load_last(s, rest), decay);
      if constexpr (kByPair) kept = hn::NegMulAdd(erased[i], b, kept);
      store_last(updated(i, kept, k, q), s, rest);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    reads[i] = sum_of(read[i]);
    if constexpr (kMeasures) sums.read += reads[i] * reads[i];
  }
  if constexpr (kMeasures) sums.norm += sum_of(squares);
}

// All rows of a head's matrix through one token; out = read_scale * S q + skip * v.
template <StateErase kErase, bool kMeasures>
HWY_INLINE void update_head(const Token& token, const MatrixStateArgs& args, float skip, float* state, float* out,
                            RowSums& sums) {
  constexpr int kRows = 4;
  const int64_t d_key = args.sizes.d_key, d_value = args.sizes.d_value;
  float reads[kRows];
  int64_t i = 0;
  for (; i + kRows <= d_value; i += kRows) {
    update_rows<kRows, kErase, kMeasures>(token, token.v + i, state + i * d_key, d_key, reads, sums);
    for (int j = 0; j < kRows; ++j) out[i + j] = args.read_scale * reads[j] + skip * token.v[i + j];
  }
  for (; i < d_value; ++i) {
    update_rows<1, kErase, kMeasures>(token, token.v + i, state + i * d_key, d_key, reads, sums);
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

// Whether every head is one number, all with the same key and query, and nothing is erased (RG-LRU).
bool are_numbers(const MatrixStateArgs& args) {
  const MatrixStateSizes& sizes = args.sizes;
  return sizes.d_key == 1 && sizes.d_value == 1 && sizes.n_groups == 1 && args.erase == StateErase::kNone;
}

// As update_heads_simd() for such heads: a lane for each of them.
void update_numbers(const MatrixStateArgs& args, const StateRows& rows, HeadRange heads, int64_t group,
                    const MatrixStateStats& stats) {
  const DF df;
  const VF one = hn::Set(df, 1.0f), read_scale = hn::Set(df, args.read_scale);
  const StateDecay& decay = args.decay;
  const bool decays = decay.rate.data != nullptr || !decay.log_decay.empty(), measures = stats.any();
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    const VF k = hn::Set(df, args.k.row(r)[0]), q = hn::Set(df, args.q.row(r)[0]);
    VF norm = hn::Zero(df), write = norm, read = norm, log_keep = norm, greatest = norm;
    VF least = hn::Set(df, std::numeric_limits<float>::infinity());
    for (int64_t h = heads.begin; h < heads.end; h += kLanes) {
      const int64_t count = heads.end - h;
      VF log = decays ? one : hn::Zero(df);
      if (decay.rate.data != nullptr) log = hn::Mul(log, load_some(decay.rate.row(r) + h, count));
      if (!decay.log_decay.empty()) log = hn::Mul(log, load_some(decay.log_decay.data() + h, count));
      const VF a = exp_of(log), v = load_some(args.v.row(r) + h, count);
      const VF w = args.write.data == nullptr ? one : load_some(args.write.row(r) + h, count);
      const VF written = hn::Mul(hn::Mul(w, v), k);
      const VF state = hn::MulAdd(load_some(rows.state + h, count), a, written), recalled = hn::Mul(state, q);
      store_some(state, rows.state + h, count);
      const VF skipped = args.skip.empty() ? hn::Zero(df) : hn::Mul(load_some(args.skip.data() + h, count), v);
      store_some(hn::MulAdd(read_scale, recalled, skipped), args.out.row(r) + h, count);
      if (!measures) continue;
      const auto is_head = hn::FirstN(df, static_cast<size_t>(std::min(count, kLanes)));
      norm = hn::MulAdd(state, state, norm);
      write = hn::MulAdd(written, written, write);
      read = hn::MulAdd(recalled, recalled, read);
      log_keep = hn::Add(log_keep, hn::IfThenElseZero(is_head, log));
      least = hn::Min(least, hn::IfThenElse(is_head, a, least));
      greatest = hn::Max(greatest, hn::IfThenElseZero(is_head, a));
    }
    if (!measures) continue;
    GroupSums sums;
    sums.norm = sum_of(norm);
    sums.write = sum_of(write);
    sums.read = sum_of(read);
    sums.query = args.q.row(r)[0] * args.q.row(r)[0];
    sums.log_keep = sum_of(log_keep);
    sums.least = hn::GetLane(hn::MinOfLanes(df, least));
    sums.greatest = hn::GetLane(hn::MaxOfLanes(df, greatest));
    sums.n_decays = heads.end - heads.begin;
    put(sums, r, group, stats);
  }
}

// As update_heads_simd(), of one way to erase. A function each: in one large one the compiler stops to inline a head's
// update, and Mamba-1 with its statistics takes twice the time.
template <StateErase kErase>
HWY_NOINLINE void update_heads(const MatrixStateArgs& args, const StateRows& rows, HeadRange heads, int64_t group,
                               const MatrixStateStats& stats) {
  const int64_t d_key = args.sizes.d_key, d_value = args.sizes.d_value;
  const int32_t heads_per_group = args.sizes.n_heads / args.sizes.n_groups;
  const bool by_channel = decays_by_channel(args), measures = stats.any();
  constexpr bool kByPair = kErase == StateErase::kPair;
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
                        .e = kByPair ? args.erase_read.row(r) + key_group * d_key : nullptr,
                        .b = kByPair ? args.erase_write.row(r) + key_group * d_key : nullptr,
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
      RowSums row_sums;
      if (!measures) {
        update_head<kErase, false>(token, args, skip, state, out, row_sums);
        continue;
      }
      // Before the update: out may be v itself.
      const float k_squares = squares_of(token.k, d_key);
      sums.write += token.write * token.write * squares_of(token.v, d_value) * k_squares;
      update_head<kErase, true>(token, args, skip, state, out, row_sums);
      sums.norm += row_sums.norm;
      sums.erase += row_sums.recalled * (kByPair ? squares_of(token.b, d_key) : k_squares);
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

// Heads `heads` of a sequence, which are group `group` of the statistics, through all its rows.
void update_heads_simd(const MatrixStateArgs& args, const StateRows& rows, HeadRange heads, int64_t group,
                       const MatrixStateStats& stats) {
  if (are_numbers(args)) return update_numbers(args, rows, heads, group, stats);
  switch (args.erase) {
    case StateErase::kNone:
      return update_heads<StateErase::kNone>(args, rows, heads, group, stats);
    case StateErase::kDelta:
      return update_heads<StateErase::kDelta>(args, rows, heads, group, stats);
    case StateErase::kPair:
      return update_heads<StateErase::kPair>(args, rows, heads, group, stats);
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
  CHECK(args.erase != StateErase::kPair ||
            (args.erase_read.n_cols == args.k.n_cols && args.erase_write.n_cols == args.k.n_cols),
        "what erases has another shape than the keys");
}

double dot(const float* a, const std::vector<double>& b) {
  double sum = 0.0;
  for (size_t i = 0; i < b.size(); ++i) sum += double{a[i]} * b[i];
  return sum;
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
    const double recalled = dot(k, x);
    row[static_cast<size_t>(s)] += weight * recalled;
    const double w = args.history.write.data == nullptr ? 1.0 : double{args.history.write.row(s)[head]};
    const bool by_pair = args.erase == StateErase::kPair;
    const double taken = by_pair ? dot(args.history.erase_write.row(s) + group * d_key, x) : 0.0;
    for (size_t n = 0; n < d_key; ++n) {
      if (args.erase == StateErase::kDelta) x[n] -= w * double{k[n]} * recalled;
      x[n] *= std::exp(double{log_decay(decay, args.sizes, s, head, static_cast<int32_t>(n))});
      if (by_pair) x[n] -= double{args.history.erase_read.row(s)[group * d_key + n]} * taken;
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
