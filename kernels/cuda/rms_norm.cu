#include "kernels/cuda/language.h"
#include "kernels/cuda/rms_norm.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr uint32_t kMostThreads = 256;

struct RmsNormArguments {
  const float* x;
  const float* weight;
  float* out;
  int64_t x_stride;
  int64_t out_stride;
  int64_t n_cols;
  float epsilon;
  uint32_t n_weights;
};

// A block per row.
__global__ void rms_norm_kernel(RmsNormArguments a) {
  ORRERY_SHARED(float, sums, kWarp);
  const float* const x = a.x + blockIdx.x * a.x_stride;
  float* const out = a.out + blockIdx.x * a.out_stride;
  const float* const weight = a.weight + blockIdx.x % a.n_weights * a.n_cols;
  float sum = 0.0f;
  for (int64_t i = threadIdx.x; i < a.n_cols; i += blockDim.x) sum = fmaf(x[i], x[i], sum);
  const float factor = 1.0f / sqrtf(block_sum(sum, sums) / static_cast<float>(a.n_cols) + a.epsilon);
  for (int64_t i = threadIdx.x; i < a.n_cols; i += blockDim.x) {
    out[i] = x[i] * factor * (a.weight == nullptr ? 1.0f : weight[i]);
  }
}

}  // namespace

void rms_norm(Matrix<const float> x, const float* weight, int64_t n_weights, float epsilon, Matrix<float> out,
              CommandStream& stream) {
  const RmsNormArguments arguments{x.data,         weight,   out.data, x.row_stride,
                                   out.row_stride, x.n_cols, epsilon,  static_cast<uint32_t>(n_weights)};
  stream.push(make_launch("rms_norm", rms_norm_kernel, {.x = static_cast<uint32_t>(x.n_rows)},
                          {.x = threads_for(x.n_cols, kMostThreads)}, arguments));
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
