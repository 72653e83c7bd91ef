// ParallelMixers: several mixers read the same input, and their outputs are summed, each with a factor of its own
// before and after. Source: Zuo et al. 2025 (Falcon-H1), reference class FalconH1DecoderLayer.
#pragma once

#include <memory>
#include <vector>

#include "engine/block.h"

namespace orrery {

struct ScaledMixer {
  std::unique_ptr<Mixer> mixer;
  float in_scale = 1.0f;
  float out_scale = 1.0f;
};

class ParallelMixers final : public Mixer {
 public:
  // At least one; their states are of different kinds.
  explicit ParallelMixers(std::vector<ScaledMixer> mixers) : mixers_(std::move(mixers)) {}

  std::vector<StateSpec> describe_state(DType kv_dtype) const override;
  void forward(const Step& step, Matrix<const float> x, Matrix<float> out) const override;

 private:
  std::vector<ScaledMixer> mixers_;
};

}  // namespace orrery
