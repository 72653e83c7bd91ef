#include "kernels/elementwise.h"

#include "kernels/base/check.h"
#include "kernels/thread_pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise.cpp"
#include <hwy/foreach_target.h>
// Highway after foreach_target.
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void silu_multiply_simd(Matrix<const float> gate, Matrix<const float> up, Matrix<float> out) {
  silu_multiply_reference(gate, up, out);
}
void add_simd(Matrix<const float> a, Matrix<const float> b, Matrix<float> out) { add_reference(a, b, out); }
void scale_simd(Matrix<const float> x, float factor, Matrix<float> out) { scale_reference(x, factor, out); }

#else

struct SiluMultiply {
  HWY_INLINE VF operator()(VF gate, VF up) const {
    const VF one = hn::Set(DF(), 1.0f);
    return hn::Mul(hn::Div(gate, hn::Add(one, exp_of(hn::Neg(gate)))), up);
  }
};
struct Sum {
  HWY_INLINE VF operator()(VF a, VF b) const { return hn::Add(a, b); }
};
struct Product {
  VF factor;
  HWY_INLINE VF operator()(VF a, VF) const { return hn::Mul(a, factor); }
};

template <class Operation>
HWY_INLINE void combine(Matrix<const float> a, Matrix<const float> b, Matrix<float> out, const Operation& operation) {
  const DF df;
  const int64_t whole = out.n_cols - out.n_cols % kLanes, rest = out.n_cols - whole;
  for (int64_t r = 0; r < out.n_rows; ++r) {
    const float* from_a = a.row(r);
    const float* from_b = b.row(r);
    float* to = out.row(r);
    for (int64_t i = 0; i < whole; i += kLanes) {
      hn::StoreU(operation(hn::LoadU(df, from_a + i), hn::LoadU(df, from_b + i)), df, to + i);
    }
    if (rest > 0)
      store_last(operation(load_last(from_a + whole, rest), load_last(from_b + whole, rest)), to + whole, rest);
  }
}

void silu_multiply_simd(Matrix<const float> gate, Matrix<const float> up, Matrix<float> out) {
  combine(gate, up, out, SiluMultiply());
}
void add_simd(Matrix<const float> a, Matrix<const float> b, Matrix<float> out) { combine(a, b, out, Sum()); }
void scale_simd(Matrix<const float> x, float factor, Matrix<float> out) {
  combine(x, x, out, Product{hn::Set(DF(), factor)});
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace orrery
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace orrery {

namespace {

constexpr int64_t kElementsPerTask = 16384;  // a few us: below that, sharing costs more than it gains

void check_shapes(Matrix<const float> a, Matrix<const float> b, Matrix<float> out) {
  CHECK(a.n_rows == out.n_rows && a.n_cols == out.n_cols, "inputs and out differ in shape");
  CHECK(b.n_rows == out.n_rows && b.n_cols == out.n_cols, "inputs and out differ in shape");
}

int64_t grain(Matrix<float> out) { return kElementsPerTask / (out.n_cols + 1) + 1; }

}  // namespace

HWY_EXPORT(silu_multiply_simd);
HWY_EXPORT(add_simd);
HWY_EXPORT(scale_simd);

void silu_multiply(Matrix<const float> gate, Matrix<const float> up, Matrix<float> out, ThreadPool& pool) {
  check_shapes(gate, up, out);
  pool.parallel_for(out.n_rows, grain(out), [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(silu_multiply_simd)(gate.rows(begin, n), up.rows(begin, n), out.rows(begin, n));
  });
}

void add(Matrix<const float> a, Matrix<const float> b, Matrix<float> out, ThreadPool& pool) {
  check_shapes(a, b, out);
  pool.parallel_for(out.n_rows, grain(out), [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(add_simd)(a.rows(begin, n), b.rows(begin, n), out.rows(begin, n));
  });
}

void scale(Matrix<const float> x, float factor, Matrix<float> out, ThreadPool& pool) {
  check_shapes(x, x, out);
  pool.parallel_for(out.n_rows, grain(out), [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(scale_simd)(x.rows(begin, n), factor, out.rows(begin, n));
  });
}

}  // namespace orrery
#endif  // HWY_ONCE
