#include "kernels/cuda/language.h"
#include "kernels/cuda/row_norm.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr uint32_t kMostThreads = 128;

struct GroupNormsArguments {
  const float* x;
  float* out;
  int64_t x_stride;
  int64_t out_stride;
  int64_t group_size;
};

// A block per row (x) and group (y). In double: squares of float32 cannot overflow, and the norm is finite wherever it
// itself fits.
__global__ void group_norms_kernel(GroupNormsArguments a) {
  ORRERY_SHARED(double, sums, kWarp);
  const float* const x = a.x + blockIdx.x * a.x_stride + blockIdx.y * a.group_size;
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < a.group_size; i += blockDim.x) sum += double{x[i]} * double{x[i]};
  sum = block_sum(sum, sums);
  if (threadIdx.x == 0) a.out[blockIdx.x * a.out_stride + blockIdx.y] = static_cast<float>(sqrt(sum));
}

struct MeanMagnitudesArguments {
  const float* x;
  float* out;
  int64_t x_stride;
  int64_t out_stride;
  int64_t n_cols;
};

// A block per row.
__global__ void mean_magnitudes_kernel(MeanMagnitudesArguments a) {
  ORRERY_SHARED(double, sums, kWarp);
  const float* const x = a.x + blockIdx.x * a.x_stride;
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < a.n_cols; i += blockDim.x) sum += double{fabsf(x[i])};
  sum = block_sum(sum, sums);
  if (threadIdx.x == 0) a.out[blockIdx.x * a.out_stride] = static_cast<float>(sum / static_cast<double>(a.n_cols));
}

struct GroupDotsArguments {
  const float* a;
  const float* b;
  float* out;
  int64_t a_stride;
  int64_t b_stride;
  int64_t out_stride;
  int64_t group_size;
};

// A block per row (x) and group (y).
__global__ void group_dots_kernel(GroupDotsArguments a) {
  ORRERY_SHARED(double, sums, kWarp);
  const float* const x = a.a + blockIdx.x * a.a_stride + blockIdx.y * a.group_size;
  const float* const y = a.b + blockIdx.x * a.b_stride + blockIdx.y * a.group_size;
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < a.group_size; i += blockDim.x) sum += double{x[i]} * double{y[i]};
  sum = block_sum(sum, sums);
  if (threadIdx.x == 0) a.out[blockIdx.x * a.out_stride + blockIdx.y] = static_cast<float>(sum);
}

}  // namespace

void group_norms(Matrix<const float> x, int64_t group_size, StatSlot out, CommandStream& stream) {
  const GroupNormsArguments arguments{x.data, out.data, x.row_stride, out.row_stride, group_size};
  const Extent grid{.x = static_cast<uint32_t>(x.n_rows), .y = static_cast<uint32_t>(x.n_cols / group_size)};
  stream.push(
      make_launch("group_norms", group_norms_kernel, grid, {.x = threads_for(group_size, kMostThreads)}, arguments));
}

void mean_magnitudes(Matrix<const float> x, StatSlot out, CommandStream& stream) {
  const MeanMagnitudesArguments arguments{x.data, out.data, x.row_stride, out.row_stride, x.n_cols};
  stream.push(make_launch("mean_magnitudes", mean_magnitudes_kernel, {.x = static_cast<uint32_t>(x.n_rows)},
                          {.x = threads_for(x.n_cols, kMostThreads)}, arguments));
}

void group_dots(Matrix<const float> a, Matrix<const float> b, Matrix<float> out, CommandStream& stream) {
  const int64_t group_size = a.n_cols / out.n_cols;
  const GroupDotsArguments arguments{a.data, b.data, out.data, a.row_stride, b.row_stride, out.row_stride, group_size};
  const Extent grid{.x = static_cast<uint32_t>(out.n_rows), .y = static_cast<uint32_t>(out.n_cols)};
  stream.push(
      make_launch("group_dots", group_dots_kernel, grid, {.x = threads_for(group_size, kMostThreads)}, arguments));
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
