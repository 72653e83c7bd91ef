// SandwichBlock: x = after_mixer(x + mixer(before_mixer(x))), x = after_ffn(x + feed_forward(before_ffn(x))): the norms
// behind take the residual stream in. Source: Geiping et al. 2025 (Huginn), section 3.2; reference class SandwichBlock.
#pragma once

#include <memory>
#include <vector>

#include "engine/block.h"

namespace orrery {

// Weights of RMS norms, [d_model] each.
struct SandwichNorms {
  TensorView entry = {};  // of the stream before all else, for the first block behind a loop; empty: none
  TensorView before_mixer = {};
  TensorView after_mixer = {};
  TensorView before_ffn = {};
  TensorView after_ffn = {};
  float epsilon = 0.0f;
};

class SandwichBlock final : public Block {
 public:
  SandwichBlock(const SandwichNorms& norms, std::unique_ptr<Mixer> mixer, std::unique_ptr<FeedForward> feed_forward)
      : norms_(norms), mixer_(std::move(mixer)), feed_forward_(std::move(feed_forward)) {}
  void forward(const Step& step, Matrix<float> x) const override;
  void remember(const Step& step, Matrix<const float> x) const override;
  std::vector<StateSpec> describe_state(DType kv_dtype) const override { return mixer_->describe_state(kv_dtype); }

 private:
  SandwichNorms norms_;
  std::unique_ptr<Mixer> mixer_;
  std::unique_ptr<FeedForward> feed_forward_;
};

}  // namespace orrery
