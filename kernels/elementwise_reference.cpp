#include <cmath>

#include "kernels/elementwise.h"

namespace orrery {

void silu_multiply_reference(Matrix<const float> gate, Matrix<const float> up, Matrix<float> out) {
  for (int64_t r = 0; r < out.n_rows; ++r) {
    for (int64_t i = 0; i < out.n_cols; ++i) {
      const double g = gate.row(r)[i];
      out.row(r)[i] = static_cast<float>(g / (1.0 + std::exp(-g)) * up.row(r)[i]);
    }
  }
}

void add_reference(Matrix<const float> a, Matrix<const float> b, Matrix<float> out) {
  for (int64_t r = 0; r < out.n_rows; ++r) {
    for (int64_t i = 0; i < out.n_cols; ++i) out.row(r)[i] = a.row(r)[i] + b.row(r)[i];
  }
}

void scale_reference(Matrix<const float> x, float factor, Matrix<float> out) {
  for (int64_t r = 0; r < out.n_rows; ++r) {
    for (int64_t i = 0; i < out.n_cols; ++i) out.row(r)[i] = x.row(r)[i] * factor;
  }
}

}  // namespace orrery
