// Rows of a stored matrix as f32: token embeddings, norm weights in half precision.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor.h"

namespace orrery {

// out[i] = weight[row, i] for all float and quantized dtypes (CHECK), bit for bit as gguf's Python reference has it;
// out: [weight.n_cols()]. 0 <= row < weight.n_rows(). Rows may lie at any alignment.
void dequantize_row(const TensorView& weight, int64_t row, std::span<float> out);

}  // namespace orrery
