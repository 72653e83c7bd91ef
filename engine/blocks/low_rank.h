// LowRank: a product of two narrow matrices that is added to a wide one (Hu et al. 2021): what models with shared
// weights have of their own in each place.
#pragma once

#include "engine/block.h"

namespace orrery {

struct LowRank {
  TensorView down;  // [rank, n_in]
  TensorView up;    // [n_out, rank]
  bool empty() const { return down.empty(); }
};

// out [n_rows, n_out] += up (down x), x [n_rows, n_in]; nothing where it is empty.
void add_low_rank(const Step& step, const LowRank& weights, Matrix<const float> x, Matrix<float> out);

}  // namespace orrery
