#include <cmath>

#include "kernels/input_strength.h"

namespace orrery {

void input_strength_reference(Matrix<const float> rate, std::span<const float> log_decay,
                              std::span<const int64_t> positions, Matrix<float> out) {
  for (int64_t r = 0; r < out.n_rows; ++r) {
    const bool is_first = positions[static_cast<size_t>(r)] == 0;
    for (int64_t c = 0; c < out.n_cols; ++c) {
      const double log = 2.0 * double{rate.row(r)[c]} * double{log_decay[static_cast<size_t>(c)]};
      out.row(r)[c] = is_first ? 1.0f : static_cast<float>(std::sqrt(-std::expm1(log)));
    }
  }
}

}  // namespace orrery
