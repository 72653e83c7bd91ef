// CUDA version of kernels/row_norm.h.
#pragma once

#include "kernels/cuda/command_stream.h"
#include "kernels/row_norm.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

void group_norms(Matrix<const float> x, int64_t group_size, StatSlot out, CommandStream& stream);
void mean_magnitudes(Matrix<const float> x, StatSlot out, CommandStream& stream);
void group_dots(Matrix<const float> a, Matrix<const float> b, Matrix<float> out, CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
