// Products of packed weights, as they lie in memory, with few rows of x: what a block's threads do in matmul and
// expert_matmul. Internal to these.
#pragma once

#include <algorithm>

#include "kernels/base/tensor.h"
#include "kernels/cuda/command_stream.h"
#include "kernels/cuda/weight_formats.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

inline constexpr int kOutputs = 2;              // of a block: a run of x serves so many weights
inline constexpr uint32_t kMostWarps = 8;       // of a block, which share its outputs
inline constexpr int64_t kWarpsWanted = 16384;  // enough to hide the memory's latency on the largest device
inline constexpr int64_t kLeastWarps = 2;

// Warps of each of n_groups blocks, for rows of n_blocks blocks of a weight.
template <class Format>
uint32_t warps_of_a_block(int64_t n_blocks, int64_t n_groups) {
  const int64_t n_turns = (n_blocks * Format::kParts + kWarp - 1) / kWarp;
  const int64_t wanted = std::clamp(kWarpsWanted / n_groups, kLeastWarps, int64_t{kMostWarps});
  return static_cast<uint32_t>(std::clamp<int64_t>(n_turns, 1, wanted));
}

template <int kRun>
__device__ inline void load_run(const float* x, float (&values)[kRun]) {
  if constexpr (kRun == 4) {
    const Float4 four = *reinterpret_cast<const Float4*>(x);
    for (int i = 0; i < kRun; ++i) values[i] = four.value[i];
  } else {
    for (int i = 0; i < kRun; ++i) values[i] = x[i];
  }
}

// Adds the products of a part of a block, of kOutputs weights, with kRows rows of x. Sum o * kRows + r is that of
// output o and row r.
template <class Format, int kRows>
__device__ void add_products(const typename Format::Part (&parts)[kOutputs], const float* x,
                             const uint32_t (&rows)[kRows], float (&sums)[kOutputs * kRows]) {
  ORRERY_UNROLL for (int g = 0; g < Format::kGroups; ++g) {
    float of_group[kOutputs * kRows] = {};
    float of_x[kRows] = {};
    ORRERY_UNROLL for (int run = 0; run < Format::kRuns; ++run) {
      float w[kOutputs][Format::kRun];
      ORRERY_UNROLL for (int o = 0; o < kOutputs; ++o) Format::unscaled(parts[o], g, run, w[o]);
      ORRERY_UNROLL for (int r = 0; r < kRows; ++r) {
        float values[Format::kRun];
        load_run(x + rows[r] + Format::offset(g, run), values);
        ORRERY_UNROLL for (int i = 0; i < Format::kRun; ++i) {
          ORRERY_UNROLL for (int o = 0; o < kOutputs; ++o) {
            float& sum = of_group[o * kRows + r];
            sum = fmaf(w[o][i], values[i], sum);
          }
          if constexpr (Format::kLeast) of_x[r] += values[i];
        }
      }
    }
    ORRERY_UNROLL for (int o = 0; o < kOutputs; ++o) {
      ORRERY_UNROLL for (int r = 0; r < kRows; ++r) {
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

// Parts that a thread reads before it multiplies any of them, so that the memory is kept busy: as many as registers
// hold.
template <class Format, int kRows>
constexpr int kAtOnce = kRows <= 2 && Format::kBlock / Format::kParts <= 16 ? 2 : 1;

// Threads that share the registers of a multiprocessor: fewer where each has more sums.
constexpr int resident_threads(int n_rows) { return n_rows == 1 ? 896 : n_rows == 2 ? 768 : 256; }

// The same for kTurns blocks, `step` apart, beginning with `first`.
template <class Format, int kRows, int kTurns>
__device__ void add_blocks(const uint8_t* const (&weights)[kOutputs], uint32_t first, uint32_t step, const float* x,
                           const uint32_t (&rows)[kRows], float (&sums)[kOutputs * kRows]) {
  const int part = static_cast<int>(threadIdx.x % Format::kParts);
  typename Format::Part parts[kTurns][kOutputs];
  ORRERY_UNROLL for (uint32_t turn = 0; turn < kTurns; ++turn) {
    ORRERY_UNROLL for (int o = 0; o < kOutputs; ++o) {
      parts[turn][o] = Format::load(weights[o] + uint64_t{first + turn * step} * Format::kBytes, part);
    }
  }
  ORRERY_UNROLL for (uint32_t turn = 0; turn < kTurns; ++turn) {
    const float* const at = x + uint64_t{first + turn * step} * Format::kBlock + Format::first_element(part);
    add_products<Format, kRows>(parts[turn], at, rows, sums);
  }
}

// The same for all n_blocks blocks of the weights' rows, of which the threads of a block take turns.
template <class Format, int kRows>
__device__ void add_rows(const uint8_t* const (&weights)[kOutputs], uint32_t n_blocks, const float* x,
                         const uint32_t (&rows)[kRows], float (&sums)[kOutputs * kRows]) {
  constexpr int kTurns = kAtOnce<Format, kRows>;
  const uint32_t step = blockDim.x / Format::kParts;
  uint32_t block = threadIdx.x / Format::kParts;
  for (; block + (kTurns - 1) * step < n_blocks; block += kTurns * step) {
    add_blocks<Format, kRows, kTurns>(weights, block, step, x, rows, sums);
  }
  if constexpr (kTurns > 1) {
    for (; block < n_blocks; block += step) add_blocks<Format, kRows, 1>(weights, block, step, x, rows, sums);
  }
}

// x, or where its rows cannot be read four values at once, a copy.
inline Matrix<const float> aligned_rows(Matrix<const float> x, CommandStream& stream) {
  if (reinterpret_cast<uintptr_t>(x.data) % sizeof(Float4) == 0 && x.row_stride % 4 == 0) return x;
  const int64_t stride = (x.n_cols + 3) / 4 * 4;
  const Matrix<float> copy(stream.scratch_floats(x.n_rows * stride), x.n_rows, x.n_cols, stride);
  if (copy.data == nullptr) return x;  // nothing will run
  for (int64_t r = 0; r < x.n_rows; ++r) {
    stream.push_copy({.to = reinterpret_cast<std::byte*>(copy.row(r)),
                      .from = reinterpret_cast<const std::byte*>(x.row(r)),
                      .n_bytes = static_cast<size_t>(x.n_cols) * sizeof(float)});
  }
  return copy;
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
