#include "kernels/fast_weights.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/base/check.h"
#include "kernels/thread_pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/fast_weights.cpp"
#include <hwy/foreach_target.h>
// Highway after foreach_target.
#include "kernels/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace orrery {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void learn_head_simd(const FastWeightsArgs& args, const StateRows& rows, int32_t head, const FastWeightsStats& stats) {
  learn_head_reference(args, rows, head, stats);
}

#else

HWY_INLINE VF load_some(const float* at, int64_t count) {
  return count >= kLanes ? hn::LoadU(DF(), at) : load_last(at, count);
}
HWY_INLINE void store_some(VF value, float* at, int64_t count) {
  if (count >= kLanes) {
    hn::StoreU(value, DF(), at);
  } else {
    store_last(value, at, count);
  }
}

// fn(i, count) over n floats, a vector at a time.
template <typename Fn>
HWY_INLINE void for_vectors(int64_t n, Fn&& fn) {
  for (int64_t i = 0; i < n; i += kLanes) fn(i, n - i);
}

// A matrix [n_in, n_out] whose bias is one more row: what it is multiplied with ends in a 1. W_0 and G.
struct Affine {
  int64_t n_in = 0;
  int64_t n_out = 0;
  float* start = nullptr;
  float* sums = nullptr;

  int64_t n_weights() const { return (n_in + 1) * n_out; }
};

// kVectors vectors of columns of x (W_0 - share G), from column j on.
template <int kVectors, bool kAtStart>
HWY_INLINE void apply_columns(const Affine& layer, const float* x, VF share, int64_t j, float* out) {
  const DF df;
  VF sums[kVectors];
  for (int v = 0; v < kVectors; ++v) sums[v] = hn::Zero(df);
  for (int64_t i = 0; i <= layer.n_in; ++i) {
    const VF factor = hn::Set(df, x[i]);
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = i * layer.n_out + j + v * kLanes;
      VF weight = hn::LoadU(df, layer.start + at);
      if constexpr (!kAtStart) weight = hn::NegMulAdd(share, hn::LoadU(df, layer.sums + at), weight);
      sums[v] = hn::MulAdd(factor, weight, sums[v]);
    }
  }
  for (int v = 0; v < kVectors; ++v) hn::StoreU(sums[v], df, out + j + v * kLanes);
}

// out = x (W_0 - share G) + b; at the start: x W_0 + b.
template <bool kAtStart>
HWY_INLINE void apply(const Affine& layer, const float* x, float of_sums, float* out) {
  constexpr int kVectors = 4;
  const DF df;
  const VF share = hn::Set(df, of_sums);
  const int64_t n = layer.n_out;
  int64_t j = 0;
  for (; j + kVectors * kLanes <= n; j += kVectors * kLanes) apply_columns<kVectors, kAtStart>(layer, x, share, j, out);
  for (; j + kLanes <= n; j += kLanes) apply_columns<1, kAtStart>(layer, x, share, j, out);
  if (j == n) return;
  const int64_t rest = n - j;
  VF sum = hn::Zero(df);
  for (int64_t i = 0; i <= layer.n_in; ++i) {
    VF weight = load_last(layer.start + i * n + j, rest);
    if constexpr (!kAtStart) weight = hn::NegMulAdd(share, load_last(layer.sums + i * n + j, rest), weight);
    sum = hn::MulAdd(hn::Set(df, x[i]), weight, sum);
  }
  store_last(sum, out + j, rest);
}

struct Shares {
  float now = 0.0f;
  float before = 0.0f;
};

// G += rate x g^T; what that changes in W, squared.
template <bool kMeasures>
HWY_INLINE double add_gradient(const Affine& layer, const float* x, const float* g, float rate, Shares shares) {
  const DF df;
  const VF now = hn::Set(df, shares.now), before = hn::Set(df, shares.before);
  double all = 0.0;
  for (int64_t i = 0; i <= layer.n_in; ++i) {
    const VF factor = hn::Set(df, rate * x[i]);
    float* const row = layer.sums + i * layer.n_out;
    VF squares = hn::Zero(df);
    for_vectors(layer.n_out, [&](int64_t j, int64_t count) HWY_ATTR {
      const VF old = load_some(row + j, count);
      const VF sum = hn::MulAdd(factor, load_some(g + j, count), old);
      store_some(sum, row + j, count);
      if constexpr (kMeasures) {
        const VF change = hn::Sub(hn::Mul(now, sum), hn::Mul(before, old));
        squares = hn::MulAdd(change, change, squares);
      }
    });
    if constexpr (kMeasures) all += static_cast<double>(sum_of(squares));
  }
  return all;
}

// The squared norm of W_0 - share G - learned.
HWY_INLINE double drift_squares(const Affine& layer, const float* learned, float of_sums) {
  const VF share = hn::Set(DF(), of_sums);
  double all = 0.0;
  for (int64_t i = 0; i <= layer.n_in; ++i) {
    VF squares = hn::Zero(DF());
    for_vectors(layer.n_out, [&](int64_t j, int64_t count) HWY_ATTR {
      const int64_t at = i * layer.n_out + j;
      const VF moved = hn::Sub(load_some(layer.start + at, count), load_some(learned + at, count));
      const VF away = hn::NegMulAdd(share, load_some(layer.sums + at, count), moved);
      squares = hn::MulAdd(away, away, squares);
    });
    all += static_cast<double>(sum_of(squares));
  }
  return all;
}

// W_0 <- W_0 - share G, G <- 0.
HWY_INLINE void settle(const Affine& layer, float of_sums) {
  const VF share = hn::Set(DF(), of_sums);
  for_vectors(layer.n_weights(), [&](int64_t i, int64_t count) HWY_ATTR {
    store_some(hn::NegMulAdd(share, load_some(layer.sums + i, count), load_some(layer.start + i, count)),
               layer.start + i, count);
    store_some(hn::Zero(DF()), layer.sums + i, count);
  });
}

// GELU's tanh form; its derivative too, where it is wanted.
HWY_INLINE void gelu(const float* x, int64_t n, float* out, float* derivative) {
  const DF df;
  const VF half = hn::Set(df, 0.5f), one = hn::Set(df, 1.0f);
  const VF c = hn::Set(df, 0.7978845608028654f);  // sqrt(2 / pi)
  for_vectors(n, [&](int64_t i, int64_t count) HWY_ATTR {
    const VF u = load_some(x + i, count), u2 = hn::Mul(u, u);
    const VF cubic = hn::MulAdd(hn::Set(df, 0.044715f), u2, one);
    const VF tanh = tanh_of(hn::Mul(hn::Mul(c, u), cubic));
    const VF share = hn::Mul(half, hn::Add(one, tanh));
    store_some(hn::Mul(u, share), out + i, count);
    if (derivative == nullptr) return;
    const VF steepness = hn::Mul(c, hn::MulAdd(hn::Set(df, 3.0f * 0.044715f), u2, one));
    const VF of_tanh = hn::Mul(hn::NegMulAdd(tanh, tanh, one), steepness);
    store_some(hn::MulAdd(hn::Mul(half, u), of_tanh, share), derivative + i, count);
  });
}

HWY_INLINE float sum_over(const float* x, int64_t n) {
  VF sum = hn::Zero(DF());
  for_vectors(n, [&](int64_t i, int64_t count) HWY_ATTR { sum = hn::Add(sum, load_some(x + i, count)); });
  return sum_of(sum);
}

HWY_INLINE float dot(const float* a, const float* b, int64_t n) {
  VF sum = hn::Zero(DF());
  for_vectors(n, [&](int64_t i, int64_t count)
                     HWY_ATTR { sum = hn::MulAdd(load_some(a + i, count), load_some(b + i, count), sum); });
  return sum_of(sum);
}

// One head while it learns from one sequence.
class Learner {
 public:
  Learner(const FastWeightsArgs& args, int32_t head, float* state)
      : args_(args),
        d_(args.sizes.d_head),
        hidden_(args.sizes.d_hidden),
        head_(head),
        n_weights_(args.sizes.n_weights()),
        learned_(args.learned.data() + head * n_weights_),
        gamma_(args.norm_weight.data() + head * d_),
        beta_(args.norm_bias.data() + head * d_),
        scratch_(static_cast<size_t>(6 * d_ + 4 * hidden_ + 3)) {
    first_ = {.n_in = d_, .n_out = hidden_ == 0 ? d_ : hidden_, .start = state, .sums = state + n_weights_};
    second_ = {.n_in = hidden_,
               .n_out = d_,
               .start = first_.start + first_.n_weights(),
               .sums = first_.sums + first_.n_weights()};
    float* at = scratch_.data();
    const auto take = [&at](int64_t n) {
      float* const taken = at;
      at += n;
      return taken;
    };
    q_ = take(d_ + 1);
    k_ = take(d_ + 1);
    target_ = take(d_);
    z_ = take(d_);
    x_ = take(d_);
    g_ = take(d_);
    hidden_x_ = take(hidden_ + 1);
    hidden_z_ = take(hidden_);
    hidden_g_ = take(hidden_);
    slope_ = take(hidden_);
    q_[d_] = k_[d_] = hidden_x_[hidden_] = 1.0f;  // of biases
  }

  void begin() {
    std::copy(learned_, learned_ + n_weights_, first_.start);
    std::fill(first_.sums, first_.sums + n_weights_, 0.0f);
  }

  void token(int64_t r, int64_t place, const FastWeightsStats& stats) {
    const Shares shares{.now = args_.share[static_cast<size_t>(place)],
                        .before = place == 0 ? 0.0f : args_.share[static_cast<size_t>(place) - 1]};
    const float rate =
        args_.base_rate / (1.0f + std::exp(-args_.rate.row(r)[head_])) / static_cast<float>(args_.sizes.d_head);
    const float* const v = args_.v.row(r) + head_ * d_;
    std::copy_n(args_.q.row(r) + head_ * d_, d_, q_);
    std::copy_n(args_.k.row(r) + head_ * d_, d_, k_);
    for (int64_t i = 0; i < d_; ++i) target_[i] = v[i] - k_[i];
    const auto put = [&](StatSlot slot, double value) { slot.row(r)[head_] = static_cast<float>(value); };

    if (stats.loss_before) put(stats.loss_before, loss(shares.before));
    const double squares = stats.update ? learn<true>(rate, shares) : learn<false>(rate, shares);
    if (stats.update) put(stats.update, std::sqrt(squares));
    if (stats.loss_after) put(stats.loss_after, loss(shares.now));
    if (stats.rate) put(stats.rate, static_cast<double>(shares.now * rate));
    if (stats.drift) put(stats.drift, drift(shares.now));
    read(q_, shares.now);
    float* const out = args_.out.row(r) + head_ * d_;
    for (int64_t i = 0; i < d_; ++i) out[i] = q_[i] + (gamma_[i] * x_[i] + beta_[i]);
    if (place + 1 != args_.sizes.batch_size) return;
    settle(first_, shares.now);
    if (hidden_ > 0) settle(second_, shares.now);
  }

 private:
  // x_ = (z_ - mean) / deviation, which is returned.
  float standardise() {
    const auto n = static_cast<float>(args_.sizes.d_head);
    const float mean = sum_over(z_, d_) / n;
    for (int64_t i = 0; i < d_; ++i) x_[i] = z_[i] - mean;
    const float deviation = std::sqrt(dot(x_, x_, d_) / n + args_.epsilon);
    for (int64_t i = 0; i < d_; ++i) x_[i] /= deviation;
    return deviation;
  }

  // x_ of what W_0 - share G makes of `in`, which ends in a 1.
  void read(const float* in, float share) {
    if (hidden_ == 0) {
      apply<false>(first_, in, share, z_);
    } else {
      apply<false>(first_, in, share, hidden_z_);
      gelu(hidden_z_, hidden_, hidden_x_, nullptr);
      apply<false>(second_, hidden_x_, share, z_);
    }
    standardise();
  }

  double loss(float share) {
    read(k_, share);
    double sum = 0.0;
    for (int64_t i = 0; i < d_; ++i) {
      const auto away = static_cast<double>(gamma_[i] * x_[i] + beta_[i] - target_[i]);
      sum += away * away;
    }
    return 0.5 * sum;
  }

  // Adds the token's gradients, at W_0, to G; what that changes in W, squared.
  template <bool kMeasures>
  double learn(float rate, Shares shares) {
    if (hidden_ == 0) {
      apply<true>(first_, k_, 0.0f, z_);
    } else {
      apply<true>(first_, k_, 0.0f, hidden_z_);
      gelu(hidden_z_, hidden_, hidden_x_, slope_);
      apply<true>(second_, hidden_x_, 0.0f, z_);
    }
    gradient_of_norm();
    if (hidden_ == 0) return add_gradient<kMeasures>(first_, k_, g_, rate, shares);
    for (int64_t i = 0; i < hidden_; ++i) hidden_g_[i] = dot(second_.start + i * d_, g_, d_) * slope_[i];
    const double of_first = add_gradient<kMeasures>(first_, k_, hidden_g_, rate, shares);
    return of_first + add_gradient<kMeasures>(second_, hidden_x_, g_, rate, shares);
  }

  // g_ = dl/dz at z_.
  void gradient_of_norm() {
    const float deviation = standardise();
    for (int64_t i = 0; i < d_; ++i) g_[i] = (gamma_[i] * x_[i] + beta_[i] - target_[i]) * gamma_[i];
    const auto n = static_cast<float>(args_.sizes.d_head);
    const float mean = sum_over(g_, d_) / n, mean_x = dot(g_, x_, d_) / n;
    for (int64_t i = 0; i < d_; ++i) g_[i] = (g_[i] - mean - x_[i] * mean_x) / deviation;
  }

  double drift(float share) const {
    double squares = drift_squares(first_, learned_, share);
    if (hidden_ > 0) squares += drift_squares(second_, learned_ + first_.n_weights(), share);
    return std::sqrt(squares);
  }

  const FastWeightsArgs& args_;
  const int64_t d_;
  const int64_t hidden_;
  const int64_t head_;
  const int64_t n_weights_;
  const float* const learned_;
  const float* const gamma_;
  const float* const beta_;
  Affine first_, second_;
  std::vector<float> scratch_;
  float *q_, *k_, *target_, *z_, *x_, *g_;
  float *hidden_x_, *hidden_z_, *hidden_g_, *slope_;
};

void learn_head_simd(const FastWeightsArgs& args, const StateRows& rows, int32_t head, const FastWeightsStats& stats) {
  Learner learner(args, head, rows.state + 2 * head * args.sizes.n_weights());
  const int64_t first = args.positions[static_cast<size_t>(rows.begin)];
  if (first == 0) learner.begin();
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    learner.token(r, (first + r - rows.begin) % args.sizes.batch_size, stats);
  }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace orrery
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace orrery {

namespace {

constexpr int64_t kElementsPerTask = 16384;  // some 2 us: below that, sharing costs more than it gains

void check_shapes(const FastWeightsArgs& args) {
  const FastWeightsSizes& sizes = args.sizes;
  const int64_t width = int64_t{sizes.n_heads} * sizes.d_head;
  CHECK(sizes.d_head > 0 && sizes.batch_size > 0, "there is nothing to learn with");
  CHECK(args.q.n_cols == width && args.k.n_cols == width && args.v.n_cols == width && args.out.n_cols == width,
        "queries, keys, values and output are not alike");
  CHECK(args.rate.n_cols == sizes.n_heads, "not one rate a head");
  CHECK(static_cast<int64_t>(args.share.size()) == sizes.batch_size, "shares: another number");
  CHECK(static_cast<int64_t>(args.learned.size()) == sizes.n_heads * sizes.n_weights(), "weights: another number");
  CHECK(static_cast<int64_t>(args.positions.size()) == args.q.n_rows, "positions: another number");
}

}  // namespace

HWY_EXPORT(learn_head_simd);

void fast_weights(const FastWeightsArgs& args, const FastWeightsStats& stats, ThreadPool& pool) {
  check_shapes(args);
  for (const StateRows& rows : args.sequences) {
    const int64_t elements = 4 * args.sizes.n_weights() * (rows.end - rows.begin);
    pool.parallel_for(args.sizes.n_heads, kElementsPerTask / (elements + 1) + 1, [&](int64_t begin, int64_t end) {
      for (int64_t head = begin; head < end; ++head) {
        HWY_DYNAMIC_DISPATCH(learn_head_simd)(args, rows, static_cast<int32_t>(head), stats);
      }
    });
  }
}

}  // namespace orrery
#endif  // HWY_ONCE
