// The token shift of kernels/token_shift.h inside a layer: what a layer's two parts remember of the last token lies in
// one state, a row each.
#pragma once

#include "engine/block.h"

namespace orrery {

enum class ShiftPlace : uint8_t { kTimeMix, kChannelMix };

// [2, d_model]: the last row that each part read.
StateSpec describe_token_shift(int64_t d_model);
// out [n_rows, n_mixes * d_model] = mixtures of x [n_rows, d_model] with the rows before; mix [n_mixes, d_model] f32.
void shift_tokens(const Step& step, ShiftPlace place, const TensorView& mix, Matrix<const float> x, Matrix<float> out);

}  // namespace orrery
