// CUDA version of kernels/rope.h.
#pragma once

#include "kernels/cuda/command_stream.h"
#include "kernels/rope.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

// table: [n_rows, 2, n_pairs] cosines, sines on the device (RopeTable).
void rope(Matrix<float> x, const float* table, int64_t n_pairs, int32_t d_head, RopePairing pairing,
          CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
