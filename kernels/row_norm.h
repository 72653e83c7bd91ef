// Sizes of rows: L2 norms of groups of columns, for `residual.norm` (one group) and `attention.output` (groups of
// d_head); mean magnitudes; inner products of groups.
#pragma once

#include <cstdint>

#include "kernels/base/stat_slot.h"
#include "kernels/base/tensor.h"

namespace orrery {

class ThreadPool;

// out.row(r)[g] = L2 norm of x[r, g * group_size .. (g + 1) * group_size). x.n_cols must be a multiple of group_size.
// Finite wherever the norm itself is: f32 squares are summed in fixed lanes, in double where they would overflow.
void group_norms(Matrix<const float> x, int64_t group_size, StatSlot out, ThreadPool& pool);
void group_norms_reference(Matrix<const float> x, int64_t group_size, StatSlot out);

// out.row(r)[0] = mean of |x[r, i]|: `conv.gate_in`, `conv.gate_out`.
void mean_magnitudes(Matrix<const float> x, StatSlot out, ThreadPool& pool);
void mean_magnitudes_reference(Matrix<const float> x, StatSlot out);

// out[r, g] = sum over i of a[r, g * n + i] b[r, g * n + i], n = a.n_cols / out.n_cols. out: [n_rows, n_groups].
void group_dots(Matrix<const float> a, Matrix<const float> b, Matrix<float> out, ThreadPool& pool);
void group_dots_reference(Matrix<const float> a, Matrix<const float> b, Matrix<float> out);

}  // namespace orrery
