// An element of a "largest first" list. Internal to the kernels that make such lists.
#pragma once

#include <cstdint>

namespace orrery {

struct TopEntry {
  float value = 0.0f;
  int32_t id = 0;
};

// Larger values first, ties to the lower id. Values are not NaN.
inline bool comes_first(const TopEntry& a, const TopEntry& b) {
  return a.value != b.value ? a.value > b.value : a.id < b.id;
}

}  // namespace orrery
