// The arithmetic of rotary frequencies: base, partial rotation and the scalings that stretch a context.
// Reference: transformers 5.23 modeling_rope_utils.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/config.h"

namespace orrery {

enum class RopeScalingKind : uint8_t {
  kNone,
  kLinear,        // every frequency divided by the factor (position interpolation, Chen et al. 2023)
  kDynamicNtk,    // the base grows with the sequence once that is longer than the original
  kYarn,          // low frequencies interpolated, high ones kept, a ramp between (Peng et al. 2023)
  kLlama3,        // the same in wavelengths, with a blend between two bounds (Llama 3.1)
  kLongRope,      // a factor per frequency: short ones up to the original length, long ones beyond (Ding et al. 2024)
  kProportional,  // the first share of the frequencies over the whole head; the others do not turn
};

// What a model says of its rotation, checked by whoever reads it: all numbers finite, base, factors and lengths > 0,
// n_rot even and at most d_head, low_frequency < high_frequency, factor lists [n_rot / 2].
struct RopeScaling {
  RopeScalingKind kind = RopeScalingKind::kNone;
  double base = 10000.0;
  int64_t d_head = 0;
  int64_t n_rot = 0;            // dimensions of a head that turn
  double factor = 1.0;          // by how much the context is stretched
  int64_t original_length = 0;  // positions before stretching; 0: not stated (then only kNone, kLinear, kProportional)
  std::optional<double> magnitude;  // of sine and cosine; where absent, what the scaling's paper recommends
  // YaRN: turns over the original length that bound the ramp; whole dimensions as bounds; DeepSeek's magnitudes.
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  bool whole_bounds = true;
  double mscale = 0.0;
  double mscale_all_dim = 0.0;
  // Llama 3
  double low_frequency_factor = 1.0;
  double high_frequency_factor = 4.0;
  // LongRoPE
  std::vector<double> short_factors;  // [n_rot / 2]
  std::vector<double> long_factors;   // [n_rot / 2]
};

// Frequencies and magnitude; the pairing is left as it is.
void fill_rope(const RopeScaling& scaling, RopeConfig& rope);

// Positions that the scaled rotation is made for, from those that the file states: a factor may not be part of them.
int64_t stretched_length(const RopeScaling& scaling, int64_t stated);

}  // namespace orrery
