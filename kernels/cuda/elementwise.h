// CUDA versions of kernels/elementwise.h.
#pragma once

#include "kernels/cuda/command_stream.h"
#include "kernels/elementwise.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

void activate(Activation activation, Matrix<const float> x, Matrix<float> out, CommandStream& stream);
void activate_multiply(Activation activation, Matrix<const float> gate, Matrix<const float> up, Matrix<float> out,
                       CommandStream& stream);
void clipped_multiply(ClippedGate clipped, Matrix<const float> gate, Matrix<const float> up, Matrix<float> out,
                      CommandStream& stream);
void clip(Matrix<const float> x, float limit, Matrix<float> out, CommandStream& stream);
void soft_cap(Matrix<const float> x, float cap, Matrix<float> out, CommandStream& stream);
void add(Matrix<const float> a, Matrix<const float> b, float factor, Matrix<float> out, CommandStream& stream);
void scale(Matrix<const float> x, float factor, Matrix<float> out, CommandStream& stream);
void gate_groups(Activation activation, Matrix<const float> gates, Matrix<float> x, CommandStream& stream);
// bias: [n_cols] on the device, or null.
void softplus(Matrix<const float> x, const float* bias, SoftplusRange range, Matrix<float> out, CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
