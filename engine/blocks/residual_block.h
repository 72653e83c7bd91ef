// ResidualBlock: x += mixer(x), then x += feed_forward(x), each with norms around it as the architecture has them. One
// of the two may be missing: Mamba has mixers alone, and Nemotron-H one or the other.
#pragma once

#include <memory>
#include <vector>

#include "engine/block.h"

namespace orrery {

// Weights of RMS norms, [d_model] each. An empty one stands for no norm: llama has those before, Gemma all four.
struct BlockNorms {
  TensorView before_mixer = {};
  TensorView after_mixer = {};
  TensorView before_ffn = {};
  TensorView after_ffn = {};
  float epsilon = 0.0f;
  float residual_scale = 1.0f;  // multiplies what is added to the stream (Granite)
};

class ResidualBlock final : public Block {
 public:
  // mixer or feed_forward may be null.
  ResidualBlock(const BlockNorms& norms, std::unique_ptr<Mixer> mixer, std::unique_ptr<FeedForward> feed_forward)
      : norms_(norms), mixer_(std::move(mixer)), feed_forward_(std::move(feed_forward)) {}
  // x += after_mixer(mixer(before_mixer(x))); x += after_ffn(feed_forward(before_ffn(x)))
  void forward(const Step& step, Matrix<float> x) const override;
  void remember(const Step& step, Matrix<const float> x) const override;
  std::vector<StateSpec> describe_state(DType kv_dtype) const override {
    return mixer_ != nullptr ? mixer_->describe_state(kv_dtype) : std::vector<StateSpec>();
  }

 private:
  BlockNorms norms_;
  std::unique_ptr<Mixer> mixer_;
  std::unique_ptr<FeedForward> feed_forward_;
};

}  // namespace orrery
