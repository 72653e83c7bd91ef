#include <cmath>

#include "kernels/rope.h"

namespace orrery {

void RopeTable::set(std::span<const int64_t> positions, std::span<const float> inv_freq, float magnitude) {
  n_rows_ = static_cast<int64_t>(positions.size());
  n_pairs_ = static_cast<int64_t>(inv_freq.size());
  turns_.resize(static_cast<size_t>(2 * n_rows_ * n_pairs_));
  float* out = turns_.data();
  for (int64_t position : positions) {
    for (float frequency : inv_freq) {
      const double angle = static_cast<double>(position) * double{frequency};
      out[0] = static_cast<float>(std::cos(angle) * magnitude);
      out[n_pairs_] = static_cast<float>(std::sin(angle) * magnitude);
      ++out;
    }
    out += n_pairs_;
  }
}

}  // namespace orrery
