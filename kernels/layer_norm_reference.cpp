#include <cmath>

#include "kernels/layer_norm.h"

namespace orrery {

void layer_norm_reference(Matrix<const float> x, std::span<const float> weight, std::span<const float> bias,
                          float epsilon, Matrix<float> out) {
  const auto n = static_cast<double>(x.n_cols);
  const auto of_row = [&](std::span<const float> values, int64_t r, int64_t i, double where_empty) {
    if (values.empty()) return where_empty;
    return double{values[static_cast<size_t>(r * x.n_cols + i) % values.size()]};
  };
  for (int64_t r = 0; r < x.n_rows; ++r) {
    double sum = 0.0, squares = 0.0;
    for (const float value : x.row_span(r)) sum += double{value};
    const double mean = sum / n;
    for (const float value : x.row_span(r)) squares += (double{value} - mean) * (double{value} - mean);
    const double factor = 1.0 / std::sqrt(squares / n + double{epsilon});
    for (int64_t i = 0; i < x.n_cols; ++i) {
      const double normed = (double{x.row(r)[i]} - mean) * factor;
      out.row(r)[i] = static_cast<float>(normed * of_row(weight, r, i, 1.0) + of_row(bias, r, i, 0.0));
    }
  }
}

}  // namespace orrery
