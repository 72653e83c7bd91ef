// What several kernels share, per instruction set: the vector type of a 16-lane f32 and the loops' ends.
// Included by Highway's foreach_target, so guarded by its toggle.
#if defined(ORRERY_KERNELS_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ORRERY_KERNELS_SIMD_INL_H_
#undef ORRERY_KERNELS_SIMD_INL_H_
#else
#define ORRERY_KERNELS_SIMD_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

using DF = hn::CappedTag<float, 16>;
using DI = hn::RebindToSigned<DF>;
using VF = hn::Vec<DF>;
using VI = hn::Vec<DI>;
constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(DF()));

// The last count < kLanes floats, `fill` beyond; never reads past them.
HWY_INLINE VF load_last(const float* at, int64_t count, float fill = 0.0f) {
  HWY_ALIGN float lanes[kLanes];
  for (int64_t i = 0; i < kLanes; ++i) lanes[i] = i < count ? at[i] : fill;
  return hn::Load(DF(), lanes);
}

HWY_INLINE void store_last(VF value, float* at, int64_t count) {
  HWY_ALIGN float lanes[kLanes];
  hn::Store(value, DF(), lanes);
  for (int64_t i = 0; i < count; ++i) at[i] = lanes[i];
}

HWY_INLINE float sum_of(VF value) { return hn::GetLane(hn::SumOfLanes(DF(), value)); }

// exp(x) to within 2 units in the last place for x in [-87, 88]; 0 below, exp(88.5) above, NaN of NaN. Cephes' range
// reduction with a polynomial of degree 6 in the remainder.
HWY_INLINE VF exp_of(VF x) {
  const DF df;
  const DI di;
  const VF least = hn::Set(df, -87.0f);
  const VF clamped = hn::Min(hn::Set(df, 88.5f), hn::Max(least, x));  // in this order a NaN stays one on x86
  const VF n = hn::Round(hn::Mul(clamped, hn::Set(df, 1.44269504088896341f)));
  VF rest = hn::NegMulAdd(n, hn::Set(df, 0.693359375f), clamped);
  rest = hn::NegMulAdd(n, hn::Set(df, -2.12194440e-4f), rest);
  VF p = hn::Set(df, 1.9875691500e-4f);
  p = hn::MulAdd(p, rest, hn::Set(df, 1.3981999507e-3f));
  p = hn::MulAdd(p, rest, hn::Set(df, 8.3334519073e-3f));
  p = hn::MulAdd(p, rest, hn::Set(df, 4.1665795894e-2f));
  p = hn::MulAdd(p, rest, hn::Set(df, 1.6666665459e-1f));
  p = hn::MulAdd(p, rest, hn::Set(df, 5.0000001201e-1f));
  p = hn::MulAdd(hn::Mul(rest, rest), p, hn::Add(rest, hn::Set(df, 1.0f)));
  // 2^n in two factors, since n may be 128.
  const VI whole = hn::ConvertTo(di, n);
  const VI half = hn::ShiftRight<1>(whole);
  const VI bias = hn::Set(di, 127);
  const VF low = hn::BitCast(df, hn::ShiftLeft<23>(hn::Add(half, bias)));
  const VF high = hn::BitCast(df, hn::ShiftLeft<23>(hn::Add(hn::Sub(whole, half), bias)));
  return hn::IfThenZeroElse(hn::Lt(x, least), hn::Mul(hn::Mul(p, low), high));
}

// tanh(x) with an absolute error of at most 2e-7: 1 - 2 / (1 + exp(2 x)).
HWY_INLINE VF tanh_of(VF x) {
  const VF one = hn::Set(DF(), 1.0f), two = hn::Set(DF(), 2.0f);
  return hn::Sub(one, hn::Div(two, hn::Add(one, exp_of(hn::Mul(two, x)))));
}

// ln(1 + exp(x)) to within a few units in the last place: max(x, 0) + ln(1 + u), u = exp(-|x|). ln(1 + u) = 2 atanh(z)
// for z = u / (2 + u) <= 1/3, the series to the 13th power.
HWY_INLINE VF softplus_of(VF x) {
  const DF df;
  const VF u = exp_of(hn::Neg(hn::Abs(x)));
  const VF z = hn::Div(u, hn::Add(hn::Set(df, 2.0f), u)), z2 = hn::Mul(z, z);
  VF p = hn::Set(df, 2.0f / 13.0f);
  for (const float odd : {11.0f, 9.0f, 7.0f, 5.0f, 3.0f, 1.0f}) p = hn::MulAdd(p, z2, hn::Set(df, 2.0f / odd));
  return hn::MulAdd(p, z, hn::Max(x, hn::Zero(df)));
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace orrery
HWY_AFTER_NAMESPACE();

#endif  // include guard
