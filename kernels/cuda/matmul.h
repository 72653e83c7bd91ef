// CUDA version of kernels/matmul.h.
#pragma once

#include "kernels/base/tensor.h"
#include "kernels/cuda/command_stream.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

// out = x weight^T + bias, for every dtype that matmul_supports(). bias: [n_out] on the device, or null. Few rows are
// multiplied with the packed weights as they lie; many with weights that are dequantized to f32, by cuBLAS.
void matmul(Matrix<const float> x, const TensorView& weight, const float* bias, Matrix<float> out,
            CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
