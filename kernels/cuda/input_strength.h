// CUDA version of kernels/input_strength.h.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor.h"
#include "kernels/cuda/command_stream.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

// log_decay: [n_cols] on the device; positions in the host's memory.
void input_strength(Matrix<const float> rate, const float* log_decay, std::span<const int64_t> positions,
                    Matrix<float> out, CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
