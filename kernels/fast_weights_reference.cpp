#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/fast_weights.h"

namespace orrery {

namespace {

using Doubles = std::vector<double>;

// A matrix [n_in, n_out] and a bias [n_out] of a head, at W_0 and in G.
struct Affine {
  int64_t n_in = 0, n_out = 0;
  const float* weights = nullptr;  // W_0: the matrix, then the bias
  const float* sums = nullptr;     // G

  int64_t n_weights() const { return n_in * n_out + n_out; }
  // x (W_0 - share G) + b
  Doubles apply(const Doubles& x, double share) const {
    const auto at = [&](int64_t i) { return double{weights[i]} - share * double{sums[i]}; };
    Doubles out(static_cast<size_t>(n_out));
    for (int64_t j = 0; j < n_out; ++j) {
      double sum = at(n_in * n_out + j);
      for (int64_t i = 0; i < n_in; ++i) sum += x[static_cast<size_t>(i)] * at(i * n_out + j);
      out[static_cast<size_t>(j)] = sum;
    }
    return out;
  }
};

Doubles gelu(const Doubles& x, bool wants_derivative) {
  const double c = std::sqrt(2.0 / std::acos(-1.0));
  Doubles out(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double u = x[i], tanh = std::tanh(c * (u + 0.044715 * u * u * u));
    out[i] = wants_derivative ? 0.5 * (1.0 + tanh) + 0.5 * u * (1.0 - tanh * tanh) * c * (1.0 + 3.0 * 0.044715 * u * u)
                              : 0.5 * u * (1.0 + tanh);
  }
  return out;
}

// One head while it learns from one sequence.
class Learner {
 public:
  Learner(const FastWeightsArgs& args, int32_t head, float* state)
      : args_(args),
        d_(static_cast<size_t>(args.sizes.d_head)),
        head_(head),
        n_weights_(args.sizes.n_weights()),
        start_(state),
        sums_(state + n_weights_),
        learned_(args.learned.data() + head * n_weights_) {
    const int64_t d = args.sizes.d_head, hidden = args.sizes.d_hidden;
    first_ = {.n_in = d, .n_out = hidden == 0 ? d : hidden, .weights = start_, .sums = sums_};
    if (hidden == 0) return;
    const int64_t n = first_.n_weights();
    second_ = {.n_in = hidden, .n_out = d, .weights = start_ + n, .sums = sums_ + n};
  }

  void begin() {
    std::copy(learned_, learned_ + n_weights_, start_);
    std::fill(sums_, sums_ + n_weights_, 0.0f);
  }

  void token(int64_t r, int64_t place, const FastWeightsStats& stats) {
    const double share = double{args_.share[static_cast<size_t>(place)]};
    const double share_before = place == 0 ? 0.0 : double{args_.share[static_cast<size_t>(place) - 1]};
    const double rate = double{args_.base_rate} / (1.0 + std::exp(-double{args_.rate.row(r)[head_]})) /
                        static_cast<double>(args_.sizes.d_head);
    const Doubles q = part(args_.q, r), k = part(args_.k, r), v = part(args_.v, r);
    const auto put = [&](StatSlot slot, double value) {
      if (slot) slot.row(r)[head_] = static_cast<float>(value);
    };
    if (stats.loss_before) put(stats.loss_before, loss(k, v, share_before));
    put(stats.update, std::sqrt(learn(k, v, rate, share, share_before)));
    if (stats.loss_after) put(stats.loss_after, loss(k, v, share));
    put(stats.rate, share * rate);
    if (stats.drift) put(stats.drift, drift(share));
    const Doubles y = normed(apply(q, share));
    for (size_t i = 0; i < d_; ++i) args_.out.row(r)[first_column() + i] = static_cast<float>(q[i] + y[i]);
    if (place + 1 == args_.sizes.batch_size) settle(share);
  }

 private:
  size_t first_column() const { return static_cast<size_t>(head_) * d_; }
  Doubles part(Matrix<const float> x, int64_t r) const {
    const float* const values = x.row(r) + first_column();
    return {values, values + d_};
  }
  double gamma(size_t i) const { return double{args_.norm_weight[first_column() + i]}; }
  double beta(size_t i) const { return double{args_.norm_bias[first_column() + i]}; }

  Doubles apply(const Doubles& x, double share) const {
    const Doubles z = first_.apply(x, share);
    return args_.sizes.d_hidden == 0 ? z : second_.apply(gelu(z, false), share);
  }

  // (z - mean) / deviation; the deviation.
  Doubles standardised(const Doubles& z, double& deviation) const {
    const auto n = static_cast<double>(d_);
    double mean = 0.0, variance = 0.0;
    for (const double x : z) mean += x / n;
    for (const double x : z) variance += (x - mean) * (x - mean) / n;
    deviation = std::sqrt(variance + double{args_.epsilon});
    Doubles out(d_);
    for (size_t i = 0; i < d_; ++i) out[i] = (z[i] - mean) / deviation;
    return out;
  }
  Doubles normed(const Doubles& z) const {
    double deviation = 0.0;
    Doubles out = standardised(z, deviation);
    for (size_t i = 0; i < d_; ++i) out[i] = gamma(i) * out[i] + beta(i);
    return out;
  }

  double loss(const Doubles& k, const Doubles& v, double share) const {
    const Doubles y = normed(apply(k, share));
    double sum = 0.0;
    for (size_t i = 0; i < d_; ++i) sum += (y[i] - (v[i] - k[i])) * (y[i] - (v[i] - k[i]));
    return 0.5 * sum;
  }

  // dl/dz at W_0, z being what enters the layer norm.
  Doubles gradient(const Doubles& z, const Doubles& k, const Doubles& v) const {
    const auto n = static_cast<double>(d_);
    double deviation = 0.0;
    const Doubles x = standardised(z, deviation);
    Doubles g(d_);
    double mean = 0.0, mean_x = 0.0;
    for (size_t i = 0; i < d_; ++i) {
      g[i] = (gamma(i) * x[i] + beta(i) - (v[i] - k[i])) * gamma(i);
      mean += g[i] / n;
      mean_x += g[i] * x[i] / n;
    }
    for (size_t i = 0; i < d_; ++i) g[i] = (g[i] - mean - x[i] * mean_x) / deviation;
    return g;
  }

  // Adds the token's gradients to G; the squared norm of what that changes in W.
  double learn(const Doubles& k, const Doubles& v, double rate, double share, double share_before) {
    double squares = 0.0;
    const auto add = [&](float& sum, double gradient) {
      const auto after = static_cast<float>(double{sum} + rate * gradient);
      const double change = share * double{after} - share_before * double{sum};
      squares += change * change;
      sum = after;
    };
    const auto add_to = [&](const Affine& layer, const Doubles& x, const Doubles& g) {
      float* const sums = sums_ + (layer.sums - sums_);
      for (int64_t i = 0; i < layer.n_in; ++i) {
        for (int64_t j = 0; j < layer.n_out; ++j) {
          add(sums[i * layer.n_out + j], x[static_cast<size_t>(i)] * g[static_cast<size_t>(j)]);
        }
      }
      for (int64_t j = 0; j < layer.n_out; ++j) add(sums[layer.n_in * layer.n_out + j], g[static_cast<size_t>(j)]);
    };
    const Doubles z = first_.apply(k, 0.0);
    if (args_.sizes.d_hidden == 0) {
      add_to(first_, k, gradient(z, k, v));
      return squares;
    }
    const Doubles x = gelu(z, false), g = gradient(second_.apply(x, 0.0), k, v);
    Doubles g_hidden = gelu(z, true);
    for (size_t i = 0; i < g_hidden.size(); ++i) {
      double sum = 0.0;
      for (size_t j = 0; j < d_; ++j) sum += double{second_.weights[i * d_ + j]} * g[j];
      g_hidden[i] *= sum;
    }
    add_to(first_, k, g_hidden);
    add_to(second_, x, g);
    return squares;
  }

  double drift(double share) const {
    double squares = 0.0;
    for (int64_t i = 0; i < n_weights_; ++i) {
      const double away = double{start_[i]} - double{learned_[i]} - share * double{sums_[i]};
      squares += away * away;
    }
    return std::sqrt(squares);
  }

  void settle(double share) {
    for (int64_t i = 0; i < n_weights_; ++i) {
      start_[i] = static_cast<float>(double{start_[i]} - share * double{sums_[i]});
      sums_[i] = 0.0f;
    }
  }

  const FastWeightsArgs& args_;
  const size_t d_;
  const int32_t head_;
  const int64_t n_weights_;
  float* const start_;
  float* const sums_;
  const float* const learned_;
  Affine first_, second_;
};

}  // namespace

void learn_head_reference(const FastWeightsArgs& args, const StateRows& rows, int32_t head,
                          const FastWeightsStats& stats) {
  Learner learner(args, head, rows.state + 2 * head * args.sizes.n_weights());
  const int64_t first = args.positions[static_cast<size_t>(rows.begin)];
  if (first == 0) learner.begin();
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    learner.token(r, (first + r - rows.begin) % args.sizes.batch_size, stats);
  }
}

void fast_weights_reference(const FastWeightsArgs& args, const FastWeightsStats& stats) {
  for (const StateRows& rows : args.sequences) {
    for (int32_t head = 0; head < args.sizes.n_heads; ++head) learn_head_reference(args, rows, head, stats);
  }
}

}  // namespace orrery
