#include <algorithm>
#include <vector>

#include "kernels/cuda/language.h"
#include "kernels/cuda/token_shift.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr uint32_t kThreads = 128;
constexpr int64_t kRunRows = 16;  // rows that a thread takes one after another

// Rows [begin, end) of a sequence.
struct Run {
  int32_t begin = 0;
  int32_t end = 0;
  uint32_t is_first = 0;  // the sequence's rows of the batch begin with this run
  uint32_t is_last = 0;   // or end with it
  float* state = nullptr;
};

struct ShiftArguments {
  const float* x;
  const float* mix;
  float* out;
  const Run* runs;
  int64_t x_stride;
  int64_t out_stride;
  int64_t n_cols;
  int32_t n_mixes;
  uint32_t updates_states;  // whether the run that is a sequence's last keeps its last row
};

// Blocks over runs (x) and columns (y).
__global__ void token_shift_kernel(ShiftArguments a) {
  const Run run = a.runs[blockIdx.x];
  const int64_t col = int64_t{blockIdx.y} * kThreads + threadIdx.x;
  if (col >= a.n_cols) return;
  float before = run.is_first != 0 ? run.state[col] : a.x[(run.begin - 1) * a.x_stride + col];
  for (int32_t row = run.begin; row < run.end; ++row) {
    const float own = a.x[row * a.x_stride + col];
    for (int32_t c = 0; c < a.n_mixes; ++c) {
      a.out[row * a.out_stride + c * a.n_cols + col] = fmaf(a.mix[c * a.n_cols + col], before - own, own);
    }
    before = own;
  }
  if (a.updates_states != 0 && run.is_last != 0) run.state[col] = before;
}

// Blocks over runs (x) and columns (y), after all runs were taken.
__global__ void keep_last_row_kernel(ShiftArguments a) {
  const Run run = a.runs[blockIdx.x];
  const int64_t col = int64_t{blockIdx.y} * kThreads + threadIdx.x;
  if (run.is_last != 0 && col < a.n_cols) run.state[col] = a.x[(run.end - 1) * a.x_stride + col];
}

std::vector<Run> runs_of(std::span<const StateRows> sequences) {
  std::vector<Run> runs;
  for (const StateRows& sequence : sequences) {
    for (int64_t begin = sequence.begin; begin < sequence.end; begin += kRunRows) {
      Run run;
      run.begin = static_cast<int32_t>(begin);
      run.end = static_cast<int32_t>(std::min(begin + kRunRows, sequence.end));
      run.is_first = begin == sequence.begin ? 1 : 0;
      run.is_last = run.end == sequence.end ? 1 : 0;
      run.state = sequence.state;
      runs.push_back(run);
    }
  }
  return runs;
}

}  // namespace

void token_shift(const TokenShiftArgs& args, CommandStream& stream) {
  const std::vector<Run> runs = runs_of(args.sequences);
  if (runs.empty()) return;
  // A sequence of several runs is remembered only after the first of them has read what was remembered before.
  const bool at_once = std::ranges::all_of(runs, [](const Run& run) { return run.is_first != 0 && run.is_last != 0; });
  const ShiftArguments arguments{.x = args.x.data,
                                 .mix = args.mix.data(),
                                 .out = args.out.data,
                                 .runs = stream.upload(std::span<const Run>(runs)),
                                 .x_stride = args.x.row_stride,
                                 .out_stride = args.out.row_stride,
                                 .n_cols = args.x.n_cols,
                                 .n_mixes = static_cast<int32_t>(args.n_mixes()),
                                 .updates_states = at_once ? 1u : 0u};
  const Extent grid{.x = static_cast<uint32_t>(runs.size()), .y = blocks_for(args.x.n_cols, kThreads)};
  stream.push(make_launch("token_shift", token_shift_kernel, grid, {.x = kThreads}, arguments));
  if (!at_once) stream.push(make_launch("keep_last_row", keep_last_row_kernel, grid, {.x = kThreads}, arguments));
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
