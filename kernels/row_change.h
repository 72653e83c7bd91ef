// How rows change from one iteration of a loop to the next: by how much and in which direction (`loop.step`,
// `loop.cosine`), and how far apart two rows of logits are in what they say.
#pragma once

#include <cstdint>

#include "kernels/base/stat_slot.h"
#include "kernels/base/tensor.h"

namespace orrery {

class ThreadPool;

struct RowChangeArgs {
  Matrix<const float> before;  // [n_rows, n_cols] h_{i-1}
  Matrix<const float> after;   // [n_rows, n_cols] h_i
  // [n_rows, n_cols]; on entry h_{i-1} - h_{i-2} where there was a change before, on return h_i - h_{i-1}.
  Matrix<float> change;
  bool has_earlier = false;  // whether `change` holds one on entry
};

// step.row(r)[0] = |h_i - h_{i-1}| / |h_{i-1}|; cosine.row(r)[0] = that of the angle between the two changes, NaN where
// there was none before. Both slots are wanted.
void row_change(const RowChangeArgs& args, StatSlot step, StatSlot cosine, ThreadPool& pool);
void row_change_reference(const RowChangeArgs& args, StatSlot step, StatSlot cosine);

// out.row(r)[0] = KL(p || q) in nats, p and q being the softmax of rows of logits [n_rows, vocab], finite or -inf. What
// q excludes counts as 200 below q's greatest logit.
void row_divergence(Matrix<const float> p, Matrix<const float> q, StatSlot out, ThreadPool& pool);
void row_divergence_reference(Matrix<const float> p, Matrix<const float> q, StatSlot out);

}  // namespace orrery
