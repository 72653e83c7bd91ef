// Random numbers that are functions of their place: the state that a loop begins with, if it is random (Geiping et al.
// 2025, section 3.2). Nothing is drawn one after the other, so a batch has the numbers that its rows have one by one.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor.h"

namespace orrery {

class ThreadPool;

// out[r, c] = deviation * z(seed, positions[r], c): z is normal but for what lies beyond 3, which never comes. Counters
// go through SplitMix64's output function (Steele, Lea and Flood 2014), and 23 of its bits through the inverse of the
// normal distribution by algorithm AS 241, PPND7 (Wichura 1988), good to 1e-7. In double; rounded once.
void truncated_normal(uint64_t seed, std::span<const int64_t> positions, float deviation, Matrix<float> out,
                      ThreadPool& pool);

}  // namespace orrery
