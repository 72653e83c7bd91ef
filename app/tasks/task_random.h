// TaskRandom: the same numbers for the same seed on every machine, unlike the standard library's distributions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace orrery {

class TaskRandom {
 public:
  explicit TaskRandom(uint64_t seed) : engine_(seed) {}

  // 0 .. n - 1, n > 0, all alike: numbers beyond the last whole multiple of n are drawn again.
  uint64_t below(uint64_t n) {
    const uint64_t limit = UINT64_MAX - UINT64_MAX % n;
    uint64_t drawn = engine_();
    while (drawn >= limit) drawn = engine_();
    return drawn % n;
  }
  int64_t between(int64_t least, int64_t greatest) {  // both included
    return least + static_cast<int64_t>(below(static_cast<uint64_t>(greatest - least + 1)));
  }
  // In [0, 1), in steps of 2^-53.
  double share() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
  template <typename T>
  void shuffle(std::vector<T>& values) {
    for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace orrery
