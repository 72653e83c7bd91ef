// Writes keys or values of new tokens into their pages, in the layout that attention.h states.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/attention.h"
#include "kernels/base/dtype.h"
#include "kernels/base/tensor.h"

namespace orrery {

class ThreadPool;

// Where one row goes: a page [n_kv_heads, 64, d_head] and the token's place in it, 0..63 (position % 64).
struct KvSlot {
  std::byte* page = nullptr;
  int32_t token = 0;
};

// Bytes of one page of keys (or of values).
inline size_t kv_page_bytes(DType dtype, int64_t n_kv_heads, int64_t d_head) {
  return row_bytes(dtype, static_cast<size_t>(n_kv_heads * kKvPageTokens * d_head));
}

// x: [slots.size(), n_kv_heads * d_head]; dtype: kF16 (rounded to nearest even) or kF32. Slots must differ.
void kv_store(Matrix<const float> x, std::span<const KvSlot> slots, DType dtype, int32_t n_kv_heads, int32_t d_head,
              ThreadPool& pool);
void kv_store_reference(Matrix<const float> x, std::span<const KvSlot> slots, DType dtype, int32_t n_kv_heads,
                        int32_t d_head);

}  // namespace orrery
