// CUDA version of kernels/matmul.h.
#pragma once

#include <span>

#include "kernels/base/tensor.h"
#include "kernels/cuda/command_stream.h"
#include "kernels/matmul.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

// out = x weight^T + bias for every target, all of which lies on the device. Sums are float32, of x as it is. Up to 8
// rows are multiplied with the packed weights as they lie, neighbouring targets of one dtype by one kernel; there a
// row's result is bit-identical whatever the other rows. More rows are left to cuBLAS, with weights that are
// dequantized to f32, up to 64 MiB at a time.
void matmul(Matrix<const float> x, std::span<const MatmulTarget> targets, CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
