#include "kernels/attention.h"
#include "kernels/cuda/kv_store.h"
#include "kernels/cuda/language.h"

namespace orrery::ORRERY_CUDA_NAMESPACE {

namespace {

constexpr uint32_t kThreads = 128;

struct KvStoreArguments {
  const float* x;
  const int64_t* positions;
  std::byte* const* pages;
  int64_t x_stride;
  int64_t n_cols;
  int32_t d_head;
  int32_t is_half;
};

// Blocks over a row's columns (x) and rows (y).
__global__ void kv_store_kernel(KvStoreArguments a) {
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= a.n_cols) return;
  const int64_t row = blockIdx.y, head = i / a.d_head;
  const int64_t at = (head * kKvPageTokens + a.positions[row] % kKvPageTokens) * a.d_head + i % a.d_head;
  const float value = a.x[row * a.x_stride + i];
  if (a.is_half != 0) {
    reinterpret_cast<uint16_t*>(a.pages[row])[at] = float_to_half(value);
  } else {
    reinterpret_cast<float*>(a.pages[row])[at] = value;
  }
}

}  // namespace

void kv_store(Matrix<const float> x, std::span<const int64_t> positions, std::span<std::byte* const> pages, DType dtype,
              int32_t n_kv_heads, int32_t d_head, CommandStream& stream) {
  const KvStoreArguments arguments{
      x.data, stream.upload(positions),    stream.upload(pages), x.row_stride, int64_t{n_kv_heads} * d_head,
      d_head, dtype == DType::kF16 ? 1 : 0};
  const Extent grid{.x = blocks_for(arguments.n_cols, kThreads), .y = static_cast<uint32_t>(x.n_rows)};
  stream.push(make_launch("kv_store", kv_store_kernel, grid, {.x = kThreads}, arguments));
}

}  // namespace orrery::ORRERY_CUDA_NAMESPACE
