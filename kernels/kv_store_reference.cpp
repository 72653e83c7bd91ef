#include <cstring>

#include "kernels/base/check.h"
#include "kernels/kv_store.h"

namespace orrery {

void kv_store_reference(Matrix<const float> x, std::span<const KvSlot> slots, DType dtype, int32_t n_kv_heads,
                        int32_t d_head) {
  CHECK(dtype == DType::kF16 || dtype == DType::kF32, "keys and values are F16 or F32");
  CHECK(x.n_rows == static_cast<int64_t>(slots.size()) && x.n_cols == int64_t{n_kv_heads} * d_head);
  const int64_t element_bytes = dtype_info(dtype).block_bytes;
  for (int64_t r = 0; r < x.n_rows; ++r) {
    const KvSlot& slot = slots[static_cast<size_t>(r)];
    for (int64_t i = 0; i < x.n_cols; ++i) {
      const int64_t head = i / d_head;
      std::byte* to = slot.page + ((head * kKvPageTokens + slot.token) * d_head + i % d_head) * element_bytes;
      const float value = x.row(r)[i];
      const uint16_t half = f32_to_f16(value);
      if (dtype == DType::kF32) {
        std::memcpy(to, &value, sizeof(value));
      } else {
        std::memcpy(to, &half, sizeof(half));
      }
    }
  }
}

}  // namespace orrery
