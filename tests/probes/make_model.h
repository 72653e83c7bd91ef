// Model configurations and packed buffers made by hand.
#pragma once

#include "engine/config.h"

namespace orrery::testing {

inline LayerConfig attention_layer(int32_t n_heads, int64_t window = 0) {
  LayerConfig layer;
  layer.mixers = {MixerKind::kAttention};
  layer.attention.n_heads = n_heads;
  layer.attention.n_kv_heads = 1;
  layer.attention.window = window;
  return layer;
}

// Layers: 0 convolution, 1 attention (3 heads), 2 state, 3 attention (3 heads) beside a state.
inline ModelConfig mixed_model() {
  ModelConfig config;
  config.architecture = "mixed";
  config.d_model = 8;
  config.vocab_size = 100;
  LayerConfig convolution;
  convolution.mixers = {MixerKind::kShortConv};
  LayerConfig state;
  state.mixers = {MixerKind::kMatrixState};
  LayerConfig parallel = attention_layer(3);
  parallel.mixers.push_back(MixerKind::kMatrixState);
  config.layers = {convolution, attention_layer(3), state, parallel};
  return config;
}

}  // namespace orrery::testing
