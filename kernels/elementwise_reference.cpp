#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/elementwise.h"

namespace orrery {

namespace {

double activation_of(Activation activation, double x) {
  switch (activation) {
    case Activation::kSilu:
      return x / (1.0 + std::exp(-x));
    case Activation::kGeluTanh:
      return x * (1.0 + std::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x))) / 2.0;
    case Activation::kGelu:
      return x * std::erfc(-x / std::numbers::sqrt2) / 2.0;
    case Activation::kReluSquared:
      return x > 0.0 ? x * x : 0.0;
    case Activation::kSigmoid:
      return 1.0 / (1.0 + std::exp(-x));
    case Activation::kIdentity:
      return x;
  }
  return 0.0;
}

double clipped(double x, double limit) { return std::isnan(x) ? x : std::clamp(x, -limit, limit); }

}  // namespace

void activate_reference(Activation activation, Matrix<const float> x, Matrix<float> out) {
  for (int64_t r = 0; r < out.n_rows; ++r) {
    for (int64_t i = 0; i < out.n_cols; ++i) {
      out.row(r)[i] = static_cast<float>(activation_of(activation, x.row(r)[i]));
    }
  }
}

void activate_multiply_reference(Activation activation, Matrix<const float> gate, Matrix<const float> up,
                                 Matrix<float> out) {
  for (int64_t r = 0; r < out.n_rows; ++r) {
    for (int64_t i = 0; i < out.n_cols; ++i) {
      out.row(r)[i] = static_cast<float>(activation_of(activation, gate.row(r)[i]) * up.row(r)[i]);
    }
  }
}

void clipped_multiply_reference(ClippedGate clipping, Matrix<const float> gate, Matrix<const float> up,
                                Matrix<float> out) {
  for (int64_t r = 0; r < out.n_rows; ++r) {
    for (int64_t i = 0; i < out.n_cols; ++i) {
      const double g = gate.row(r)[i] > clipping.limit ? clipping.limit : gate.row(r)[i];
      const double activated = g / (1.0 + std::exp(-double{clipping.slope} * g));
      out.row(r)[i] = static_cast<float>(activated * (clipped(up.row(r)[i], clipping.limit) + 1.0));
    }
  }
}

void clip_reference(Matrix<const float> x, float limit, Matrix<float> out) {
  for (int64_t r = 0; r < out.n_rows; ++r) {
    for (int64_t i = 0; i < out.n_cols; ++i) out.row(r)[i] = static_cast<float>(clipped(x.row(r)[i], limit));
  }
}

void soft_cap_reference(Matrix<const float> x, float cap, Matrix<float> out) {
  for (int64_t r = 0; r < out.n_rows; ++r) {
    for (int64_t i = 0; i < out.n_cols; ++i) {
      out.row(r)[i] = static_cast<float>(double{cap} * std::tanh(double{x.row(r)[i]} / cap));
    }
  }
}

void add_reference(Matrix<const float> a, Matrix<const float> b, float factor, Matrix<float> out) {
  for (int64_t r = 0; r < out.n_rows; ++r) {
    for (int64_t i = 0; i < out.n_cols; ++i) {
      out.row(r)[i] = static_cast<float>(double{a.row(r)[i]} + double{factor} * double{b.row(r)[i]});
    }
  }
}

void gate_groups_reference(Activation activation, Matrix<const float> gates, Matrix<float> x) {
  const int64_t n = x.n_cols / gates.n_cols;
  for (int64_t r = 0; r < x.n_rows; ++r) {
    for (int64_t i = 0; i < x.n_cols; ++i) {
      x.row(r)[i] = static_cast<float>(activation_of(activation, gates.row(r)[i / n]) * x.row(r)[i]);
    }
  }
}

void softplus_reference(Matrix<const float> x, std::span<const float> bias, SoftplusRange range, Matrix<float> out) {
  for (int64_t r = 0; r < x.n_rows; ++r) {
    for (int64_t i = 0; i < x.n_cols; ++i) {
      const double sum = double{x.row(r)[i]} + (bias.empty() ? 0.0 : double{bias[static_cast<size_t>(i)]});
      const double value = sum > 20.0 ? sum : std::log1p(std::exp(sum));
      out.row(r)[i] = static_cast<float>(std::min(double{range.greatest}, std::max(double{range.least}, value)));
    }
  }
}

void scale_reference(Matrix<const float> x, float factor, Matrix<float> out) {
  for (int64_t r = 0; r < out.n_rows; ++r) {
    for (int64_t i = 0; i < out.n_cols; ++i) out.row(r)[i] = x.row(r)[i] * factor;
  }
}

}  // namespace orrery
