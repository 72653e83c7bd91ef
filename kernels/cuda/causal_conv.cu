#include <algorithm>
#include <vector>

#include "kernels/cuda/causal_conv.h"
#include "kernels/cuda/language.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr uint32_t kThreads = 128;
constexpr int64_t kRunRows = 16;  // rows that a thread takes one after another

// Rows [begin, end) of a sequence whose rows of the batch begin with `first`.
struct Run {
  int32_t begin = 0;
  int32_t end = 0;
  int32_t first = 0;
  uint32_t is_last = 0;    // the sequence ends with this run
  float* state = nullptr;  // [n_taps - 1, n_channels]
};

struct ConvArguments {
  const float* x;
  const float* taps;
  const float* bias;  // or null
  float* out;
  const Run* runs;
  int64_t x_stride;
  int64_t out_stride;
  int64_t n_channels;
  int32_t n_taps;
  uint32_t updates_states;  // whether the run that is a sequence's last keeps its last rows
};

// x of a channel in row `row`, which may lie up to n_taps - 1 rows before the sequence's first of the batch.
__device__ float input(const ConvArguments& a, const Run& run, int32_t row, int64_t channel) {
  if (row >= run.first) return a.x[row * a.x_stride + channel];
  return run.state[(a.n_taps - 1 + row - run.first) * a.n_channels + channel];
}

// What the sequence remembers of a channel: its last n_taps - 1 rows. Older rows come first, so that none is
// overwritten before it has moved.
__device__ void keep_last_rows(const ConvArguments& a, const Run& run, int64_t channel) {
  for (int32_t i = 0; i < a.n_taps - 1; ++i) {
    run.state[i * a.n_channels + channel] = input(a, run, run.end - (a.n_taps - 1) + i, channel);
  }
}

// Blocks over runs (x) and channels (y).
__global__ void causal_conv_kernel(ConvArguments a) {
  const Run run = a.runs[blockIdx.x];
  const int64_t channel = int64_t{blockIdx.y} * kThreads + threadIdx.x;
  if (channel >= a.n_channels) return;
  const float bias = a.bias == nullptr ? 0.0f : a.bias[channel];
  for (int32_t row = run.begin; row < run.end; ++row) {
    float sum = bias;
    for (int32_t i = 0; i < a.n_taps; ++i) {
      sum = fmaf(a.taps[i * a.n_channels + channel], input(a, run, row - (a.n_taps - 1) + i, channel), sum);
    }
    a.out[row * a.out_stride + channel] = sum;
  }
  if (a.updates_states != 0 && run.is_last != 0) keep_last_rows(a, run, channel);
}

// Blocks over runs (x) and channels (y), after all runs were taken.
__global__ void keep_rows_kernel(ConvArguments a) {
  const Run run = a.runs[blockIdx.x];
  const int64_t channel = int64_t{blockIdx.y} * kThreads + threadIdx.x;
  if (run.is_last != 0 && channel < a.n_channels) keep_last_rows(a, run, channel);
}

struct TapMeansArguments {
  ConvArguments conv;
  float* means;
  int64_t means_stride;
};

// Blocks over runs (x) and taps (y), before states change.
__global__ void tap_means_kernel(TapMeansArguments a) {
  ORRERY_SHARED(double, sums, kWarp);
  const ConvArguments& conv = a.conv;
  const Run run = conv.runs[blockIdx.x];
  const auto tap = static_cast<int32_t>(blockIdx.y);
  for (int32_t row = run.begin; row < run.end; ++row) {
    double sum = 0.0;
    for (int64_t channel = threadIdx.x; channel < conv.n_channels; channel += blockDim.x) {
      const float x = input(conv, run, row - (conv.n_taps - 1) + tap, channel);
      sum += double{fabsf(conv.taps[tap * conv.n_channels + channel] * x)};
    }
    sum = block_sum(sum, sums);
    if (threadIdx.x == 0) {
      a.means[row * a.means_stride + tap] = static_cast<float>(sum / static_cast<double>(conv.n_channels));
    }
  }
}

std::vector<Run> runs_of(std::span<const StateRows> sequences) {
  std::vector<Run> runs;
  for (const StateRows& sequence : sequences) {
    for (int64_t begin = sequence.begin; begin < sequence.end; begin += kRunRows) {
      Run run;
      run.begin = static_cast<int32_t>(begin);
      run.end = static_cast<int32_t>(std::min(begin + kRunRows, sequence.end));
      run.first = static_cast<int32_t>(sequence.begin);
      run.is_last = run.end == sequence.end ? 1 : 0;
      run.state = sequence.state;
      runs.push_back(run);
    }
  }
  return runs;
}

}  // namespace

void causal_conv(const CausalConvArgs& args, StatSlot tap_means, CommandStream& stream) {
  const std::vector<Run> runs = runs_of(args.sequences);
  if (runs.empty()) return;
  // A sequence of several runs is remembered only after the first of them has read what was remembered before.
  const bool at_once = std::ranges::all_of(runs, [](const Run& run) { return run.begin == run.first && run.is_last; });
  const ConvArguments arguments{.x = args.x.data,
                                .taps = args.taps.data(),
                                .bias = args.bias.empty() ? nullptr : args.bias.data(),
                                .out = args.out.data,
                                .runs = stream.upload(std::span<const Run>(runs)),
                                .x_stride = args.x.row_stride,
                                .out_stride = args.out.row_stride,
                                .n_channels = args.x.n_cols,
                                .n_taps = args.n_taps,
                                .updates_states = at_once ? 1u : 0u};
  const auto n_runs = static_cast<uint32_t>(runs.size());
  if (tap_means) {
    const TapMeansArguments means{arguments, tap_means.data, tap_means.row_stride};
    stream.push(make_launch("tap_means", tap_means_kernel, {.x = n_runs, .y = static_cast<uint32_t>(args.n_taps)},
                            {.x = threads_for(args.x.n_cols, kThreads)}, means));
  }
  const Extent grid{.x = n_runs, .y = blocks_for(args.x.n_cols, kThreads)};
  stream.push(make_launch("causal_conv", causal_conv_kernel, grid, {.x = kThreads}, arguments));
  if (!at_once) stream.push(make_launch("keep_rows", keep_rows_kernel, grid, {.x = kThreads}, arguments));
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
