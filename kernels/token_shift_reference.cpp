#include <algorithm>

#include "kernels/token_shift.h"

namespace orrery {

void token_shift_reference(const TokenShiftArgs& args) {
  const int64_t d = args.x.n_cols;
  for (const StateRows& rows : args.sequences) {
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      const float* const x = args.x.row(r);
      const float* const before = r > rows.begin ? args.x.row(r - 1) : rows.state;
      for (int64_t c = 0; c < args.n_mixes(); ++c) {
        for (int64_t i = 0; i < d; ++i) {
          const double mix = double{args.mix[static_cast<size_t>(c * d + i)]};
          args.out.row(r)[c * d + i] = static_cast<float>(double{x[i]} + mix * (double{before[i]} - double{x[i]}));
        }
      }
    }
    if (rows.end > rows.begin) std::copy_n(args.x.row(rows.end - 1), d, rows.state);
  }
}

}  // namespace orrery
