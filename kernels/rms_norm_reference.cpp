#include <algorithm>
#include <cmath>

#include "kernels/rms_norm.h"

namespace orrery {

void rms_norm_reference(Matrix<const float> x, std::span<const float> weight, float epsilon, Matrix<float> out) {
  for (int64_t r = 0; r < x.n_rows; ++r) {
    double sum = 0.0;
    for (float value : x.row_span(r)) sum += double{value} * value;
    const double factor = 1.0 / std::sqrt(sum / static_cast<double>(x.n_cols) + epsilon);
    for (int64_t i = 0; i < x.n_cols; ++i) {
      const double normed = x.row(r)[i] * factor;
      const int64_t at = (r * x.n_cols + i) % std::max<int64_t>(1, static_cast<int64_t>(weight.size()));
      out.row(r)[i] = static_cast<float>(weight.empty() ? normed : normed * weight[static_cast<size_t>(at)]);
    }
  }
}

}  // namespace orrery
