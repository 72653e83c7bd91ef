// InjectedLoop: Huginn's. The loop begins with random numbers, and what reaches it is put in again before every
// iteration: the blocks read adapter([h_{i-1}; e]). Source: Geiping et al. 2025 (Huginn), section 3.1; reference class
// RavenForCausalLM.
#pragma once

#include <cstdint>

#include "engine/loop_body.h"

namespace orrery {

struct InjectedLoopWeights {
  TensorView adapter;       // [d_model, 2 * d_model], of the state, then of what is put in
  TensorView adapter_bias;  // [d_model] or empty
};

class InjectedLoop final : public LoopBody {
 public:
  // deviation: of the numbers that the loop begins with.
  InjectedLoop(const InjectedLoopWeights& weights, float deviation) : weights_(weights), deviation_(deviation) {}
  void begin(const Step& step, Matrix<const float> entry, Matrix<float> state) const override;
  void enter(const Step& step, Matrix<const float> entry, Matrix<float> state) const override;

 private:
  // The same in every run, so that a run can be verified, and one fed in steps is one fed at once.
  static constexpr uint64_t kSeed = 0;
  InjectedLoopWeights weights_;
  float deviation_;
};

}  // namespace orrery
