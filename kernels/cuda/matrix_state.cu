#include <algorithm>
#include <vector>

#include "kernels/cuda/matrix_state.h"
#include "kernels/cuda/matrix_state_pass.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr int kThreads = 128;

struct StateStatsArguments {
  const StatePart* parts;
  float* norm;  // or null, as the others
  float* write;
  float* erase;
  float* read;
  float* keep;
  int64_t norm_stride;
  int64_t write_stride;
  int64_t erase_stride;
  int64_t read_stride;
  int64_t keep_stride;
  int64_t first_row;
  DecayLogs decay;
  int32_t n_heads;
  int32_t d_key;
  int32_t d_value;
  int32_t n;  // groups of heads
};

// Blocks over rows (x) and groups of heads (y).
__global__ void matrix_state_stats_kernel(StateStatsArguments a) {
  ORRERY_SHARED(double, sums, kWarp);
  const int64_t row = a.first_row + blockIdx.x, group = blockIdx.y;
  const HeadRange heads = heads_of(static_cast<int32_t>(group), a.n, a.n_heads);
  if (a.parts != nullptr) {
    const StatePart* const parts = a.parts + int64_t{blockIdx.x} * a.n_heads * a.d_value;
    double norm = 0.0, write = 0.0, erase = 0.0, read = 0.0;
    const int64_t end = int64_t{heads.end} * a.d_value;
    for (int64_t i = int64_t{heads.begin} * a.d_value + threadIdx.x; i < end; i += blockDim.x) {
      const StatePart part = parts[i];
      norm += double{part.norm};
      write += double{part.write};
      erase += double{part.erase};
      read += double{part.read};
    }
    norm = block_sum(norm, sums);
    write = block_sum(write, sums);
    erase = block_sum(erase, sums);
    read = block_sum(read, sums);
    if (threadIdx.x == 0) {
      if (a.norm != nullptr) a.norm[row * a.norm_stride + group] = static_cast<float>(sqrt(norm));
      if (a.write != nullptr) a.write[row * a.write_stride + group] = static_cast<float>(sqrt(write));
      if (a.erase != nullptr) a.erase[row * a.erase_stride + group] = static_cast<float>(sqrt(erase));
      if (a.read != nullptr) a.read[row * a.read_stride + group] = static_cast<float>(sqrt(read));
    }
  }
  if (a.keep == nullptr) return;
  ORRERY_SHARED(float, extremes, kWarp);
  const int32_t per_head = a.decay.is_scalar() ? 1 : a.d_key;
  const int64_t n_channels = int64_t{heads.end - heads.begin} * per_head;
  double sum = 0.0;
  float least = infinity(), greatest = -infinity();
  for (int64_t i = threadIdx.x; i < n_channels; i += blockDim.x) {
    const float log_of_decay =
        a.decay.any() ? a.decay.at(row, heads.begin + i / per_head, static_cast<int32_t>(i % per_head)) : 0.0f;
    sum += double{log_of_decay};
    least = fminf(least, log_of_decay);
    greatest = fmaxf(greatest, log_of_decay);
  }
  sum = block_sum(sum, sums);
  least = -block_max(-least, extremes);
  greatest = block_max(greatest, extremes);
  if (threadIdx.x != 0) return;
  float* const keep = a.keep + row * a.keep_stride + group * 3;
  keep[0] = static_cast<float>(exp(sum / static_cast<double>(n_channels)));
  keep[1] = expf(least);
  keep[2] = expf(greatest);
}

// Those rows of a batch that lie in [begin, end).
std::vector<StateRows> rows_within(std::span<const StateRows> sequences, int64_t begin, int64_t end) {
  std::vector<StateRows> within;
  for (StateRows sequence : sequences) {
    sequence.begin = std::max(sequence.begin, begin);
    sequence.end = std::min(sequence.end, end);
    if (sequence.begin < sequence.end) within.push_back(sequence);
  }
  return within;
}

}  // namespace

void matrix_state(const MatrixStateArgs& args, const MatrixStateStats& stats, CommandStream& stream,
                  int64_t most_scratch_floats) {
  const MatrixStateSizes& sizes = args.sizes;
  const int64_t n_rows = args.v.n_rows, n_state_rows = int64_t{sizes.n_heads} * sizes.d_value;
  const bool has_parts = stats.norm || stats.write || stats.erase || stats.read;
  const int64_t row_floats = n_state_rows * static_cast<int64_t>(sizeof(StatePart) / sizeof(float));
  const int64_t n_at_once = has_parts ? std::max<int64_t>(1, most_scratch_floats / row_floats) : n_rows;
  StateArguments arguments{.q = args.q.data,
                           .k = args.k.data,
                           .v = args.v.data,
                           .write = args.write.data,
                           .erase_read = args.erase_read.data,
                           .erase_write = args.erase_write.data,
                           .skip = args.skip.empty() ? nullptr : args.skip.data(),
                           .out = args.out.data,
                           .sequences = nullptr,
                           .parts = nullptr,
                           .q_stride = args.q.row_stride,
                           .k_stride = args.k.row_stride,
                           .v_stride = args.v.row_stride,
                           .write_stride = args.write.row_stride,
                           .erase_read_stride = args.erase_read.row_stride,
                           .erase_write_stride = args.erase_write.row_stride,
                           .out_stride = args.out.row_stride,
                           .first_row = 0,
                           .decay = decay_logs(args.decay.rate, args.decay.log_decay, sizes.n_heads),
                           .n_heads = sizes.n_heads,
                           .n_groups = sizes.n_groups,
                           .d_key = sizes.d_key,
                           .d_value = sizes.d_value,
                           .erase = args.erase,
                           .read_scale = args.read_scale};
  StateStatsArguments stat_arguments{.parts = nullptr,
                                     .norm = stats.norm.data,
                                     .write = stats.write.data,
                                     .erase = stats.erase.data,
                                     .read = stats.read.data,
                                     .keep = stats.keep.data,
                                     .norm_stride = stats.norm.row_stride,
                                     .write_stride = stats.write.row_stride,
                                     .erase_stride = stats.erase.row_stride,
                                     .read_stride = stats.read.row_stride,
                                     .keep_stride = stats.keep.row_stride,
                                     .first_row = 0,
                                     .decay = arguments.decay,
                                     .n_heads = sizes.n_heads,
                                     .d_key = sizes.d_key,
                                     .d_value = sizes.d_value,
                                     .n = stats.n};
  for (int64_t first = 0; first < n_rows; first += n_at_once) {
    const int64_t n = std::min(n_at_once, n_rows - first);
    const std::vector<StateRows> sequences = rows_within(args.sequences, first, first + n);
    arguments.sequences = stream.upload(std::span<const StateRows>(sequences));
    arguments.first_row = stat_arguments.first_row = first;
    if (has_parts) {
      arguments.parts = reinterpret_cast<StatePart*>(
          stream.shared_scratch(static_cast<size_t>(n * n_state_rows) * sizeof(StatePart)));
      stat_arguments.parts = arguments.parts;
    }
    if (!sequences.empty()) push_recurrence(arguments, static_cast<int64_t>(sequences.size()), stream);
    if (stats.any()) {
      const int64_t n_of_group = n_state_rows / stats.n;
      const Extent grid{.x = static_cast<uint32_t>(n), .y = static_cast<uint32_t>(stats.n)};
      stream.push(make_launch("matrix_state_stats", matrix_state_stats_kernel, grid,
                              {.x = threads_for(n_of_group, kThreads)}, stat_arguments));
    }
  }
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
