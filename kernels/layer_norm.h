// Layer norm: out = (x - mean) / sqrt(variance + epsilon) * weight + bias, mean and variance over the row. Source: Ba
// et al. 2016. Groups of columns that are normed by themselves are rows (group norm; Wu and He 2018).
#pragma once

#include <span>

#include "kernels/base/tensor.h"

namespace orrery {

class ThreadPool;

// What a norm multiplies with and adds: [d], or [n, d] of which row r takes the (r mod n)-th; empty: 1, or 0.
struct NormAffine {
  std::span<const float> weight;
  std::span<const float> bias;
};

// x, out: [n_rows, d]; out may be x itself.
void layer_norm(Matrix<const float> x, const NormAffine& affine, float epsilon, Matrix<float> out, ThreadPool& pool);

// The same in plain scalar code with double sums.
void layer_norm_reference(Matrix<const float> x, const NormAffine& affine, float epsilon, Matrix<float> out);

}  // namespace orrery
