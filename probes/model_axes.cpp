#include "probes/model_axes.h"

#include <algorithm>

namespace orrery {
namespace {

template <typename Has>
std::vector<int32_t> layers_that(const ModelConfig& config, Has&& has) {
  std::vector<int32_t> layers;
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    if (has(config.layers[static_cast<size_t>(i)])) layers.push_back(i);
  }
  return layers;
}

bool has_gated_conv(const LayerConfig& layer) { return layer.conv.n_taps > 0 && layer.conv.is_gated; }

// Whether the head axis of state.* counts groups of heads, not heads.
bool has_groups(const LayerConfig& layer) { return layer.state.n_stat_heads != layer.state.sizes.n_heads; }

}  // namespace

std::vector<int32_t> no_layers(const ModelConfig&) { return {}; }

std::vector<int32_t> all_layers(const ModelConfig& config) {
  return layers_that(config, [](const LayerConfig&) { return true; });
}

std::vector<int32_t> attention_layers(const ModelConfig& config) {
  return layers_that(config, [](const LayerConfig& layer) { return layer.has(MixerKind::kAttention); });
}

std::vector<int32_t> state_layers(const ModelConfig& config) {
  return layers_that(config, [](const LayerConfig& layer) { return layer.has(MixerKind::kMatrixState); });
}

std::vector<int32_t> fast_layers(const ModelConfig& config) {
  return layers_that(config, [](const LayerConfig& layer) { return layer.has(MixerKind::kFastWeights); });
}

std::vector<int32_t> conv_layers(const ModelConfig& config) {
  return layers_that(config, [](const LayerConfig& layer) { return layer.conv.n_taps > 0; });
}

std::vector<int32_t> gated_conv_layers(const ModelConfig& config) { return layers_that(config, has_gated_conv); }

std::vector<int32_t> moe_layers(const ModelConfig& config) {
  return layers_that(config, [](const LayerConfig& layer) { return layer.feed_forward == FeedForwardKind::kMoe; });
}

bool has_loop(const ModelConfig& config) { return config.loop.any(); }

bool has_loop_gate(const ModelConfig& config) { return config.loop.any() && config.loop.has_gate; }

int32_t attention_heads_in(const LayerConfig& layer) {
  return layer.has(MixerKind::kAttention) ? layer.attention.n_heads : 0;
}

int32_t state_heads_in(const LayerConfig& layer) {
  return layer.has(MixerKind::kMatrixState) ? layer.state.n_stat_heads : 0;
}

int32_t fast_heads_in(const LayerConfig& layer) { return layer.has(MixerKind::kFastWeights) ? layer.fast.n_heads : 0; }

int32_t conv_taps_in(const LayerConfig& layer) { return layer.conv.n_taps; }

int32_t chosen_experts_in(const LayerConfig& layer) {
  return layer.feed_forward == FeedForwardKind::kMoe ? layer.moe.router.n_chosen : 0;
}

int64_t longest(const ModelConfig& config, int32_t (*size_in)(const LayerConfig& layer)) {
  int64_t most = 0;
  for (const LayerConfig& layer : config.layers) most = std::max<int64_t>(most, size_in(layer));
  return most;
}

std::string state_head_name(const LayerConfig& layer, int32_t head) {
  if (!has_groups(layer)) return "head " + std::to_string(head);
  const int64_t n_groups = std::max(layer.state.n_stat_heads, 1);
  const int64_t n_channels = layer.state.sizes.n_heads;
  const auto first_of = [&](int64_t group) { return (group * n_channels + n_groups - 1) / n_groups; };
  return "channels " + std::to_string(first_of(head)) + "–" + std::to_string(first_of(head + 1) - 1);
}

std::string state_heads_name(const LayerConfig& layer) {
  if (!has_groups(layer)) return "heads";
  return std::to_string(layer.state.n_stat_heads) + " groups of " + std::to_string(layer.state.sizes.n_heads) +
         " channels";
}

}  // namespace orrery
