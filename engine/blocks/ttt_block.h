// TttBlock: a convolution of the stream, x += conv(norm(x)), before the block of a test-time training layer. Source:
// Sun et al. 2024 (the Mamba backbone), reference class Block of the authors' ttt-lm-pytorch with pre_conv.
#pragma once

#include <memory>
#include <vector>

#include "engine/block.h"

namespace orrery {

struct TttConvWeights {
  TensorView norm;        // [d_model] f32, RMS
  TensorView taps, bias;  // [n_taps, d_model] f32, oldest first; [d_model] f32
};

class TttBlock final : public Block {
 public:
  // inner: with a TttMixer, which says what the layer keeps of its convolutions, this one's first.
  TttBlock(const ConvConfig& conv, const TttConvWeights& weights, float epsilon, std::unique_ptr<Block> inner)
      : conv_(conv), weights_(weights), epsilon_(epsilon), inner_(std::move(inner)) {}

  void forward(const Step& step, Matrix<float> x) const override;
  std::vector<StateSpec> describe_state(DType kv_dtype) const override { return inner_->describe_state(kv_dtype); }

 private:
  ConvConfig conv_;
  TttConvWeights weights_;
  float epsilon_;
  std::unique_ptr<Block> inner_;
};

}  // namespace orrery
