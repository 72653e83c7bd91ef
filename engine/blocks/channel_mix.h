// ChannelMix: RWKV's feed-forward, down(max(up(x + mu (x_prev - x)), 0)^2), of a token and the one before it. Source:
// Peng et al. 2025 (RWKV-7 "Goose").
#pragma once

#include "engine/block.h"

namespace orrery {

struct ChannelMixWeights {
  TensorView mix;   // [d_model] f32: mu
  TensorView up;    // [d_ffn, d_model]
  TensorView down;  // [d_model, d_ffn]
};

// The layer's mixer describes its state: both lie together (engine/blocks/token_shift.h).
class ChannelMix final : public FeedForward {
 public:
  explicit ChannelMix(const ChannelMixWeights& weights) : weights_(weights) {}
  void forward(const Step& step, Matrix<const float> x, Matrix<float> out) const override;

 private:
  ChannelMixWeights weights_;
};

}  // namespace orrery
