// ShortConv: LFM2's gated short convolution. [B; C; u] = in x, y = out(C * conv(B * u)), the convolution depthwise and
// causal over n_taps tokens, without activation. Source: Liquid AI 2025 (LFM2), reference class Lfm2ShortConv.
#pragma once

#include <vector>

#include "engine/block.h"

namespace orrery {

struct ShortConvWeights {
  TensorView in, in_bias;      // [3 * n_channels, d_model]: B, C, u; bias as many, or empty
  TensorView taps, taps_bias;  // [n_taps, n_channels] f32, oldest first; [n_channels] or empty
  TensorView out, out_bias;    // [d_model, n_channels]; [d_model] or empty
};

class ShortConv final : public Mixer {
 public:
  ShortConv(ConvConfig config, const ShortConvWeights& weights) : config_(config), weights_(weights) {}

  std::vector<StateSpec> describe_state(DType) const override;
  void forward(const Step& step, Matrix<const float> x, Matrix<float> out) const override;

 private:
  ConvConfig config_;
  ShortConvWeights weights_;
};

// What a convolution over n_channels channels keeps: its last n_taps - 1 inputs.
StateSpec describe_conv_state(const ConvConfig& config);
// out [n_rows, n_channels] = convolution of x with the taps of this layer, whose state goes on; measures conv.taps.
void convolve(const Step& step, const ConvConfig& config, const TensorView& taps, const TensorView& bias,
              Matrix<const float> x, Matrix<float> out);

}  // namespace orrery
