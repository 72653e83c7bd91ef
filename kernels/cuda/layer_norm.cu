#include "kernels/cuda/language.h"
#include "kernels/cuda/layer_norm.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr uint32_t kMostThreads = 256;

struct LayerNormArguments {
  const float* x;
  const float* weight;  // or null
  const float* bias;    // or null
  float* out;
  int64_t x_stride;
  int64_t out_stride;
  int64_t n_cols;
  uint32_t n_weights;
  uint32_t n_biases;
  float epsilon;
  uint32_t padding;
};

// A block per row.
__global__ void layer_norm_kernel(LayerNormArguments a) {
  ORRERY_SHARED(float, sums, kWarp);
  const float* const x = a.x + blockIdx.x * a.x_stride;
  float* const out = a.out + blockIdx.x * a.out_stride;
  const int64_t first_weight = blockIdx.x % a.n_weights * a.n_cols, first_bias = blockIdx.x % a.n_biases * a.n_cols;
  const auto n = static_cast<float>(a.n_cols);
  float sum = 0.0f, squares = 0.0f;
  for (int64_t i = threadIdx.x; i < a.n_cols; i += blockDim.x) sum += x[i];
  const float mean = block_sum(sum, sums) / n;
  for (int64_t i = threadIdx.x; i < a.n_cols; i += blockDim.x) squares = fmaf(x[i] - mean, x[i] - mean, squares);
  const float factor = 1.0f / sqrtf(block_sum(squares, sums) / n + a.epsilon);
  for (int64_t i = threadIdx.x; i < a.n_cols; i += blockDim.x) {
    const float weight = a.weight == nullptr ? 1.0f : a.weight[first_weight + i];
    out[i] = (x[i] - mean) * factor * weight + (a.bias == nullptr ? 0.0f : a.bias[first_bias + i]);
  }
}

}  // namespace

void layer_norm(Matrix<const float> x, RowWeights weight, RowWeights bias, float epsilon, Matrix<float> out,
                CommandStream& stream) {
  const LayerNormArguments arguments{.x = x.data,
                                     .weight = weight.data,
                                     .bias = bias.data,
                                     .out = out.data,
                                     .x_stride = x.row_stride,
                                     .out_stride = out.row_stride,
                                     .n_cols = x.n_cols,
                                     .n_weights = static_cast<uint32_t>(weight.n),
                                     .n_biases = static_cast<uint32_t>(bias.n),
                                     .epsilon = epsilon,
                                     .padding = 0};
  stream.push(make_launch("layer_norm", layer_norm_kernel, {.x = static_cast<uint32_t>(x.n_rows)},
                          {.x = threads_for(x.n_cols, kMostThreads)}, arguments));
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
