#include "kernels/cuda/expert_matmul.h"
#include "kernels/cuda/expert_tiles.h"
#include "kernels/cuda/packed_products.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr int64_t kFewRows = 8;     // which are multiplied one by one
constexpr size_t kMostTargets = 3;  // of a launch

// The weights of one product, and the first of the grid's blocks that are for it.
struct ChosenTarget {
  ExpertPlaces weights;
  ExpertPlaces biases;
  float* out;
  int64_t out_stride;
  uint32_t n_out;
  uint32_t first_block;
};

struct ChosenArguments {
  const float* x;
  const int32_t* experts;  // [n_rows, n_chosen] or null
  int64_t x_stride;
  int64_t row_bytes;    // of each weight
  uint32_t rows_per_x;  // choices that share a row of x
  uint32_t n_blocks;    // of a row of a weight
  uint32_t n_targets;
  uint32_t n_chosen;
  ChosenTarget targets[kMostTargets];
};

// A block for a choice (x) and kOutputs outputs of its expert (y).
template <class Format>
__global__ void __launch_bounds__(resident_threads(1)) chosen_kernel(ChosenArguments a) {
  ORRERY_SHARED(float, of_warps, kMostWarps* kOutputs);
  uint32_t index = 0;
  while (index + 1 < a.n_targets && blockIdx.y >= a.targets[index + 1].first_block) ++index;
  const ChosenTarget& target = a.targets[index];
  const uint32_t first_output = (blockIdx.y - target.first_block) * kOutputs;
  const int32_t expert = a.experts == nullptr ? static_cast<int32_t>(blockIdx.x % a.n_chosen) : a.experts[blockIdx.x];
  // Beyond the last output the last one is read again, and not written.
  const uint8_t* weights[kOutputs];
  ORRERY_UNROLL for (uint32_t o = 0; o < kOutputs; ++o) {
    const uint32_t output = first_output + o < target.n_out ? first_output + o : target.n_out - 1;
    weights[o] = target.weights.of<uint8_t>(expert) + output * a.row_bytes;
  }
  const uint32_t rows[1] = {0};
  float sums[kOutputs] = {};
  add_rows<Format, 1>(weights, a.n_blocks, a.x + blockIdx.x / a.rows_per_x * a.x_stride, rows, sums);

  constexpr uint32_t kLanes = kWarp / kOutputs;  // with the same sum
  const float of_warp = warp_sums<kOutputs>(sums);
  const uint32_t warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  if (lane % kLanes == 0) of_warps[warp * kOutputs + lane / kLanes] = of_warp;
  __syncthreads();
  const uint32_t output = first_output + threadIdx.x;
  if (threadIdx.x >= kOutputs || output >= target.n_out) return;
  float sum = of_warps[threadIdx.x];
  for (uint32_t w = 1; w < blockDim.x / kWarp; ++w) sum += of_warps[w * kOutputs + threadIdx.x];
  target.out[blockIdx.x * target.out_stride + output] =
      target.biases.first == nullptr ? sum : sum + target.biases.of<float>(expert)[output];
}

// Products of one format, at most kMostTargets.
void multiply_chosen(Matrix<const float> x, const Routes& routes, std::span<const ExpertProduct> products,
                     CommandStream& stream) {
  with_format(least_wide(products.front()), [&]<class Format>(Format) {
    if constexpr (Format::kRun > 1) x = aligned_rows(x, stream);
    ChosenArguments arguments{.x = x.data,
                              .experts = routes.experts,
                              .x_stride = x.row_stride,
                              .row_bytes = static_cast<int64_t>(
                                  row_bytes(products.front().weights.front().dtype, static_cast<size_t>(x.n_cols))),
                              .rows_per_x = x.n_rows == routes.n_rows ? static_cast<uint32_t>(routes.n_chosen) : 1u,
                              .n_blocks = static_cast<uint32_t>(x.n_cols / Format::kBlock),
                              .n_targets = static_cast<uint32_t>(products.size()),
                              .n_chosen = static_cast<uint32_t>(routes.n_chosen),
                              .targets = {}};
    int64_t n_groups = 0;
    for (size_t i = 0; i < products.size(); ++i) {
      const ExpertProduct& product = products[i];
      arguments.targets[i] = {.weights = places_of(product.weights, stream),
                              .biases = places_of(product.biases, stream),
                              .out = product.out.data,
                              .out_stride = product.out.row_stride,
                              .n_out = static_cast<uint32_t>(product.out.n_cols),
                              .first_block = static_cast<uint32_t>(n_groups)};
      n_groups += (product.out.n_cols + kOutputs - 1) / kOutputs;
    }
    const int64_t n_choices = routes.n_rows * routes.n_chosen;
    const uint32_t n_warps = warps_of_a_block<Format>(arguments.n_blocks, n_groups * n_choices);
    stream.push(make_launch("expert_matmul", chosen_kernel<Format>,
                            {.x = static_cast<uint32_t>(n_choices), .y = static_cast<uint32_t>(n_groups)},
                            {.x = n_warps * kWarp}, arguments));
  });
}

}  // namespace

void expert_matmul(Matrix<const float> x, const Routes& routes, std::span<const ExpertProduct> products,
                   CommandStream& stream) {
  if (routes.n_rows == 0) return;
  if (routes.n_rows > kFewRows) return multiply_by_tiles(x, routes, products, stream);
  while (!products.empty()) {
    const TensorView& first = least_wide(products.front());
    size_t n = 1;
    while (n < products.size() && n < kMostTargets && products[n].weights.front().dtype == first.dtype &&
           is_wide(least_wide(products[n])) == is_wide(first)) {
      ++n;
    }
    multiply_chosen(x, routes, products.first(n), stream);
    products = products.subspan(n);
  }
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
