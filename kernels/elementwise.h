// Operations that work element by element on matrices of one shape. `out` may be an input itself; other overlap is not
// allowed. All: [n_rows, n_cols] f32.
#pragma once

#include <cstdint>

#include "kernels/base/tensor.h"

namespace orrery {

class ThreadPool;

// The nonlinearity of a feed-forward.
enum class Activation : uint8_t {
  kSilu,         // x / (1 + exp(-x)); Elfwing et al. 2017
  kGeluTanh,     // x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2; Hendrycks and Gimpel 2016, section 2
  kGelu,         // x (1 + erf(x / sqrt(2))) / 2; the same, exact
  kReluSquared,  // max(x, 0)^2; So et al. 2021
};

// out = activation(x).
void activate(Activation activation, Matrix<const float> x, Matrix<float> out, ThreadPool& pool);
void activate_reference(Activation activation, Matrix<const float> x, Matrix<float> out);

// out = activation(gate) * up. Source: Shazeer 2020 (SwiGLU, GeGLU).
void activate_multiply(Activation activation, Matrix<const float> gate, Matrix<const float> up, Matrix<float> out,
                       ThreadPool& pool);
void activate_multiply_reference(Activation activation, Matrix<const float> gate, Matrix<const float> up,
                                 Matrix<float> out);

// out = cap * tanh(x / cap), cap > 0: keeps logits within (-cap, cap). Source: Gemma Team 2024 (Gemma 2), section 2.
void soft_cap(Matrix<const float> x, float cap, Matrix<float> out, ThreadPool& pool);
void soft_cap_reference(Matrix<const float> x, float cap, Matrix<float> out);

// out = a + b (the residual stream).
void add(Matrix<const float> a, Matrix<const float> b, Matrix<float> out, ThreadPool& pool);
void add_reference(Matrix<const float> a, Matrix<const float> b, Matrix<float> out);

// out = x * factor.
void scale(Matrix<const float> x, float factor, Matrix<float> out, ThreadPool& pool);
void scale_reference(Matrix<const float> x, float factor, Matrix<float> out);

}  // namespace orrery
