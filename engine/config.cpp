#include "engine/config.h"

namespace orrery {

namespace {

std::string mixer_name(MixerKind kind, const LayerConfig& layer) {
  switch (kind) {
    case MixerKind::kAttention: {
      const std::string window = layer.attention.window > 0 ? ", window " + std::to_string(layer.attention.window) : "";
      return "attention" + window;
    }
    case MixerKind::kShortConv:
      return "convolution";
    case MixerKind::kMatrixState:
      return "recurrent state";
  }
  return "";
}

}  // namespace

std::string layer_label(const ModelConfig& config, int32_t layer) {
  const LayerConfig& spec = config.layers[static_cast<size_t>(layer)];
  std::string label = std::to_string(layer) + " ";
  for (size_t i = 0; i < spec.mixers.size(); ++i) {
    label += (i == 0 ? "" : " + ") + mixer_name(spec.mixers[i], spec);
  }
  if (spec.feed_forward == FeedForwardKind::kMoe) label += spec.mixers.empty() ? "MoE" : ", MoE";
  if (spec.feed_forward == FeedForwardKind::kDense && spec.mixers.empty()) label += "feed-forward";
  return label;
}

}  // namespace orrery
