// CUDA C++ for the kernels of this folder, or its emulation on the host: a kernel source includes this and nothing of
// CUDA itself. What both offer: __global__, __device__, threadIdx, blockIdx, blockDim, gridDim, __syncthreads,
// __syncwarp, shuffles and votes of whole warps, atomicAdd and atomicMax, and what stands below.
//
//   ORRERY_SHARED(float, sums, 32);        // a block's shared array; index it, pass it to templates as `auto& sums`
//   ORRERY_DYNAMIC_SHARED(float, values);  // of the size that the launch gives
//   ORRERY_UNROLL for (...)                // whole, so that arrays that the loop indexes stay in registers
//
// Products and sums are not contracted (nvcc runs with -fmad=false), so that emulation and device agree; write fmaf()
// where a fused multiply-add is wanted.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.h"

#ifdef ORRERY_CUDA_EMULATED

#include "kernels/cuda/emulation.h"

#define ORRERY_UNROLL  // the host's compiler decides

#else

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define ORRERY_UNROLL _Pragma("unroll")
#define ORRERY_SHARED(T, name, n) __shared__ T name[n]
#define ORRERY_DYNAMIC_SHARED(T, name)                                   \
  extern __shared__ __align__(16) unsigned char orrery_dynamic_shared[]; \
  T* const name = reinterpret_cast<T*>(orrery_dynamic_shared)

namespace orrery::cuda {

__device__ inline float half_to_float(uint16_t bits) { return __half2float(__ushort_as_half(bits)); }
__device__ inline uint16_t float_to_half(float value) { return __half_as_ushort(__float2half_rn(value)); }
__device__ inline float bits_to_float(uint32_t bits) { return __uint_as_float(bits); }
__device__ inline uint32_t float_to_bits(float value) { return __float_as_uint(value); }

}  // namespace orrery::cuda

#endif

namespace orrery::ORRERY_CUDA_NAMESPACE {

inline constexpr uint32_t kWarp = 32;
inline constexpr uint32_t kWholeWarp = 0xffffffffu;

__device__ inline float infinity() { return bits_to_float(0x7f800000u); }

__device__ inline float warp_sum(float value) {
  for (uint32_t offset = kWarp / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kWholeWarp, value, offset);
  return value;
}

__device__ inline double warp_sum(double value) {
  for (uint32_t offset = kWarp / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kWholeWarp, value, offset);
  return value;
}

__device__ inline float warp_max(float value) {
  for (uint32_t offset = kWarp / 2; offset > 0; offset /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kWholeWarp, value, offset));
  }
  return value;
}

// The sums of n values over each 2 * kOffset lanes: lane i of these gets that of value i / (2 * kOffset / n). In every
// step a lane gives half of its values to the lane `kOffset` away for the other half of that lane's, so that few
// shuffles do; each sum is added up in the order of warp_sum().
template <int n, uint32_t kOffset = kWarp / 2, int kSums>
__device__ inline float warp_sums(float (&values)[kSums]) {
  if constexpr (kOffset == 0) {
    return values[0];
  } else if constexpr (n == 1) {
    values[0] += __shfl_xor_sync(kWholeWarp, values[0], kOffset);
    return warp_sums<1, kOffset / 2>(values);
  } else {
    const bool upper = (threadIdx.x & kOffset) != 0;
    ORRERY_UNROLL for (int i = 0; i < n / 2; ++i) {
      const float given = upper ? values[i] : values[i + n / 2];
      const float kept = upper ? values[i + n / 2] : values[i];
      values[i] = kept + __shfl_xor_sync(kWholeWarp, given, kOffset);
    }
    return warp_sums<n / 2, kOffset / 2>(values);
  }
}

// The sum over a block of whole warps along x, in a fixed order, to every thread. shared: at least a warp's number of
// T.
template <typename T, typename Shared>
__device__ inline T block_sum(T value, Shared& shared) {
  value = warp_sum(value);
  const uint32_t lane = threadIdx.x % kWarp, n_warps = blockDim.x / kWarp;
  __syncthreads();  // the array may be in use by an earlier call
  if (lane == 0) shared[threadIdx.x / kWarp] = value;
  __syncthreads();
  return warp_sum(lane < n_warps ? static_cast<T>(shared[lane]) : T(0));
}

// The greatest value over a block of whole warps along x, to every thread.
template <typename Shared>
__device__ inline float block_max(float value, Shared& shared) {
  value = warp_max(value);
  const uint32_t lane = threadIdx.x % kWarp, n_warps = blockDim.x / kWarp;
  __syncthreads();
  if (lane == 0) shared[threadIdx.x / kWarp] = value;
  __syncthreads();
  return warp_max(lane < n_warps ? static_cast<float>(shared[lane]) : -infinity());
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
