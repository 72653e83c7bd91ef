#include "kernels/rope.h"

#include "kernels/base/check.h"
#include "kernels/thread_pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rope.cpp"
#include <hwy/foreach_target.h>
// Highway after foreach_target.
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {

// Turns pair i, elements a and b apart.
HWY_INLINE void turn_pair(float* a, float* b, float cosine, float sine) {
  const float first = *a, second = *b;
  *a = first * cosine - second * sine;
  *b = second * cosine + first * sine;
}

#if HWY_TARGET == HWY_SCALAR

void turn_half_split(float* head, const float* cosines, const float* sines, int64_t n_pairs) {
  for (int64_t i = 0; i < n_pairs; ++i) turn_pair(head + i, head + i + n_pairs, cosines[i], sines[i]);
}
void turn_adjacent(float* head, const float* cosines, const float* sines, int64_t n_pairs) {
  for (int64_t i = 0; i < n_pairs; ++i) turn_pair(head + 2 * i, head + 2 * i + 1, cosines[i], sines[i]);
}

#else

HWY_INLINE void turn_half_split(float* head, const float* cosines, const float* sines, int64_t n_pairs) {
  const DF df;
  int64_t i = 0;
  for (; i + kLanes <= n_pairs; i += kLanes) {
    const VF a = hn::LoadU(df, head + i), b = hn::LoadU(df, head + n_pairs + i);
    const VF c = hn::LoadU(df, cosines + i), s = hn::LoadU(df, sines + i);
    hn::StoreU(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), df, head + i);
    hn::StoreU(hn::Add(hn::Mul(b, c), hn::Mul(a, s)), df, head + n_pairs + i);
  }
  for (; i < n_pairs; ++i) turn_pair(head + i, head + n_pairs + i, cosines[i], sines[i]);
}

HWY_INLINE void turn_adjacent(float* head, const float* cosines, const float* sines, int64_t n_pairs) {
  const DF df;
  int64_t i = 0;
  for (; i + kLanes <= n_pairs; i += kLanes) {
    VF a, b;
    hn::LoadInterleaved2(df, head + 2 * i, a, b);
    const VF c = hn::LoadU(df, cosines + i), s = hn::LoadU(df, sines + i);
    hn::StoreInterleaved2(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), hn::Add(hn::Mul(b, c), hn::Mul(a, s)), df,
                          head + 2 * i);
  }
  for (; i < n_pairs; ++i) turn_pair(head + 2 * i, head + 2 * i + 1, cosines[i], sines[i]);
}

#endif

void rope_simd(Matrix<float> x, const RopeTable& table, int32_t d_head, RopePairing pairing, int64_t begin,
               int64_t end) {
  const int64_t n_pairs = table.n_pairs();
  for (int64_t r = begin; r < end; ++r) {
    const float* cosines = table.cosines(r);
    const float* sines = table.sines(r);
    for (float* head = x.row(r); head < x.row(r) + x.n_cols; head += d_head) {
      if (pairing == RopePairing::kAdjacent) {
        turn_adjacent(head, cosines, sines, n_pairs);
      } else {
        turn_half_split(head, cosines, sines, n_pairs);
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
constexpr int64_t kElementsPerTask = 16384;  // some 2 us: below that, sharing costs more than it gains
}

HWY_EXPORT(rope_simd);

void rope(Matrix<float> x, const RopeTable& table, int32_t d_head, RopePairing pairing, ThreadPool& pool) {
  CHECK(x.n_rows == table.n_rows(), "the table holds other rows");
  CHECK(d_head > 0 && x.n_cols % d_head == 0 && 2 * table.n_pairs() <= d_head, "heads do not fit");
  pool.parallel_for(x.n_rows, kElementsPerTask / (x.n_cols + 1) + 1, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(rope_simd)(x, table, d_head, pairing, begin, end);
  });
}

}  // namespace orrery
#endif  // HWY_ONCE
