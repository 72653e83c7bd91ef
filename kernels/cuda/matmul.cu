#include "kernels/cuda/embedding.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/packed_products.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

// Few rows: packed weights times vectors.

constexpr int64_t kFewRows = 8;
constexpr size_t kMostTargets = 4;  // of a launch

// A weight, and the first of the grid's blocks that are for it.
struct VectorsTarget {
  const uint8_t* weight;
  const float* bias;
  float* out;
  int64_t out_stride;
  uint32_t n_out;
  uint32_t first_block;
};

struct VectorsArguments {
  const float* x;
  int64_t row_bytes;  // of each weight
  uint32_t x_stride;
  uint32_t n_rows;
  uint32_t n_blocks;  // of a row of a weight
  uint32_t n_targets;
  VectorsTarget targets[kMostTargets];
};

// A block for kOutputs outputs of up to kRows rows: its threads take turns along the rows of the weight. What a thread
// adds up, and in which order, does not depend on the number of rows.
template <class Format, int kRows>
__global__ void __launch_bounds__(resident_threads(kRows)) vectors_kernel(VectorsArguments a) {
  constexpr int kSums = kOutputs * kRows;
  ORRERY_SHARED(float, of_warps, kMostWarps* kSums);
  uint32_t index = 0;
  while (index + 1 < a.n_targets && blockIdx.x >= a.targets[index + 1].first_block) ++index;
  const VectorsTarget& target = a.targets[index];
  const uint32_t first_output = (blockIdx.x - target.first_block) * kOutputs;
  // Beyond the last output and row the last ones are read again, and not written.
  const uint8_t* weights[kOutputs];
  ORRERY_UNROLL for (uint32_t o = 0; o < kOutputs; ++o) {
    const uint32_t output = first_output + o < target.n_out ? first_output + o : target.n_out - 1;
    weights[o] = target.weight + output * a.row_bytes;
  }
  uint32_t rows[kRows];
  ORRERY_UNROLL for (uint32_t r = 0; r < kRows; ++r) rows[r] = (r < a.n_rows ? r : a.n_rows - 1) * a.x_stride;
  float sums[kSums] = {};
  add_rows<Format, kRows>(weights, a.n_blocks, a.x, rows, sums);

  constexpr uint32_t kLanes = kWarp / kSums;  // with the same sum
  const float of_warp = warp_sums<kSums>(sums);
  const uint32_t warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  if (lane % kLanes == 0) of_warps[warp * kSums + lane / kLanes] = of_warp;
  __syncthreads();
  const uint32_t output = first_output + threadIdx.x / kRows, row = threadIdx.x % kRows;
  if (threadIdx.x >= kSums || output >= target.n_out || row >= a.n_rows) return;
  float sum = of_warps[threadIdx.x];
  for (uint32_t w = 1; w < blockDim.x / kWarp; ++w) sum += of_warps[w * kSums + threadIdx.x];
  target.out[row * target.out_stride + output] = target.bias == nullptr ? sum : sum + target.bias[output];
}

template <class Format, int kRows>
void push_vectors(const VectorsArguments& arguments, int64_t n_groups, CommandStream& stream) {
  const uint32_t n_warps = warps_of_a_block<Format>(arguments.n_blocks, n_groups);
  stream.push(make_launch("matmul", vectors_kernel<Format, kRows>, {.x = static_cast<uint32_t>(n_groups)},
                          {.x = n_warps * kWarp}, arguments));
}

// Targets of one format, at most kMostTargets.
void multiply_few(Matrix<const float> x, std::span<const MatmulTarget> targets, CommandStream& stream) {
  with_format(targets.front().weight, [&]<class Format>(Format) {
    if constexpr (Format::kRun > 1) x = aligned_rows(x, stream);
    VectorsArguments arguments{
        .x = x.data,
        .row_bytes = static_cast<int64_t>(row_bytes(targets.front().weight.dtype, static_cast<size_t>(x.n_cols))),
        .x_stride = static_cast<uint32_t>(x.row_stride),
        .n_rows = static_cast<uint32_t>(x.n_rows),
        .n_blocks = static_cast<uint32_t>(x.n_cols / Format::kBlock),
        .n_targets = static_cast<uint32_t>(targets.size()),
        .targets = {}};
    int64_t n_groups = 0;
    for (size_t i = 0; i < targets.size(); ++i) {
      const MatmulTarget& target = targets[i];
      arguments.targets[i] = {.weight = reinterpret_cast<const uint8_t*>(target.weight.data),
                              .bias = target.bias.empty() ? nullptr : target.bias.data(),
                              .out = target.out.data,
                              .out_stride = target.out.row_stride,
                              .n_out = static_cast<uint32_t>(target.out.n_cols),
                              .first_block = static_cast<uint32_t>(n_groups)};
      n_groups += (target.out.n_cols + kOutputs - 1) / kOutputs;
    }
    if (x.n_rows == 1) return push_vectors<Format, 1>(arguments, n_groups, stream);
    if (x.n_rows == 2) return push_vectors<Format, 2>(arguments, n_groups, stream);
    if (x.n_rows <= 4) return push_vectors<Format, 4>(arguments, n_groups, stream);
    return push_vectors<Format, kFewRows>(arguments, n_groups, stream);
  });
}

// Many rows: cuBLAS, on weights in f32.

constexpr int64_t kMostDequantized = int64_t{16} << 20;  // floats at once
constexpr uint32_t kBiasThreads = 256;

struct BiasArguments {
  const float* bias;
  float* out;
  int64_t out_stride;
  uint32_t n_rows;
  uint32_t n_out;
};

__global__ void bias_kernel(BiasArguments a) {
  const uint32_t thread = blockIdx.x * kBiasThreads + threadIdx.x;
  const uint32_t row = thread / a.n_out, output = thread - row * a.n_out;
  if (row < a.n_rows) a.out[row * a.out_stride + output] += a.bias[output];
}

void multiply_many(Matrix<const float> x, const MatmulTarget& target, CommandStream& stream) {
  const TensorView& weight = target.weight;
  const Matrix<float> out = target.out;
  const auto push_product = [&](const float* dequantized, int64_t first_output, int64_t n_outputs) {
    stream.push(Gemm{.x = x.data,
                     .weight = dequantized,
                     .out = out.data + first_output,
                     .x_stride = x.row_stride,
                     .out_stride = out.row_stride,
                     .n_rows = x.n_rows,
                     .n_out = n_outputs,
                     .n_in = x.n_cols});
  };
  if (weight.dtype == DType::kF32) {
    push_product(weight.f32(), 0, out.n_cols);
  } else {
    const int64_t n_at_once = std::clamp<int64_t>(kMostDequantized / x.n_cols, 1, out.n_cols);
    auto* const dequantized =
        reinterpret_cast<float*>(stream.shared_scratch(static_cast<size_t>(n_at_once * x.n_cols) * sizeof(float)));
    for (int64_t first = 0; first < out.n_cols; first += n_at_once) {
      const int64_t n = std::min(n_at_once, out.n_cols - first);
      dequantize_rows(weight, first, {dequantized, n, x.n_cols}, stream);
      push_product(dequantized, first, n);
    }
  }
  if (target.bias.empty()) return;
  const BiasArguments arguments{target.bias.data(), out.data, out.row_stride, static_cast<uint32_t>(out.n_rows),
                                static_cast<uint32_t>(out.n_cols)};
  stream.push(make_launch("bias", bias_kernel, {.x = blocks_for(out.n_rows * out.n_cols, kBiasThreads)},
                          {.x = kBiasThreads}, arguments));
}

}  // namespace

void matmul(Matrix<const float> x, std::span<const MatmulTarget> targets, CommandStream& stream) {
  if (x.n_rows == 0) return;
  if (x.n_rows > kFewRows) {
    for (const MatmulTarget& target : targets) multiply_many(x, target, stream);
    return;
  }
  while (!targets.empty()) {
    const TensorView& first = targets.front().weight;
    size_t n = 1;
    while (n < targets.size() && n < kMostTargets && targets[n].weight.dtype == first.dtype &&
           is_wide(targets[n].weight) == is_wide(first)) {
      ++n;
    }
    multiply_few(x, targets.first(n), stream);
    targets = targets.subspan(n);
  }
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
