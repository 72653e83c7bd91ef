// CUDA version of kernels/output_stats.h.
#pragma once

#include "kernels/cuda/command_stream.h"
#include "kernels/output_stats.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

void output_stats(Matrix<const float> logits, const OutputStats& stats, CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
