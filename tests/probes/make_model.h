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

inline MatrixStateConfig state_of(int32_t n_heads) {
  return {.recurrence = Recurrence::kMamba2,
          .sizes = {.n_heads = n_heads, .n_groups = 1, .d_key = 2, .d_value = 3},
          .n_stat_heads = n_heads};
}

inline MoeConfig experts_of(int32_t n_experts, int32_t n_chosen) {
  MoeConfig moe;
  moe.router.n_experts = n_experts;
  moe.router.n_chosen = n_chosen;
  moe.d_expert = 7;
  return moe;
}

// Layers: 0 gated convolution (3 taps), 1 attention (3 heads), 2 state (5 heads) with a convolution (4 taps) and 3 of 6
// experts, 3 attention (3 heads) beside a state (2 heads) and fast weights (4 heads), with 2 of 4 experts.
inline ModelConfig mixed_model() {
  ModelConfig config;
  config.architecture = "mixed";
  config.d_model = 8;
  config.vocab_size = 100;
  LayerConfig convolution;
  convolution.mixers = {MixerKind::kShortConv};
  convolution.conv = {.n_taps = 3, .n_channels = 8, .is_gated = true};
  LayerConfig state;
  state.mixers = {MixerKind::kMatrixState};
  state.conv = {.n_taps = 4, .n_channels = 19, .is_gated = false};
  state.state = state_of(5);
  state.feed_forward = FeedForwardKind::kMoe;
  state.moe = experts_of(6, 3);
  LayerConfig parallel = attention_layer(3);
  parallel.mixers.push_back(MixerKind::kMatrixState);
  parallel.state = state_of(2);
  parallel.mixers.push_back(MixerKind::kFastWeights);
  parallel.fast = {.model = FastModel::kLinear, .n_heads = 4, .d_head = 2, .batch_size = 3};
  parallel.feed_forward = FeedForwardKind::kMoe;
  parallel.moe = experts_of(4, 2);
  config.layers = {convolution, attention_layer(3), state, parallel};
  return config;
}

}  // namespace orrery::testing
