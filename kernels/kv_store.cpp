#include "kernels/kv_store.h"

#include <cstring>

#include "kernels/base/check.h"
#include "kernels/thread_pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/kv_store.cpp"
#include <hwy/foreach_target.h>
// Highway after foreach_target.
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {

// Without instructions for it, Highway does not round to the nearest even.
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SSE2

void store_halves(const float* from, uint16_t* to, int64_t n) {
  for (int64_t i = 0; i < n; ++i) to[i] = f32_to_f16(from[i]);
}

#else

HWY_INLINE void store_halves(const float* HWY_RESTRICT from, uint16_t* HWY_RESTRICT to, int64_t n) {
  const DF df;
  const hn::Rebind<hwy::float16_t, DF> dh;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    hn::StoreU(hn::DemoteTo(dh, hn::LoadU(df, from + i)), dh, reinterpret_cast<hwy::float16_t*>(to + i));
  }
  for (; i < n; ++i) to[i] = f32_to_f16(from[i]);
}

#endif

void kv_store_simd(Matrix<const float> x, std::span<const KvSlot> slots, DType dtype, int32_t n_kv_heads,
                   int32_t d_head) {
  for (int64_t r = 0; r < x.n_rows; ++r) {
    const KvSlot& slot = slots[static_cast<size_t>(r)];
    for (int64_t head = 0; head < n_kv_heads; ++head) {
      const float* from = x.row(r) + head * d_head;
      const int64_t at = (head * kKvPageTokens + slot.token) * d_head;
      if (dtype == DType::kF32) {
        std::memcpy(slot.page + at * 4, from, static_cast<size_t>(d_head) * sizeof(float));
      } else {
        store_halves(from, reinterpret_cast<uint16_t*>(slot.page) + at, d_head);
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace orrery
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace orrery {

namespace {
constexpr int64_t kElementsPerTask = 32768;  // some 2 us: below that, sharing costs more than it gains
}

HWY_EXPORT(kv_store_simd);

void kv_store(Matrix<const float> x, std::span<const KvSlot> slots, DType dtype, int32_t n_kv_heads, int32_t d_head,
              ThreadPool& pool) {
  CHECK(dtype == DType::kF16 || dtype == DType::kF32, "keys and values are F16 or F32");
  CHECK(x.n_rows == static_cast<int64_t>(slots.size()) && x.n_cols == int64_t{n_kv_heads} * d_head,
        "x has another shape");
  pool.parallel_for(x.n_rows, kElementsPerTask / (x.n_cols + 1) + 1, [&](int64_t begin, int64_t end) {
    const size_t n = static_cast<size_t>(end - begin);
    HWY_DYNAMIC_DISPATCH(kv_store_simd)
    (x.rows(begin, end - begin), slots.subspan(static_cast<size_t>(begin), n), dtype, n_kv_heads, d_head);
  });
}

}  // namespace orrery
#endif  // HWY_ONCE
