// CUDA versions of kernels/moe.h: everything but the configuration lies on the device, the chosen experts too.
#pragma once

#include "kernels/cuda/command_stream.h"
#include "kernels/moe.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

// bias: [n_experts] or null.
void route(Matrix<const float> logits, const float* bias, const RouterConfig& config, const Routes& routes,
           const RouterStats& stats, CommandStream& stream);
void sum_experts(Matrix<const float> x, const Routes& routes, Matrix<float> out, CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
