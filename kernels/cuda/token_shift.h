// CUDA version of kernels/token_shift.h.
#pragma once

#include "kernels/cuda/command_stream.h"
#include "kernels/token_shift.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

void token_shift(const TokenShiftArgs& args, CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
