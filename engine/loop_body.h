// LoopBody: what a looped model does around its blocks in every iteration; the blocks themselves are visited like all
// others. A loop is h_0 = begin(e); h_i = leave(blocks(enter(h_{i-1}, e))), e being the stream that reaches the loop.
#pragma once

#include "engine/block.h"

namespace orrery {

class LoopBody {
 public:
  virtual ~LoopBody() = default;
  // state [n_rows, d_model] = h_0, of e = entry [n_rows, d_model]. Unless overridden, e itself.
  virtual void begin(const Step& step, Matrix<const float> entry, Matrix<float> state) const;
  // state: h_{i-1} becomes what the blocks read. Unless overridden, it is.
  virtual void enter(const Step& step, Matrix<const float> entry, Matrix<float> state) const;
  // state: what the blocks gave becomes h_i; before: h_{i-1}. Unless overridden, it is.
  virtual void leave(const Step& step, Matrix<const float> before, Matrix<float> state) const;
  // probability [n_rows, 1] of stopping after this iteration where it was not before, in (0, 1), of state = h_i. For
  // models with LoopConfig::has_gate.
  virtual void gate(const Step& step, Matrix<const float> state, Matrix<float> probability) const;
  // Whether h_i has passed the final norm, so that what is read of it must not again.
  virtual bool is_normed() const { return false; }
};

// The training-free loop: h_i = h_{i-1} + (F(h_{i-1}) - h_{i-1}) / K, K sub-steps of the ordinary differential equation
// whose one Euler step a run of layers F is. Source: arXiv 2605.23872; the factor is the equation's, no code was
// published.
class DampedLoop final : public LoopBody {
 public:
  explicit DampedLoop(int32_t n_iterations) : share_(1.0f / static_cast<float>(n_iterations)) {}
  void leave(const Step& step, Matrix<const float> before, Matrix<float> state) const override;

 private:
  float share_;
};

// Ouro's: every iteration ends with the final norm, and a linear gate reads it. Source: Zhu et al. 2025 (Ouro), section
// 3; reference class OuroModel.
struct NormedLoopWeights {
  TensorView norm;             // [d_model]
  TensorView gate, gate_bias;  // [1, d_model], [1]
};

class NormedLoop final : public LoopBody {
 public:
  NormedLoop(const NormedLoopWeights& weights, float norm_epsilon) : weights_(weights), norm_epsilon_(norm_epsilon) {}
  void leave(const Step& step, Matrix<const float> before, Matrix<float> state) const override;
  void gate(const Step& step, Matrix<const float> state, Matrix<float> probability) const override;
  bool is_normed() const override { return true; }

 private:
  NormedLoopWeights weights_;
  float norm_epsilon_;
};

}  // namespace orrery
