// CUDA version of kernels/fast_weights.h: matrices, vectors and states are the device's, positions and lists of
// sequences the host's.
#pragma once

#include "kernels/cuda/command_stream.h"
#include "kernels/fast_weights.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

// Equal inputs give equal bits, in a batch or in steps.
void fast_weights(const FastWeightsArgs& args, const FastWeightsStats& stats, CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
