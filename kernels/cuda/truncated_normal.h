// CUDA version of kernels/truncated_normal.h.
#pragma once

#include "kernels/cuda/command_stream.h"
#include "kernels/truncated_normal.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

void truncated_normal(uint64_t seed, std::span<const int64_t> positions, float deviation, Matrix<float> out,
                      CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
