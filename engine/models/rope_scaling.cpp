#include "engine/models/rope_scaling.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace orrery {

namespace {

// base^(-i / width) for i = 0, 2, ... below n_rot: radians per position.
std::vector<double> frequencies(double base, int64_t n_rot, int64_t width) {
  std::vector<double> all;
  for (int64_t i = 0; i < n_rot; i += 2) {
    all.push_back(std::pow(base, -static_cast<double>(i) / static_cast<double>(width)));
  }
  return all;
}

// Frequencies that turn `turns` times over the original length lie at this dimension pair (YaRN, eq. 17).
double yarn_bound(const RopeScaling& s, double turns) {
  const double length = static_cast<double>(s.original_length);
  return static_cast<double>(s.n_rot) * std::log(length / (turns * 2.0 * std::numbers::pi)) / (2.0 * std::log(s.base));
}

void scale_yarn(const RopeScaling& s, std::vector<double>& all) {
  double low = yarn_bound(s, s.beta_fast);
  double high = yarn_bound(s, s.beta_slow);
  if (s.whole_bounds) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(s.n_rot - 1));
  if (low == high) high += 0.001;  // as the reference: no division by zero
  for (size_t i = 0; i < all.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    all[i] = all[i] / s.factor * ramp + all[i] * (1.0 - ramp);
  }
}

double yarn_magnitude(const RopeScaling& s) {
  const auto recommended = [&](double weight) {
    return s.factor <= 1.0 ? 1.0 : 0.1 * weight * std::log(s.factor) + 1.0;
  };
  if (s.mscale != 0.0 && s.mscale_all_dim != 0.0) return recommended(s.mscale) / recommended(s.mscale_all_dim);
  return recommended(1.0);
}

void scale_llama3(const RopeScaling& s, std::vector<double>& all) {
  const double length = static_cast<double>(s.original_length);
  for (double& frequency : all) {
    const double wavelength = 2.0 * std::numbers::pi / frequency;
    if (wavelength < length / s.high_frequency_factor) continue;
    double kept = 0.0;  // share of the unscaled frequency
    if (wavelength <= length / s.low_frequency_factor) {
      kept = (length / wavelength - s.low_frequency_factor) / (s.high_frequency_factor - s.low_frequency_factor);
    }
    frequency = (1.0 - kept) * frequency / s.factor + kept * frequency;
  }
}

double long_rope_magnitude(const RopeScaling& s) {
  if (s.factor <= 1.0) return 1.0;
  return std::sqrt(1.0 + std::log(s.factor) / std::log(static_cast<double>(s.original_length)));
}

std::vector<double> divided(std::vector<double> all, const std::vector<double>& factors) {
  for (size_t i = 0; i < all.size(); ++i) all[i] /= factors[i];
  return all;
}

std::vector<float> to_float(const std::vector<double>& all) { return {all.begin(), all.end()}; }

}  // namespace

void fill_rope(const RopeScaling& s, RopeConfig& rope) {
  const bool over_the_head = s.kind == RopeScalingKind::kProportional;
  std::vector<double> all = frequencies(s.base, s.n_rot, over_the_head ? s.d_head : s.n_rot);
  double recommended = 1.0;
  rope.beyond = {};
  switch (s.kind) {
    case RopeScalingKind::kNone:
      break;
    case RopeScalingKind::kProportional:
      all.resize(static_cast<size_t>(s.d_head / 2), 0.0);
      [[fallthrough]];
    case RopeScalingKind::kLinear:
      for (double& frequency : all) frequency /= s.factor;
      break;
    case RopeScalingKind::kDynamicNtk:
      rope.beyond = {.length = s.original_length, .base = s.base, .factor = s.factor, .frequencies = {}};
      break;
    case RopeScalingKind::kYarn:
      scale_yarn(s, all);
      recommended = yarn_magnitude(s);
      break;
    case RopeScalingKind::kLlama3:
      scale_llama3(s, all);
      break;
    case RopeScalingKind::kLongRope:
      rope.beyond.length = s.original_length;
      rope.beyond.frequencies = to_float(divided(all, s.long_factors));
      all = divided(std::move(all), s.short_factors);
      recommended = long_rope_magnitude(s);
      break;
  }
  rope.inverse_frequencies = to_float(all);
  rope.magnitude = static_cast<float>(s.magnitude.value_or(recommended));
}

int64_t stretched_length(const RopeScaling& scaling, int64_t stated) {
  if (scaling.kind == RopeScalingKind::kNone || scaling.kind == RopeScalingKind::kProportional) return stated;
  const int64_t original = scaling.original_length > 0 ? scaling.original_length : stated;
  constexpr double kMost = 1e12;
  return std::max(stated, static_cast<int64_t>(std::min(static_cast<double>(original) * scaling.factor, kMost)));
}

}  // namespace orrery
