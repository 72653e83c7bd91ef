#include "kernels/cuda/language.h"
#include "kernels/cuda/rope.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr uint32_t kThreads = 128;

struct RopeArguments {
  float* x;
  const float* table;  // [n_rows, 2, n_pairs]
  int64_t x_stride;
  int64_t n_pairs;
  int64_t n_heads;
  int32_t d_head;
  RopePairing pairing;
};

// Blocks over a row's pairs (x) and rows (y); a thread turns one pair.
__global__ void rope_kernel(RopeArguments a) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= a.n_heads * a.n_pairs) return;
  const int64_t row = blockIdx.y, head = i / a.n_pairs, pair = i % a.n_pairs;
  const float* const turns = a.table + row * 2 * a.n_pairs;
  const float cosine = turns[pair], sine = turns[a.n_pairs + pair];
  float* const x = a.x + row * a.x_stride + head * a.d_head;
  const bool adjacent = a.pairing == RopePairing::kAdjacent;
  const int64_t first = adjacent ? 2 * pair : pair, second = adjacent ? 2 * pair + 1 : pair + a.n_pairs;
  const float u = x[first], v = x[second];
  x[first] = u * cosine - v * sine;
  x[second] = v * cosine + u * sine;
}

}  // namespace

void rope(Matrix<float> x, const float* table, int64_t n_pairs, int32_t d_head, RopePairing pairing,
          CommandStream& stream) {
  RopeArguments arguments;
  memset(&arguments, 0, sizeof(arguments));  // padding too
  arguments.x = x.data;
  arguments.table = table;
  arguments.x_stride = x.row_stride;
  arguments.n_pairs = n_pairs;
  arguments.n_heads = x.n_cols / d_head;
  arguments.d_head = d_head;
  arguments.pairing = pairing;
  const Extent grid{.x = blocks_for(arguments.n_heads * n_pairs, kThreads), .y = static_cast<uint32_t>(x.n_rows)};
  stream.push(make_launch("rope", rope_kernel, grid, {.x = kThreads}, arguments));
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
