#pragma once

#include "kernels/cuda/command_stream.h"
#include "kernels/row_change.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

void row_change(const RowChangeArgs& args, StatSlot step, StatSlot cosine, CommandStream& stream);
void row_divergence(Matrix<const float> p, Matrix<const float> q, StatSlot out, CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
