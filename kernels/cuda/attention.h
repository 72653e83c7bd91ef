// CUDA version of kernels/attention.h: pointers of matrices, pages and slots are the device's; spans are the host's.
#pragma once

#include "kernels/attention.h"
#include "kernels/cuda/command_stream.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

void attention(const AttentionArgs& args, const AttentionStats& stats, CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
