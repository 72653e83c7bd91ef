// CUDA version of kernels/expert_matmul.h, on the device from first to last: which experts were chosen the host does
// not know.
#pragma once

#include <span>

#include "kernels/base/tensor.h"
#include "kernels/cuda/command_stream.h"
#include "kernels/expert_matmul.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

// Sums are float32, of x as it is. With up to 8 rows only the chosen experts' weights are read, and a row's result is
// bit-identical whatever the other rows; more rows are grouped by expert.
void expert_matmul(Matrix<const float> x, const Routes& routes, std::span<const ExpertProduct> products,
                   CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
