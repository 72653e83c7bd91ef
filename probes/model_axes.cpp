#include "probes/model_axes.h"

#include <algorithm>

namespace orrery {

std::vector<int32_t> no_layers(const ModelConfig&) { return {}; }

std::vector<int32_t> all_layers(const ModelConfig& config) {
  std::vector<int32_t> layers(config.layers.size());
  for (int32_t i = 0; i < config.n_layers(); ++i) layers[static_cast<size_t>(i)] = i;
  return layers;
}

std::vector<int32_t> attention_layers(const ModelConfig& config) {
  std::vector<int32_t> layers;
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    if (config.layers[static_cast<size_t>(i)].has(MixerKind::kAttention)) layers.push_back(i);
  }
  return layers;
}

int64_t n_attention_heads(const ModelConfig& config) {
  int64_t n_heads = 0;
  for (const LayerConfig& layer : config.layers) {
    if (layer.has(MixerKind::kAttention)) n_heads = std::max<int64_t>(n_heads, layer.attention.n_heads);
  }
  return n_heads;
}

}  // namespace orrery
