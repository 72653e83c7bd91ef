// How long a recurrent state keeps what it holds.
#pragma once

#include <cmath>
#include <limits>

namespace orrery {

inline constexpr const char* kNeverDecays = "never decays";

// Tokens until half is left at one step's keep, ln 2 / -ln keep: infinite where all is kept, 0 where nothing is.
inline float half_life(float keep) {
  if (std::isnan(keep)) return keep;
  if (keep >= 1) return std::numeric_limits<float>::infinity();
  if (keep <= 0) return 0;
  return static_cast<float>(std::log(2.0) / -std::log(static_cast<double>(keep)));
}

}  // namespace orrery
