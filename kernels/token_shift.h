// Token shift: mixtures of a token's row with the row of the token before it, of which sequences remember the last.
// out[t, c * d + i] = x[t, i] + mix[c, i] * (x[t - 1, i] - x[t, i]), x before the beginning being 0.
// Source: Peng et al. 2025 (RWKV-7 "Goose").
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor.h"
#include "kernels/state_rows.h"

namespace orrery {

class ThreadPool;

struct TokenShiftArgs {
  Matrix<const float> x;       // [n_rows, d]
  std::span<const float> mix;  // [n_mixes, d]
  Matrix<float> out;           // [n_rows, n_mixes * d]; must not overlap x
  // Their states: [d] f32, the row of x before the first one; then the last.
  std::span<const StateRows> sequences;

  int64_t n_mixes() const { return static_cast<int64_t>(mix.size()) / x.n_cols; }
};

void token_shift(const TokenShiftArgs& args, ThreadPool& pool);
// The same in plain scalar code, in double.
void token_shift_reference(const TokenShiftArgs& args);

}  // namespace orrery
