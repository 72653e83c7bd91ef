// Operations that work element by element on matrices of one shape. `out` may be an input itself; other overlap is not
// allowed. All: [n_rows, n_cols] f32.
#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include "kernels/base/tensor.h"

namespace orrery {

class ThreadPool;

// The nonlinearity of a feed-forward or a gate.
enum class Activation : uint8_t {
  kSilu,         // x / (1 + exp(-x)); Elfwing et al. 2017
  kGeluTanh,     // x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2; Hendrycks and Gimpel 2016, section 2
  kGelu,         // x (1 + erf(x / sqrt(2))) / 2; the same, exact
  kReluSquared,  // max(x, 0)^2; So et al. 2021
  kSigmoid,      // 1 / (1 + exp(-x)): gates
  kIdentity,     // x: products without a nonlinearity
};

// out = activation(x).
void activate(Activation activation, Matrix<const float> x, Matrix<float> out, ThreadPool& pool);
void activate_reference(Activation activation, Matrix<const float> x, Matrix<float> out);

// out = activation(gate) * up. Source: Shazeer 2020 (SwiGLU, GeGLU).
void activate_multiply(Activation activation, Matrix<const float> gate, Matrix<const float> up, Matrix<float> out,
                       ThreadPool& pool);
void activate_multiply_reference(Activation activation, Matrix<const float> gate, Matrix<const float> up,
                                 Matrix<float> out);

// out = g sigmoid(slope g) (u + 1) with g = min(gate, limit) and u within [-limit, limit], limit > 0.
// Source: OpenAI 2025 (gpt-oss); reference class GptOssExperts.
struct ClippedGate {
  float limit = 0.0f;
  float slope = 1.0f;
};
void clipped_multiply(ClippedGate clipped, Matrix<const float> gate, Matrix<const float> up, Matrix<float> out,
                      ThreadPool& pool);
void clipped_multiply_reference(ClippedGate clipped, Matrix<const float> gate, Matrix<const float> up,
                                Matrix<float> out);

// out = x within [-limit, limit], limit > 0; what is not a number stays so.
void clip(Matrix<const float> x, float limit, Matrix<float> out, ThreadPool& pool);
void clip_reference(Matrix<const float> x, float limit, Matrix<float> out);

// out = cap * tanh(x / cap), cap > 0: keeps logits within (-cap, cap). Source: Gemma Team 2024 (Gemma 2), section 2.
void soft_cap(Matrix<const float> x, float cap, Matrix<float> out, ThreadPool& pool);
void soft_cap_reference(Matrix<const float> x, float cap, Matrix<float> out);

// out = a + factor * b (the residual stream).
void add(Matrix<const float> a, Matrix<const float> b, float factor, Matrix<float> out, ThreadPool& pool);
void add_reference(Matrix<const float> a, Matrix<const float> b, float factor, Matrix<float> out);

// out = x * factor.
void scale(Matrix<const float> x, float factor, Matrix<float> out, ThreadPool& pool);
void scale_reference(Matrix<const float> x, float factor, Matrix<float> out);

// x[r, g * n + i] *= activation(gates[r, g]) for n = x.n_cols / gates.n_cols: a gate per head, or one per row.
void gate_groups(Activation activation, Matrix<const float> gates, Matrix<float> x, ThreadPool& pool);
void gate_groups_reference(Activation activation, Matrix<const float> gates, Matrix<float> x);

// out = clamp(ln(1 + exp(x + bias)), least, greatest): the time steps of state-space layers. bias: [n_cols] or empty.
// Source: Gu and Dao 2023, section 3.6; above 20 the function is its argument, as torch.nn.functional.softplus has it.
struct SoftplusRange {
  float least = 0.0f;
  float greatest = std::numeric_limits<float>::infinity();
};
void softplus(Matrix<const float> x, std::span<const float> bias, SoftplusRange range, Matrix<float> out,
              ThreadPool& pool);
void softplus_reference(Matrix<const float> x, std::span<const float> bias, SoftplusRange range, Matrix<float> out);

}  // namespace orrery
