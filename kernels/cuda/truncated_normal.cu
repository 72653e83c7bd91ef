#include "kernels/cuda/language.h"
#include "kernels/cuda/truncated_normal.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr uint32_t kThreads = 256;
constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;
constexpr double kMassInside = 0.99730020393673981;

struct TruncatedNormalArguments {
  float* out;
  const int64_t* positions;  // [n_rows]
  int64_t out_stride;
  int64_t n_rows;
  int64_t n_cols;
  uint64_t seed;
  double deviation;
};

__device__ uint64_t hashed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

__device__ double normal_quantile(double q) {
  if (fabs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q * (((59.109374720 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179) /
           (((67.187563600 * r + 78.757757664) * r + 17.895169469) * r + 1.0);
  }
  const double r = sqrt(-log(0.5 - fabs(q))) - 1.6;
  const double value = (((0.17023821103 * r + 1.3067284816) * r + 2.7568153900) * r + 1.4234372777) /
                       ((0.12021132975 * r + 0.73700164250) * r + 1.0);
  return q < 0.0 ? -value : value;
}

// A thread per number.
__global__ void truncated_normal_kernel(TruncatedNormalArguments a) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= a.n_rows * a.n_cols) return;
  const int64_t row = i / a.n_cols, col = i % a.n_cols;
  const uint64_t stream = hashed(a.seed + kGolden * (static_cast<uint64_t>(a.positions[row]) + 1));
  const uint64_t bits = hashed(stream + kGolden * (static_cast<uint64_t>(col) + 1)) >> 41;
  const double share = static_cast<double>(2 * bits + 1) / 16777216.0 - 0.5;
  a.out[row * a.out_stride + col] = static_cast<float>(a.deviation * normal_quantile(share * kMassInside));
}

}  // namespace

void truncated_normal(uint64_t seed, std::span<const int64_t> positions, float deviation, Matrix<float> out,
                      CommandStream& stream) {
  const TruncatedNormalArguments arguments{.out = out.data,
                                           .positions = stream.upload(positions),
                                           .out_stride = out.row_stride,
                                           .n_rows = out.n_rows,
                                           .n_cols = out.n_cols,
                                           .seed = seed,
                                           .deviation = double{deviation}};
  stream.push(make_launch("truncated_normal", truncated_normal_kernel,
                          {.x = blocks_for(out.n_rows * out.n_cols, kThreads)}, {.x = kThreads}, arguments));
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
