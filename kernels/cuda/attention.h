// CUDA version of kernels/attention.h: pointers of matrices, pages and slots are the device's; spans are the host's.
#pragma once

#include "kernels/attention.h"
#include "kernels/cuda/command_stream.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

// Scores that statistics are made of, and sums of values, take 4 bytes per float of the stream's shared scratch; more
// rows than fit most_scratch_floats are taken one part after another (a row at least). Equal batches give equal bits;
// the rows beside it change a row's results by roundings at most. Launches of steps equal each other until a table of
// pages or a row of scores grows beyond a multiple of 32 pages.
void attention(const AttentionArgs& args, const AttentionStats& stats, CommandStream& stream,
               int64_t most_scratch_floats = int64_t{32} << 20);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
