// CUDA version of kernels/layer_norm.h.
#pragma once

#include "kernels/base/tensor.h"
#include "kernels/cuda/command_stream.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

// Weights or biases on the device, [n, n_cols], of which row r takes the (r mod n)-th; null: none.
struct RowWeights {
  const float* data = nullptr;
  int64_t n = 1;
};

void layer_norm(Matrix<const float> x, RowWeights weight, RowWeights bias, float epsilon, Matrix<float> out,
                CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
