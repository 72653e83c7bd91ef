// CUDA version of kernels/causal_conv.h: matrices, taps, bias and states are the device's, the list of sequences is the
// host's.
#pragma once

#include "kernels/causal_conv.h"
#include "kernels/cuda/command_stream.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

void causal_conv(const CausalConvArgs& args, StatSlot tap_means, CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
