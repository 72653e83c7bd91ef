// Operations that work element by element on matrices of one shape. `out` may be an input itself; other overlap is not
// allowed. All: [n_rows, n_cols] f32.
#pragma once

#include "kernels/base/tensor.h"

namespace orrery {

class ThreadPool;

// out = silu(gate) * up, silu(g) = g / (1 + exp(-g)). Source: Shazeer 2020 (SwiGLU).
void silu_multiply(Matrix<const float> gate, Matrix<const float> up, Matrix<float> out, ThreadPool& pool);
void silu_multiply_reference(Matrix<const float> gate, Matrix<const float> up, Matrix<float> out);

// out = a + b (the residual stream).
void add(Matrix<const float> a, Matrix<const float> b, Matrix<float> out, ThreadPool& pool);
void add_reference(Matrix<const float> a, Matrix<const float> b, Matrix<float> out);

// out = x * factor.
void scale(Matrix<const float> x, float factor, Matrix<float> out, ThreadPool& pool);
void scale_reference(Matrix<const float> x, float factor, Matrix<float> out);

}  // namespace orrery
