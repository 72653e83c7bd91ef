#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/row_change.h"

namespace orrery {

void row_change_reference(const RowChangeArgs& args, StatSlot step, StatSlot cosine) {
  for (int64_t r = 0; r < args.before.n_rows; ++r) {
    double size = 0.0, moved = 0.0, earlier = 0.0, both = 0.0;
    for (int64_t i = 0; i < args.before.n_cols; ++i) {
      const double before = double{args.before.row(r)[i]};
      const float change = args.after.row(r)[i] - args.before.row(r)[i];
      float& kept = args.change.row(r)[i];
      size += before * before;
      moved += double{change} * double{change};
      if (args.has_earlier) {
        earlier += double{kept} * double{kept};
        both += double{kept} * double{change};
      }
      kept = change;
    }
    *step.row(r) = static_cast<float>(std::sqrt(moved) / std::sqrt(size));
    *cosine.row(r) = args.has_earlier ? static_cast<float>(both / (std::sqrt(moved) * std::sqrt(earlier)))
                                      : std::numeric_limits<float>::quiet_NaN();
  }
}

void row_divergence_reference(Matrix<const float> p, Matrix<const float> q, StatSlot out) {
  constexpr double kLeast = -200.0;
  for (int64_t r = 0; r < p.n_rows; ++r) {
    const auto greatest_of = [](std::span<const float> x) { return double{*std::ranges::max_element(x)}; };
    const double greatest_p = greatest_of(p.row_span(r)), greatest_q = greatest_of(q.row_span(r));
    double sum_p = 0.0, sum_q = 0.0, weighted = 0.0;
    for (int64_t i = 0; i < p.n_cols; ++i) {
      const double x = std::max(double{p.row(r)[i]} - greatest_p, kLeast);
      const double y = std::max(double{q.row(r)[i]} - greatest_q, kLeast);
      sum_p += std::exp(x);
      sum_q += std::exp(y);
      weighted += std::exp(x) * (x - y);
    }
    *out.row(r) = static_cast<float>(weighted / sum_p - std::log(sum_p) + std::log(sum_q));
  }
}

}  // namespace orrery
