#include "engine/config.h"

#include <cmath>

namespace orrery {

namespace {

std::string recurrence_name(Recurrence recurrence) {
  switch (recurrence) {
    case Recurrence::kMamba1:
      return "Mamba";
    case Recurrence::kMamba2:
      return "Mamba-2";
    case Recurrence::kGatedDelta:
      return "gated delta net";
    case Recurrence::kRetention:
      return "retention";
    case Recurrence::kLightning:
      return "lightning attention";
  }
  return "";
}

std::string mixer_name(MixerKind kind, const LayerConfig& layer) {
  switch (kind) {
    case MixerKind::kAttention: {
      const std::string window = layer.attention.window > 0 ? ", window " + std::to_string(layer.attention.window) : "";
      return "attention" + window;
    }
    case MixerKind::kShortConv:
      return "convolution";
    case MixerKind::kMatrixState:
      return recurrence_name(layer.state.recurrence);
  }
  return "";
}

}  // namespace

std::vector<float> RopeConfig::frequencies_at(int64_t length) const {
  if (beyond.length == 0 || length <= beyond.length) return inverse_frequencies;
  if (!beyond.frequencies.empty()) return beyond.frequencies;
  const auto n_rot = static_cast<double>(2 * inverse_frequencies.size());
  const double stretch = beyond.factor * static_cast<double>(length) / static_cast<double>(beyond.length);
  const double base = beyond.base * std::pow(stretch - (beyond.factor - 1.0), n_rot / (n_rot - 2.0));
  std::vector<float> frequencies;
  for (size_t i = 0; i < inverse_frequencies.size(); ++i) {
    frequencies.push_back(static_cast<float>(std::pow(base, -2.0 * static_cast<double>(i) / n_rot)));
  }
  return frequencies;
}

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
