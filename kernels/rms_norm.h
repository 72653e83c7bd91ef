// Root mean square norm: out = x / sqrt(mean(x^2) + epsilon) * weight. Source: Zhang and Sennrich 2019, eq. 4.
#pragma once

#include <span>

#include "kernels/base/tensor.h"

namespace orrery {

class ThreadPool;

// x, out: [n_rows, d]; weight: [d] or empty (no weight), or [n, d], of which row r is weighted by the (r mod n)-th:
// groups of columns that are normed by themselves are rows. out may be x itself.
void rms_norm(Matrix<const float> x, std::span<const float> weight, float epsilon, Matrix<float> out, ThreadPool& pool);

// The same in plain scalar code with double sums.
void rms_norm_reference(Matrix<const float> x, std::span<const float> weight, float epsilon, Matrix<float> out);

}  // namespace orrery
