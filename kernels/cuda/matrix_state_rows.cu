#include <algorithm>

#include "kernels/cuda/matrix_state.h"
#include "kernels/cuda/matrix_state_pass.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr uint32_t kMostThreads = 256;

// What differs from step to step.
struct RowsPlace {
  int64_t first = 0;   // position of the first row
  int64_t n_keys = 0;  // width of a row of the result
};

struct StateRowsArguments {
  const float* q;
  const float* k;
  const float* write;  // or null
  const float* erase_read;
  const float* erase_write;  // of kPair, or null
  const RowsPlace* place;
  const int32_t* stat_heads;
  double* x;  // [n_rows, n_wanted, most heads of a group, d_key]
  float* rows;
  int64_t q_stride;
  int64_t k_stride;
  int64_t write_stride;
  int64_t erase_read_stride;
  int64_t erase_write_stride;
  int64_t rows_stride;
  DecayLogs decay;
  int32_t n_heads;
  int32_t n_groups;
  int32_t d_key;
  int32_t n_stat_heads;
  int32_t most_heads;
  StateErase erase;
  uint8_t unused[3] = {};
  float read_scale;
  uint32_t unused_too = 0;
};

// A block per row (x) and wanted group of heads (y): backwards from the row's own token, a warp to a head, in turns.
__global__ void matrix_state_rows_kernel(StateRowsArguments a) {
  ORRERY_SHARED(double, sums, kWarp);
  const auto thread = static_cast<int32_t>(threadIdx.x), lane = thread % static_cast<int32_t>(kWarp);
  const int32_t warp = thread / static_cast<int32_t>(kWarp);
  const auto n_warps = static_cast<int32_t>(blockDim.x / kWarp);
  const HeadRange heads = heads_of(a.stat_heads[blockIdx.y], a.n_stat_heads, a.n_heads);
  const int64_t n_keys = a.place->n_keys, token = a.place->first + blockIdx.x;
  double* const x = a.x + (int64_t{blockIdx.x} * gridDim.y + blockIdx.y) * a.most_heads * a.d_key;
  float* const out = a.rows + blockIdx.x * a.rows_stride + blockIdx.y * n_keys;
  for (int64_t key = token + 1 + thread; key < n_keys; key += blockDim.x) out[key] = 0.0f;

  const auto first_key = [&](int32_t head) { return int64_t{head} * a.n_groups / a.n_heads * a.d_key; };
  for (int32_t head = heads.begin + warp; head < heads.end; head += n_warps) {
    const float* const q = a.q + blockIdx.x * a.q_stride + first_key(head);
    double* const own = x + int64_t{head - heads.begin} * a.d_key;
    for (int32_t i = lane; i < a.d_key; i += static_cast<int32_t>(kWarp)) own[i] = double{a.read_scale} * double{q[i]};
  }
  for (int64_t s = token; s >= 0; --s) {
    double sum = 0.0;
    for (int32_t head = heads.begin + warp; head < heads.end; head += n_warps) {
      const float* const k = a.k + s * a.k_stride + first_key(head);
      double* const own = x + int64_t{head - heads.begin} * a.d_key;
      double product = 0.0;
      for (int32_t i = lane; i < a.d_key; i += static_cast<int32_t>(kWarp)) product += double{k[i]} * own[i];
      product = warp_sum(product);
      sum += product;
      const double write = a.write == nullptr ? 1.0 : double{a.write[s * a.write_stride + head]};
      const double erased = a.erase == StateErase::kDelta ? write * product : 0.0;
      const bool by_pair = a.erase == StateErase::kPair;
      const float* const e = by_pair ? a.erase_read + s * a.erase_read_stride + first_key(head) : k;
      double taken = 0.0;
      if (by_pair) {
        const float* const b = a.erase_write + s * a.erase_write_stride + first_key(head);
        for (int32_t i = lane; i < a.d_key; i += static_cast<int32_t>(kWarp)) taken += double{b[i]} * own[i];
        taken = warp_sum(taken);
      }
      for (int32_t i = lane; i < a.d_key; i += static_cast<int32_t>(kWarp)) {
        const double keep = a.decay.any() ? exp(double{a.decay.at(s, head, i)}) : 1.0;
        own[i] = keep * (own[i] - erased * double{k[i]});
        if (by_pair) own[i] -= taken * double{e[i]};
      }
    }
    if (n_warps > 1) sum = block_sum(lane == 0 ? sum : 0.0, sums);
    if (thread == 0 && s < n_keys) out[s] = static_cast<float>(sum / (heads.end - heads.begin));
  }
}

}  // namespace

void matrix_state_rows(const StateRowArgs& args, StatSlot rows, CommandStream& stream, int64_t most_scratch_floats) {
  const MatrixStateSizes& sizes = args.sizes;
  const int64_t n_rows = args.q.n_rows, n_wanted = static_cast<int64_t>(args.stat_heads.size());
  if (n_rows == 0 || n_wanted == 0) return;
  const int32_t most_heads = (sizes.n_heads + args.n_stat_heads - 1) / args.n_stat_heads;
  const int64_t row_doubles = n_wanted * most_heads * sizes.d_key;
  const int64_t n_at_once = std::clamp<int64_t>(most_scratch_floats / (2 * row_doubles), 1, n_rows);
  StateRowsArguments arguments{.q = nullptr,
                               .k = args.history.k.data,
                               .write = args.history.write.data,
                               .erase_read = args.history.erase_read.data,
                               .erase_write = args.history.erase_write.data,
                               .place = nullptr,
                               .stat_heads = stream.upload(args.stat_heads),
                               .x = reinterpret_cast<double*>(stream.shared_scratch(
                                   static_cast<size_t>(n_at_once * row_doubles) * sizeof(double))),
                               .rows = nullptr,
                               .q_stride = args.q.row_stride,
                               .k_stride = args.history.k.row_stride,
                               .write_stride = args.history.write.row_stride,
                               .erase_read_stride = args.history.erase_read.row_stride,
                               .erase_write_stride = args.history.erase_write.row_stride,
                               .rows_stride = rows.row_stride,
                               .decay = decay_logs(args.history.rate, args.log_decay, sizes.n_heads),
                               .n_heads = sizes.n_heads,
                               .n_groups = sizes.n_groups,
                               .d_key = sizes.d_key,
                               .n_stat_heads = args.n_stat_heads,
                               .most_heads = most_heads,
                               .erase = args.erase,
                               .read_scale = args.read_scale};
  const uint32_t n_threads = std::min(kMostThreads, static_cast<uint32_t>(most_heads) * kWarp);
  for (int64_t row = 0; row < n_rows; row += n_at_once) {
    const RowsPlace place{.first = args.first + row, .n_keys = args.n_keys};
    arguments.place = stream.upload(std::span<const RowsPlace>(&place, 1));
    arguments.q = args.q.row(row);
    arguments.rows = rows.row(row);
    const Extent grid{.x = static_cast<uint32_t>(std::min(n_at_once, n_rows - row)),
                      .y = static_cast<uint32_t>(n_wanted)};
    stream.push(make_launch("matrix_state_rows", matrix_state_rows_kernel, grid, {.x = n_threads}, arguments));
  }
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
