#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/matrix_state.h"

namespace orrery {

namespace {

// The decays of a head's key channels at a row.
std::vector<double> decays_of(const MatrixStateArgs& args, int64_t row, int32_t head) {
  const auto d_key = static_cast<size_t>(args.sizes.d_key), h = static_cast<size_t>(head);
  const auto n_heads = static_cast<size_t>(args.sizes.n_heads);
  const auto& [rate, log_decay] = args.decay;
  std::vector<double> decays(d_key, 1.0);
  if (rate.data == nullptr && log_decay.empty()) return decays;
  for (size_t n = 0; n < d_key; ++n) {
    double log = 1.0;
    if (rate.data != nullptr) {
      log = double{rate.row(row)[static_cast<size_t>(rate.n_cols) == n_heads ? h : h * d_key + n]};
    }
    if (!log_decay.empty()) log *= double{log_decay[log_decay.size() == n_heads ? h : h * d_key + n]};
    decays[n] = std::exp(log);
  }
  return decays;
}

double dot(const float* a, const double* b, size_t n) {
  double sum = 0.0;
  for (size_t i = 0; i < n; ++i) sum += double{a[i]} * b[i];
  return sum;
}

double squares_of(const float* x, size_t n) {
  double sum = 0.0;
  for (size_t i = 0; i < n; ++i) sum += double{x[i]} * double{x[i]};
  return sum;
}

// Sums over the heads of a group, at one row; squares of Frobenius norms.
struct Sums {
  double norm = 0.0, write = 0.0, erase = 0.0, read = 0.0, query = 0.0;
  std::vector<double> decays;
};

void put(const Sums& sums, int64_t row, int64_t group, const MatrixStateStats& stats) {
  const auto to = [&](StatSlot slot, double value) {
    if (slot) slot.row(row)[group] = static_cast<float>(value);
  };
  to(stats.norm, std::sqrt(sums.norm));
  to(stats.write, std::sqrt(sums.write));
  to(stats.erase, std::sqrt(sums.erase));
  to(stats.read, sums.query > 0.0 ? std::sqrt(sums.read / sums.query) : 0.0);
  if (!stats.keep) return;
  float* const keep = stats.keep.row(row) + 3 * group;
  std::fill(keep, keep + 3, std::numeric_limits<float>::quiet_NaN());
  if (sums.decays.empty()) return;
  double log = 0.0;
  for (const double a : sums.decays) log += std::log(a);
  keep[0] = static_cast<float>(std::exp(log / static_cast<double>(sums.decays.size())));
  keep[1] = static_cast<float>(*std::ranges::min_element(sums.decays));
  keep[2] = static_cast<float>(*std::ranges::max_element(sums.decays));
}

// One head through one row; state [d_value, d_key].
void update_head(const MatrixStateArgs& args, int64_t r, int32_t head, double* state, Sums& sums) {
  const auto d_key = static_cast<size_t>(args.sizes.d_key), d_value = static_cast<size_t>(args.sizes.d_value);
  const auto h = static_cast<size_t>(head);
  const auto group = static_cast<size_t>(head / (args.sizes.n_heads / args.sizes.n_groups));
  const float* const k = args.k.row(r) + group * d_key;
  const float* const q = args.q.row(r) + group * d_key;
  const std::vector<double> decays = decays_of(args, r, head);
  const double w = args.write.data == nullptr ? 1.0 : double{args.write.row(r)[h]};
  const double skip = args.skip.empty() ? 0.0 : double{args.skip[h]};
  const double k_squares = squares_of(k, d_key);
  const bool erases_pair = args.erase == StateErase::kPair;
  const float* const e = erases_pair ? args.erase_read.row(r) + group * d_key : nullptr;
  const float* const b = erases_pair ? args.erase_write.row(r) + group * d_key : nullptr;
  for (size_t i = 0; i < d_value; ++i) {
    double* const s = state + i * d_key;
    const double v = double{args.v.row(r)[h * d_value + i]};
    const double recalled_before = erases_pair ? dot(e, s, d_key) : 0.0;
    for (size_t n = 0; n < d_key; ++n) s[n] *= decays[n];
    const double recalled = args.erase == StateErase::kDelta ? dot(k, s, d_key) : 0.0;
    for (size_t n = 0; n < d_key; ++n) {
      s[n] += w * (v - recalled) * double{k[n]};
      if (erases_pair) s[n] -= recalled_before * double{b[n]};
      sums.norm += s[n] * s[n];
    }
    const double read = dot(q, s, d_key);
    sums.read += read * read;
    sums.write += w * v * w * v * k_squares;
    sums.erase += erases_pair ? recalled_before * recalled_before * squares_of(b, d_key)
                              : w * recalled * w * recalled * k_squares;
    args.out.row(r)[h * d_value + i] = static_cast<float>(double{args.read_scale} * read + skip * v);
  }
  sums.query = squares_of(q, d_key);
  sums.decays.insert(sums.decays.end(), decays.begin(), decays.end());
}

}  // namespace

void update_heads_reference(const MatrixStateArgs& args, const StateRows& rows, HeadRange heads, int64_t group,
                            const MatrixStateStats& stats) {
  const int64_t per_head = int64_t{args.sizes.d_value} * args.sizes.d_key;
  float* const begin = rows.state + heads.begin * per_head;
  std::vector<double> states(begin, rows.state + heads.end * per_head);
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    Sums sums;
    for (int32_t h = heads.begin; h < heads.end; ++h) {
      update_head(args, r, h, states.data() + (h - heads.begin) * per_head, sums);
    }
    if (stats.any()) put(sums, r, group, stats);
    // A state is float32 between tokens, so that steps give the same bits as a batch here, too.
    std::ranges::transform(states, states.begin(), [](double s) { return double{static_cast<float>(s)}; });
  }
  std::ranges::transform(states, begin, [](double s) { return static_cast<float>(s); });
}

void matrix_state_reference(const MatrixStateArgs& args, const MatrixStateStats& stats) {
  const int64_t n_groups = stats.any() ? stats.n : 1;
  for (const StateRows& rows : args.sequences) {
    for (int64_t group = 0; group < n_groups; ++group) {
      update_heads_reference(args, rows, heads_of_group(group, n_groups, args.sizes.n_heads), group, stats);
    }
  }
}

}  // namespace orrery
