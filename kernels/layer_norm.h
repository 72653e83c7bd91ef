// Layer norm: out = (x - mean) / sqrt(variance + epsilon) * weight + bias, mean and variance being those of the row
// (the latter of d numbers, not d - 1). Source: Ba et al. 2016, eq. 4.
#pragma once

#include <span>

#include "kernels/base/tensor.h"

namespace orrery {

class ThreadPool;

// x, out: [n_rows, d]; weight, bias: [d] or empty (none), or [n, d], of which row r takes the (r mod n)-th: groups of
// columns that are normed by themselves are rows. out may be x itself.
void layer_norm(Matrix<const float> x, std::span<const float> weight, std::span<const float> bias, float epsilon,
                Matrix<float> out, ThreadPool& pool);

// The same in plain scalar code with double sums.
void layer_norm_reference(Matrix<const float> x, std::span<const float> weight, std::span<const float> bias,
                          float epsilon, Matrix<float> out);

}  // namespace orrery
