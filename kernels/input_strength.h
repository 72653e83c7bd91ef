// How strongly a gated linear recurrence writes its input, so that its state keeps its size: sqrt(1 - a^2) for a decay
// a. Source: De et al. 2024 (Griffin), eq. 4.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor.h"

namespace orrery {

class ThreadPool;

// out[r, c] = sqrt(1 - a^2), a = exp(rate[r, c] * log_decay[c]); 1 where positions[r] is 0: nothing came before.
// rate: [n_rows, n_cols] >= 0; log_decay: [n_cols] <= 0; out may be rate itself.
void input_strength(Matrix<const float> rate, std::span<const float> log_decay, std::span<const int64_t> positions,
                    Matrix<float> out, ThreadPool& pool);
// The same in plain scalar code, in double.
void input_strength_reference(Matrix<const float> rate, std::span<const float> log_decay,
                              std::span<const int64_t> positions, Matrix<float> out);

}  // namespace orrery
