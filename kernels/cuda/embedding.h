// CUDA version of kernels/embedding.h.
#pragma once

#include <span>

#include "kernels/base/tensor.h"
#include "kernels/cuda/command_stream.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

// out[r] = scale * table[ids[r]], for all float and quantized dtypes, dequantized bit for bit as on the CPU.
void embed(const TensorView& table, std::span<const int32_t> ids, float scale, Matrix<float> out,
           CommandStream& stream);

// out[r] = weight[first_row + r], the same way.
void dequantize_rows(const TensorView& weight, int64_t first_row, Matrix<float> out, CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
