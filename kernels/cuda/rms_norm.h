// CUDA version of kernels/rms_norm.h.
#pragma once

#include "kernels/base/tensor.h"
#include "kernels/cuda/command_stream.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

// weight: [n_weights, n_cols] on the device, of which row r takes the (r mod n_weights)-th, or null.
void rms_norm(Matrix<const float> x, const float* weight, int64_t n_weights, float epsilon, Matrix<float> out,
              CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
