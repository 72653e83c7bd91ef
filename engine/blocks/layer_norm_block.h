// LayerNormBlock: a layer whose norms take the mean away: x += mixer(norm(x)), then x += feed_forward(norm(x)); RWKV's
// first layer norms the stream itself before. Source: Peng et al. 2025 (RWKV-7 "Goose").
#pragma once

#include <memory>
#include <vector>

#include "engine/block.h"

namespace orrery {

struct LayerNormWeights {
  TensorView weight;  // [d_model] f32
  TensorView bias;    // [d_model] f32, or empty
};

struct LayerNormBlockConfig {
  LayerNormWeights stream;  // empty: the stream enters as it is
  LayerNormWeights mixer, ffn;
  float epsilon = 0.0f;
};

class LayerNormBlock final : public Block {
 public:
  LayerNormBlock(const LayerNormBlockConfig& config, std::unique_ptr<Mixer> mixer,
                 std::unique_ptr<FeedForward> feed_forward)
      : config_(config), mixer_(std::move(mixer)), feed_forward_(std::move(feed_forward)) {}
  void forward(const Step& step, Matrix<float> x) const override;
  std::vector<StateSpec> describe_state(DType kv_dtype) const override { return mixer_->describe_state(kv_dtype); }

 private:
  LayerNormBlockConfig config_;
  std::unique_ptr<Mixer> mixer_;
  std::unique_ptr<FeedForward> feed_forward_;
};

}  // namespace orrery
