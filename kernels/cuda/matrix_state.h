// CUDA versions of kernels/matrix_state.h: matrices, vectors and states are the device's, lists of sequences and heads
// the host's.
#pragma once

#include "kernels/cuda/command_stream.h"
#include "kernels/matrix_state.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

// What statistics are made of takes 16 bytes per row and row of a head's matrix in the stream's shared scratch; more
// rows than fit most_scratch_floats are taken one part after another (a row at least), which changes no bit. Equal
// inputs give equal bits, in a batch or in steps.
void matrix_state(const MatrixStateArgs& args, const MatrixStateStats& stats, CommandStream& stream,
                  int64_t most_scratch_floats = int64_t{8} << 20);
// The same with 8 bytes per row, wanted head and channel of its key.
void matrix_state_rows(const StateRowArgs& args, StatSlot rows, CommandStream& stream,
                       int64_t most_scratch_floats = int64_t{16} << 20);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
