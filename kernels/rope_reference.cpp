#include "kernels/rope.h"

namespace orrery {

void rope_reference(Matrix<float> x, const RopeTable& table, int32_t d_head, RopePairing pairing) {
  const int64_t n_pairs = table.n_pairs();
  const bool adjacent = pairing == RopePairing::kAdjacent;
  for (int64_t r = 0; r < x.n_rows; ++r) {
    for (float* head = x.row(r); head < x.row(r) + x.n_cols; head += d_head) {
      for (int64_t i = 0; i < n_pairs; ++i) {
        float& first = head[adjacent ? 2 * i : i];
        float& second = head[adjacent ? 2 * i + 1 : i + n_pairs];
        const double a = first, b = second;
        const double cosine = table.cosines(r)[i], sine = table.sines(r)[i];
        first = static_cast<float>(a * cosine - b * sine);
        second = static_cast<float>(b * cosine + a * sine);
      }
    }
  }
}

}  // namespace orrery
