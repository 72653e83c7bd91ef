#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/base/check.h"
#include "kernels/output_stats.h"

namespace orrery {

namespace {

void row_stats(std::span<const float> logits, int64_t row, const OutputStats& stats) {
  const size_t vocab = logits.size(), n_top = std::min(vocab, static_cast<size_t>(stats.n_top));
  std::vector<int64_t> ids(vocab);
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(), [&](int64_t a, int64_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  const double greatest = logits[static_cast<size_t>(ids.front())];
  const auto exponent = [&](size_t rank) { return logits[static_cast<size_t>(ids[rank])] - greatest; };
  double sum = 0.0, outside = 0.0, weighted = 0.0;
  for (size_t rank = vocab; rank-- > 0;) {  // least first
    const double e = std::exp(exponent(rank));
    sum += e;
    if (rank >= n_top) outside += e;
    if (e > 0.0) weighted += e * exponent(rank);
  }
  if (stats.entropy) *stats.entropy.row(row) = static_cast<float>(std::log(sum) - weighted / sum);
  if (stats.tail) *stats.tail.row(row) = static_cast<float>(outside / sum);
  if (!stats.top) return;
  float* top = stats.top.row(row);
  for (size_t rank = 0; rank < static_cast<size_t>(stats.n_top); ++rank) {
    if (rank >= n_top) {
      top[2 * rank] = -1.0f;
      top[2 * rank + 1] = std::numeric_limits<float>::quiet_NaN();
      continue;
    }
    const double log_p = exponent(rank) - std::log(sum);
    top[2 * rank] = static_cast<float>(ids[rank]);
    top[2 * rank + 1] = static_cast<float>(stats.log_probability ? log_p : std::exp(log_p));
  }
}

}  // namespace

void output_stats_reference(Matrix<const float> logits, const OutputStats& stats) {
  CHECK(stats.n_top >= 1 && stats.n_top <= kOutputTopMax && logits.n_cols >= 1);
  for (int64_t r = 0; r < logits.n_rows; ++r) row_stats(logits.row_span(r), r, stats);
}

}  // namespace orrery
