#include <cmath>

#include "kernels/base/check.h"
#include "kernels/row_norm.h"

namespace orrery {

void group_norms_reference(Matrix<const float> x, int64_t group_size, StatSlot out) {
  CHECK(group_size > 0 && x.n_cols % group_size == 0, "columns do not fall into whole groups");
  for (int64_t r = 0; r < x.n_rows; ++r) {
    for (int64_t g = 0; g < x.n_cols / group_size; ++g) {
      double sum = 0.0;
      for (int64_t i = g * group_size; i < (g + 1) * group_size; ++i) sum += double{x.row(r)[i]} * x.row(r)[i];
      out.row(r)[g] = static_cast<float>(std::sqrt(sum));
    }
  }
}

void mean_magnitudes_reference(Matrix<const float> x, StatSlot out) {
  for (int64_t r = 0; r < x.n_rows; ++r) {
    double sum = 0.0;
    for (const float value : x.row_span(r)) sum += std::abs(double{value});
    *out.row(r) = static_cast<float>(sum / static_cast<double>(x.n_cols));
  }
}

void group_dots_reference(Matrix<const float> a, Matrix<const float> b, Matrix<float> out) {
  const int64_t n = a.n_cols / out.n_cols;
  for (int64_t r = 0; r < out.n_rows; ++r) {
    for (int64_t g = 0; g < out.n_cols; ++g) {
      double sum = 0.0;
      for (int64_t i = g * n; i < (g + 1) * n; ++i) sum += double{a.row(r)[i]} * double{b.row(r)[i]};
      out.row(r)[g] = static_cast<float>(sum);
    }
  }
}

}  // namespace orrery
