// How many steps, keys or heads share a cell of a map.
#pragma once

#include <algorithm>
#include <cstdint>

namespace orrery {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The smallest power of two that makes at most max_cells of n: cells keep their contents while n grows a little.
inline int64_t bin_size(int64_t n, int max_cells) {
  int64_t size = 1;
  while (ceil_div(n, size) > std::max(max_cells, 1)) size *= 2;
  return size;
}

}  // namespace orrery
