// CUDA version of kernels/kv_store.h.
#pragma once

#include <span>

#include "kernels/base/tensor.h"
#include "kernels/cuda/command_stream.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

// Writes row r of x [n_rows, n_kv_heads * d_head] into place positions[r] % 64 of pages[r] (device pointers).
void kv_store(Matrix<const float> x, std::span<const int64_t> positions, std::span<std::byte* const> pages, DType dtype,
              int32_t n_kv_heads, int32_t d_head, CommandStream& stream);

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
