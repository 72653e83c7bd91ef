#include "kernels/elementwise.h"

#include <vector>

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

void activate_simd(Activation activation, Matrix<const float> x, Matrix<float> out) {
  activate_reference(activation, x, out);
}
void activate_multiply_simd(Activation activation, Matrix<const float> gate, Matrix<const float> up,
                            Matrix<float> out) {
  activate_multiply_reference(activation, gate, up, out);
}
void clipped_multiply_simd(ClippedGate clipped, Matrix<const float> gate, Matrix<const float> up, Matrix<float> out) {
  clipped_multiply_reference(clipped, gate, up, out);
}
void clip_simd(Matrix<const float> x, float limit, Matrix<float> out) { clip_reference(x, limit, out); }
void soft_cap_simd(Matrix<const float> x, float cap, Matrix<float> out) { soft_cap_reference(x, cap, out); }
void add_simd(Matrix<const float> a, Matrix<const float> b, float factor, Matrix<float> out) {
  add_reference(a, b, factor, out);
}
void gate_groups_simd(Activation activation, Matrix<const float> gates, Matrix<float> x) {
  gate_groups_reference(activation, gates, x);
}
void softplus_simd(Matrix<const float> x, std::span<const float> bias, SoftplusRange range, Matrix<float> out) {
  softplus_reference(x, bias, range, out);
}
void scale_simd(Matrix<const float> x, float factor, Matrix<float> out) { scale_reference(x, factor, out); }

#else

// x / (1 + exp(-a)): what SiLU and GELU's tanh form share, since (1 + tanh(a / 2)) / 2 = 1 / (1 + exp(-a)).
HWY_INLINE VF times_sigmoid(VF x, VF a) { return hn::Div(x, hn::Add(hn::Set(DF(), 1.0f), exp_of(hn::Neg(a)))); }

struct Silu {
  HWY_INLINE VF operator()(VF x) const { return times_sigmoid(x, x); }
};
struct GeluTanh {
  HWY_INLINE VF operator()(VF x) const {
    const DF df;
    const VF cubic = hn::MulAdd(hn::Mul(x, x), hn::Set(df, 0.044715f), hn::Set(df, 1.0f));
    return times_sigmoid(x, hn::Mul(hn::Mul(x, cubic), hn::Set(df, 1.59576912160573071f)));  // 2 sqrt(2 / pi)
  }
};
// By Abramowitz and Stegun 7.1.26: erfc(z) with an absolute error of at most 2e-7 for z >= 0.
struct Gelu {
  HWY_INLINE VF operator()(VF x) const {
    const DF df;
    const VF one = hn::Set(df, 1.0f);
    const VF z = hn::Mul(hn::Abs(x), hn::Set(df, 0.707106781186547524f));
    const VF t = hn::Div(one, hn::MulAdd(z, hn::Set(df, 0.3275911f), one));
    VF p = hn::Set(df, 1.061405429f);
    p = hn::MulAdd(p, t, hn::Set(df, -1.453152027f));
    p = hn::MulAdd(p, t, hn::Set(df, 1.421413741f));
    p = hn::MulAdd(p, t, hn::Set(df, -0.284496736f));
    p = hn::MulAdd(p, t, hn::Set(df, 0.254829592f));
    const VF half_erfc = hn::Mul(hn::Mul(hn::Mul(p, t), exp_of(hn::Neg(hn::Mul(z, z)))), hn::Set(df, 0.5f));
    return hn::Mul(x, hn::IfThenElse(hn::Lt(x, hn::Zero(df)), half_erfc, hn::Sub(one, half_erfc)));
  }
};
struct ReluSquared {
  HWY_INLINE VF operator()(VF x) const {
    const VF positive = hn::Max(x, hn::Zero(DF()));
    return hn::Mul(positive, positive);
  }
};

struct Sigmoid {
  HWY_INLINE VF operator()(VF x) const { return times_sigmoid(hn::Set(DF(), 1.0f), x); }
};
struct Identity {
  HWY_INLINE VF operator()(VF x) const { return x; }
};

// Calls use(function of one vector) for the activation.
template <class Use>
HWY_INLINE void with_activation(Activation activation, const Use& use) {
  switch (activation) {
    case Activation::kSilu:
      return use(Silu());
    case Activation::kGeluTanh:
      return use(GeluTanh());
    case Activation::kGelu:
      return use(Gelu());
    case Activation::kReluSquared:
      return use(ReluSquared());
    case Activation::kSigmoid:
      return use(Sigmoid());
    case Activation::kIdentity:
      return use(Identity());
  }
}

template <class Function>
struct OfFirst {
  HWY_INLINE VF operator()(VF a, VF) const { return Function()(a); }
};
template <class Function>
struct OfFirstTimesSecond {
  HWY_INLINE VF operator()(VF a, VF b) const { return hn::Mul(Function()(a), b); }
};
// Minimum and maximum give their second argument where one is not a number.
struct Clip {
  VF limit;
  HWY_INLINE VF operator()(VF a, VF) const { return hn::Max(hn::Neg(limit), hn::Min(limit, a)); }
};
struct ClippedProduct {
  VF limit, slope;
  HWY_INLINE VF operator()(VF gate, VF up) const {
    const VF clipped = hn::Min(limit, gate);
    const VF activated = times_sigmoid(clipped, hn::Mul(clipped, slope));
    return hn::MulAdd(Clip{limit}(up, up), activated, activated);
  }
};
struct SoftCap {
  VF cap, inverse;
  HWY_INLINE VF operator()(VF a, VF) const { return hn::Mul(cap, tanh_of(hn::Mul(a, inverse))); }
};
struct ScaledSum {
  VF factor;
  HWY_INLINE VF operator()(VF a, VF b) const { return hn::MulAdd(factor, b, a); }
};
struct Softplus {
  VF least, greatest;
  HWY_INLINE VF operator()(VF x, VF bias) const {
    const VF sum = hn::Add(x, bias);
    const VF value = hn::IfThenElse(hn::Gt(sum, hn::Set(DF(), 20.0f)), sum, softplus_of(sum));
    return hn::Min(greatest, hn::Max(least, value));
  }
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

void activate_simd(Activation activation, Matrix<const float> x, Matrix<float> out) {
  with_activation(activation, [&]<class F>(F) HWY_ATTR { combine(x, x, out, OfFirst<F>()); });
}
void activate_multiply_simd(Activation activation, Matrix<const float> gate, Matrix<const float> up,
                            Matrix<float> out) {
  with_activation(activation, [&]<class F>(F) HWY_ATTR { combine(gate, up, out, OfFirstTimesSecond<F>()); });
}
void clipped_multiply_simd(ClippedGate clipped, Matrix<const float> gate, Matrix<const float> up, Matrix<float> out) {
  combine(gate, up, out, ClippedProduct{hn::Set(DF(), clipped.limit), hn::Set(DF(), clipped.slope)});
}
void clip_simd(Matrix<const float> x, float limit, Matrix<float> out) {
  combine(x, x, out, Clip{hn::Set(DF(), limit)});
}
void soft_cap_simd(Matrix<const float> x, float cap, Matrix<float> out) {
  combine(x, x, out, SoftCap{hn::Set(DF(), cap), hn::Set(DF(), 1.0f / cap)});
}
void add_simd(Matrix<const float> a, Matrix<const float> b, float factor, Matrix<float> out) {
  combine(a, b, out, ScaledSum{hn::Set(DF(), factor)});
}
void scale_simd(Matrix<const float> x, float factor, Matrix<float> out) {
  combine(x, x, out, Product{hn::Set(DF(), factor)});
}
void gate_groups_simd(Activation activation, Matrix<const float> gates, Matrix<float> x) {
  const int64_t n = x.n_cols / gates.n_cols;
  for (int64_t r = 0; r < x.n_rows; ++r) {
    for (int64_t g = 0; g < gates.n_cols; ++g) {
      const VF gate = hn::Set(DF(), gates.row(r)[g]);
      const Matrix<float> group(x.row(r) + g * n, 1, n);
      with_activation(activation, [&]<class F>(F) HWY_ATTR { combine(group, group, group, Product{F()(gate)}); });
    }
  }
}
void softplus_simd(Matrix<const float> x, std::span<const float> bias, SoftplusRange range, Matrix<float> out) {
  const Softplus function{hn::Set(DF(), range.least), hn::Set(DF(), range.greatest)};
  const std::vector<float> none(bias.empty() ? static_cast<size_t>(x.n_cols) : 0, 0.0f);
  // The same bias for every row: rows that lie 0 apart.
  combine(x, {bias.empty() ? none.data() : bias.data(), x.n_rows, x.n_cols, 0}, out, function);
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

HWY_EXPORT(activate_simd);
HWY_EXPORT(activate_multiply_simd);
HWY_EXPORT(clipped_multiply_simd);
HWY_EXPORT(clip_simd);
HWY_EXPORT(soft_cap_simd);
HWY_EXPORT(add_simd);
HWY_EXPORT(scale_simd);
HWY_EXPORT(gate_groups_simd);
HWY_EXPORT(softplus_simd);

void activate(Activation activation, Matrix<const float> x, Matrix<float> out, ThreadPool& pool) {
  check_shapes(x, x, out);
  pool.parallel_for(out.n_rows, grain(out), [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(activate_simd)(activation, x.rows(begin, n), out.rows(begin, n));
  });
}

void activate_multiply(Activation activation, Matrix<const float> gate, Matrix<const float> up, Matrix<float> out,
                       ThreadPool& pool) {
  check_shapes(gate, up, out);
  pool.parallel_for(out.n_rows, grain(out), [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(activate_multiply_simd)
    (activation, gate.rows(begin, n), up.rows(begin, n), out.rows(begin, n));
  });
}

void clipped_multiply(ClippedGate clipped, Matrix<const float> gate, Matrix<const float> up, Matrix<float> out,
                      ThreadPool& pool) {
  check_shapes(gate, up, out);
  CHECK(clipped.limit > 0.0f);
  pool.parallel_for(out.n_rows, grain(out), [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(clipped_multiply_simd)(clipped, gate.rows(begin, n), up.rows(begin, n), out.rows(begin, n));
  });
}

void clip(Matrix<const float> x, float limit, Matrix<float> out, ThreadPool& pool) {
  check_shapes(x, x, out);
  CHECK(limit > 0.0f);
  pool.parallel_for(out.n_rows, grain(out), [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(clip_simd)(x.rows(begin, n), limit, out.rows(begin, n));
  });
}

void soft_cap(Matrix<const float> x, float cap, Matrix<float> out, ThreadPool& pool) {
  check_shapes(x, x, out);
  CHECK(cap > 0.0f);
  pool.parallel_for(out.n_rows, grain(out), [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(soft_cap_simd)(x.rows(begin, n), cap, out.rows(begin, n));
  });
}

void add(Matrix<const float> a, Matrix<const float> b, float factor, Matrix<float> out, ThreadPool& pool) {
  check_shapes(a, b, out);
  pool.parallel_for(out.n_rows, grain(out), [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(add_simd)(a.rows(begin, n), b.rows(begin, n), factor, out.rows(begin, n));
  });
}

void scale(Matrix<const float> x, float factor, Matrix<float> out, ThreadPool& pool) {
  check_shapes(x, x, out);
  pool.parallel_for(out.n_rows, grain(out), [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(scale_simd)(x.rows(begin, n), factor, out.rows(begin, n));
  });
}

void gate_groups(Activation activation, Matrix<const float> gates, Matrix<float> x, ThreadPool& pool) {
  CHECK(gates.n_rows == x.n_rows && gates.n_cols > 0 && x.n_cols % gates.n_cols == 0, "gates do not divide x evenly");
  pool.parallel_for(x.n_rows, grain(x), [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(gate_groups_simd)(activation, gates.rows(begin, n), x.rows(begin, n));
  });
}

void softplus(Matrix<const float> x, std::span<const float> bias, SoftplusRange range, Matrix<float> out,
              ThreadPool& pool) {
  check_shapes(x, x, out);
  CHECK(bias.empty() || static_cast<int64_t>(bias.size()) == x.n_cols, "bias has another shape");
  pool.parallel_for(out.n_rows, grain(out), [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    HWY_DYNAMIC_DISPATCH(softplus_simd)(x.rows(begin, n), bias, range, out.rows(begin, n));
  });
}

}  // namespace orrery
#endif  // HWY_ONCE
