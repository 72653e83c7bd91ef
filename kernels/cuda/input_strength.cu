#include "kernels/cuda/input_strength.h"
#include "kernels/cuda/language.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr uint32_t kThreads = 256;

struct InputStrengthArguments {
  const float* rate;
  const float* log_decay;
  const int64_t* positions;
  float* out;
  int64_t rate_stride;
  int64_t out_stride;
  int64_t n_rows;
  int64_t n_cols;
};

__global__ void input_strength_kernel(InputStrengthArguments a) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= a.n_rows * a.n_cols) return;
  const int64_t row = i / a.n_cols, col = i % a.n_cols;
  const float log_of_square = 2.0f * a.rate[row * a.rate_stride + col] * a.log_decay[col];
  a.out[row * a.out_stride + col] = a.positions[row] == 0 ? 1.0f : sqrtf(-expm1f(log_of_square));
}

}  // namespace

void input_strength(Matrix<const float> rate, const float* log_decay, std::span<const int64_t> positions,
                    Matrix<float> out, CommandStream& stream) {
  const InputStrengthArguments arguments{.rate = rate.data,
                                         .log_decay = log_decay,
                                         .positions = stream.upload(positions),
                                         .out = out.data,
                                         .rate_stride = rate.row_stride,
                                         .out_stride = out.row_stride,
                                         .n_rows = out.n_rows,
                                         .n_cols = out.n_cols};
  stream.push(make_launch("input_strength", input_strength_kernel, {.x = blocks_for(out.n_rows * out.n_cols, kThreads)},
                          {.x = kThreads}, arguments));
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
