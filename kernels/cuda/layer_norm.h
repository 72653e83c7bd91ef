// CUDA version of kernels/layer_norm.h.
#pragma once

#include "kernels/base/tensor.h"
#include "kernels/cuda/command_stream.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

// On the device: [n_rows, n_cols] of which row r takes the (r mod n_rows)-th, or null.
struct RowsInTurn {
  const float* data = nullptr;
  int64_t n_rows = 1;
};

void layer_norm(Matrix<const float> x, RowsInTurn weight, RowsInTurn bias, float epsilon, Matrix<float> out,
                CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
