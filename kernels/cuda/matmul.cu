#include "kernels/cuda/embedding.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/weight_formats.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

// Few rows: packed weights times vectors.

constexpr int64_t kFewRows = 8;
constexpr int kOutputs = 2;              // of a block: a run of x serves so many weights
constexpr uint32_t kMostWarps = 8;       // of a block, which share its outputs
constexpr int64_t kWarpsWanted = 16384;  // enough to hide the memory's latency on the largest device
constexpr int64_t kLeastWarps = 2;

struct VectorsArguments {
  const float* x;
  const uint8_t* weight;
  const float* bias;
  float* out;
  int64_t x_stride;
  int64_t out_stride;
  int64_t row_bytes;
  int64_t n_out;
  int64_t n_parts;  // of a row
  int64_t n_rows;
};

template <int kRun>
__device__ void load_run(const float* x, float (&values)[kRun]) {
  if constexpr (kRun == 4) {
    const Float4 four = *reinterpret_cast<const Float4*>(x);
    for (int i = 0; i < kRun; ++i) values[i] = four.value[i];
  } else {
    for (int i = 0; i < kRun; ++i) values[i] = x[i];
  }
}

// The sums over a warp of kSums values: lane i has that of value i / (32 / kSums). In every step lanes give away half
// of their values for the other half of a neighbour's, so that few shuffles do, each sum in the order of warp_sum().
template <int kSums>
__device__ float warp_sums(float (&values)[kSums]) {
  int n = kSums;
  for (uint32_t offset = kWarp / 2; offset > 0; offset /= 2) {
    if (n == 1) {
      values[0] += __shfl_xor_sync(kWholeWarp, values[0], offset);
      continue;
    }
    n /= 2;
    const bool upper = (threadIdx.x & offset) != 0;
    for (int i = 0; i < n; ++i) {
      const float given = upper ? values[i] : values[i + n];
      const float kept = upper ? values[i + n] : values[i];
      values[i] = kept + __shfl_xor_sync(kWholeWarp, given, offset);
    }
  }
  return values[0];
}

// A block for kOutputs outputs of up to kRows rows: its warps take turns along the rows of the weight. What a thread
// adds up, and in which order, does not depend on the number of rows.
template <class Format, int kRows>
__global__ void vectors_kernel(VectorsArguments a) {
  constexpr int kSums = kOutputs * kRows;
  ORRERY_SHARED(float, of_warps, kMostWarps* kSums);
  const int64_t first_output = int64_t{blockIdx.x} * kOutputs;
  const uint8_t* weight[kOutputs];
  for (int o = 0; o < kOutputs; ++o) {
    const int64_t output = first_output + o < a.n_out ? first_output + o : a.n_out - 1;
    weight[o] = a.weight + output * a.row_bytes;
  }
  const float* x[kRows];
  for (int r = 0; r < kRows; ++r) x[r] = a.x + (r < a.n_rows ? r : a.n_rows - 1) * a.x_stride;

  float sums[kSums] = {};
  for (int64_t i = threadIdx.x; i < a.n_parts; i += blockDim.x) {
    const int64_t block = i / Format::kParts;
    const int part = static_cast<int>(i % Format::kParts);
    typename Format::Part parts[kOutputs];
    for (int o = 0; o < kOutputs; ++o) parts[o] = Format::load(weight[o] + block * Format::kBytes, part);
    for (int g = 0; g < Format::kGroups; ++g) {
      float of_group[kSums] = {};
      float of_x[kRows] = {};
      for (int run = 0; run < Format::kRuns; ++run) {
        float w[kOutputs][Format::kRun];
        for (int o = 0; o < kOutputs; ++o) Format::unscaled(parts[o], g, run, w[o]);
        const int64_t element = block * Format::kBlock + Format::element(part, g, run);
        for (int r = 0; r < kRows; ++r) {
          float values[Format::kRun];
          load_run(x[r] + element, values);
          for (int j = 0; j < Format::kRun; ++j) {
            for (int o = 0; o < kOutputs; ++o) {
              float& sum = of_group[o * kRows + r];
              sum = fmaf(w[o][j], values[j], sum);
            }
            if constexpr (Format::kLeast) of_x[r] += values[j];
          }
        }
      }
      for (int o = 0; o < kOutputs; ++o) {
        for (int r = 0; r < kRows; ++r) {
          float& sum = sums[o * kRows + r];
          if constexpr (Format::kScaled) {
            sum = fmaf(parts[o].scale[g], of_group[o * kRows + r], sum);
          } else {
            sum += of_group[o * kRows + r];
          }
          if constexpr (Format::kLeast) sum = fmaf(parts[o].least[g], of_x[r], sum);
        }
      }
    }
  }

  const float of_warp = warp_sums(sums);
  const uint32_t warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  if (lane % (kWarp / kSums) == 0) of_warps[warp * kSums + lane / (kWarp / kSums)] = of_warp;
  __syncthreads();
  if (threadIdx.x >= kSums) return;
  const int64_t output = first_output + threadIdx.x / kRows, row = threadIdx.x % kRows;
  if (output >= a.n_out || row >= a.n_rows) return;
  float sum = of_warps[threadIdx.x];
  for (uint32_t w = 1; w < blockDim.x / kWarp; ++w) sum += of_warps[w * kSums + threadIdx.x];
  a.out[row * a.out_stride + output] = a.bias == nullptr ? sum : sum + a.bias[output];
}

// x, or where its rows cannot be read four values at once, a copy.
Matrix<const float> aligned_rows(Matrix<const float> x, CommandStream& stream) {
  if (reinterpret_cast<uintptr_t>(x.data) % sizeof(Float4) == 0 && x.row_stride % 4 == 0) return x;
  const int64_t stride = (x.n_cols + 3) / 4 * 4;
  const Matrix<float> copy(stream.scratch_floats(x.n_rows * stride), x.n_rows, x.n_cols, stride);
  for (int64_t r = 0; r < x.n_rows; ++r) {
    stream.push_copy({.to = reinterpret_cast<std::byte*>(copy.row(r)),
                      .from = reinterpret_cast<const std::byte*>(x.row(r)),
                      .n_bytes = static_cast<size_t>(x.n_cols) * sizeof(float)});
  }
  return copy;
}

template <class Format, int kRows>
void push_vectors(const VectorsArguments& arguments, CommandStream& stream) {
  const int64_t n_blocks = (arguments.n_out + kOutputs - 1) / kOutputs;
  const int64_t n_turns = (arguments.n_parts + kWarp - 1) / kWarp;
  const int64_t wanted = std::clamp(kWarpsWanted / n_blocks, kLeastWarps, int64_t{kMostWarps});
  const uint32_t n_warps = static_cast<uint32_t>(std::max<int64_t>(1, std::min(wanted, n_turns)));
  stream.push(make_launch("matmul", vectors_kernel<Format, kRows>, {.x = static_cast<uint32_t>(n_blocks)},
                          {.x = n_warps * kWarp}, arguments));
}

void multiply_few(Matrix<const float> x, const TensorView& weight, const float* bias, Matrix<float> out,
                  CommandStream& stream) {
  with_format(weight, [&]<class Format>(Format) {
    const Matrix<const float> rows = Format::kRun == 1 ? x : aligned_rows(x, stream);
    const VectorsArguments arguments{
        .x = rows.data,
        .weight = reinterpret_cast<const uint8_t*>(weight.data),
        .bias = bias,
        .out = out.data,
        .x_stride = rows.row_stride,
        .out_stride = out.row_stride,
        .row_bytes = static_cast<int64_t>(row_bytes(weight.dtype, static_cast<size_t>(x.n_cols))),
        .n_out = out.n_cols,
        .n_parts = x.n_cols / Format::kBlock * Format::kParts,
        .n_rows = x.n_rows};
    if (x.n_rows == 1) return push_vectors<Format, 1>(arguments, stream);
    if (x.n_rows == 2) return push_vectors<Format, 2>(arguments, stream);
    if (x.n_rows <= 4) return push_vectors<Format, 4>(arguments, stream);
    return push_vectors<Format, kFewRows>(arguments, stream);
  });
}

// Many rows: cuBLAS, on weights in f32.

constexpr int64_t kMostDequantized = int64_t{16} << 20;  // floats at once
constexpr uint32_t kBiasThreads = 256;

struct BiasArguments {
  const float* bias;
  float* out;
  int64_t out_stride;
  int64_t n_rows;
  int64_t n_out;
};

__global__ void bias_kernel(BiasArguments a) {
  const int64_t thread = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const int64_t row = thread / a.n_out, output = thread - row * a.n_out;
  if (row < a.n_rows) a.out[row * a.out_stride + output] += a.bias[output];
}

void multiply_many(Matrix<const float> x, const TensorView& weight, const float* bias, Matrix<float> out,
                   CommandStream& stream) {
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
  if (bias == nullptr) return;
  const BiasArguments arguments{bias, out.data, out.row_stride, out.n_rows, out.n_cols};
  stream.push(make_launch("bias", bias_kernel, {.x = blocks_for(out.n_rows * out.n_cols, kBiasThreads)},
                          {.x = kBiasThreads}, arguments));
}

}  // namespace

void matmul(Matrix<const float> x, const TensorView& weight, const float* bias, Matrix<float> out,
            CommandStream& stream) {
  if (x.n_rows == 0 || out.n_cols == 0) return;
  if (x.n_rows <= kFewRows) {
    multiply_few(x, weight, bias, out, stream);
  } else {
    multiply_many(x, weight, bias, out, stream);
  }
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
