#include "engine/config.h"

#include <cmath>
#include <utility>

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
    case Recurrence::kKimiDelta:
      return "Kimi delta net";
    case Recurrence::kRwkv7:
      return "RWKV-7";
    case Recurrence::kRgLru:
      return "RG-LRU";
  }
  return "";
}

std::string mixer_name(MixerKind kind, const LayerConfig& layer) {
  switch (kind) {
    case MixerKind::kAttention: {
      const std::string window = layer.attention.window > 0 ? ", window " + std::to_string(layer.attention.window) : "";
      return (layer.attention.d_latent > 0 ? "latent attention" : "attention") + window;
    }
    case MixerKind::kShortConv:
      return "convolution";
    case MixerKind::kMatrixState:
      return recurrence_name(layer.state.recurrence);
    case MixerKind::kFastWeights:
      return layer.fast.model == FastModel::kLinear ? "TTT-Linear" : "TTT-MLP";
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

ModelConfig unrolled(ModelConfig config) {
  std::vector<LayerConfig> layers = std::move(config.layers);
  config.layers.clear();
  for (size_t i = 0; i < layers.size(); ++i) layers[i].index = static_cast<int32_t>(i);
  const auto visit = [&](int32_t begin, int32_t end, int32_t iteration) {
    for (int32_t i = begin; i < end; ++i) {
      config.layers.push_back(layers[static_cast<size_t>(i)]);
      config.layers.back().iteration = iteration;
    }
  };
  const auto n_layers = static_cast<int32_t>(layers.size());
  const LoopConfig& loop = config.loop;
  visit(0, loop.any() ? loop.begin : n_layers, 0);
  if (!loop.any()) return config;
  for (int32_t i = 0; i < loop.n_iterations; ++i) visit(loop.begin, loop.end, i);
  visit(loop.end, n_layers, 0);
  return config;
}

ModelConfig rolled(const ModelConfig& config) {
  ModelConfig own = config;
  own.loop = {};
  std::erase_if(own.layers, [](const LayerConfig& layer) { return layer.iteration > 0; });
  return own;
}

std::string layer_label(const ModelConfig& config, int32_t layer) {
  const LayerConfig& spec = config.layers[static_cast<size_t>(layer)];
  const bool is_looped = config.loop.any();
  std::string label = std::to_string(is_looped ? spec.index : layer) + " ";
  for (size_t i = 0; i < spec.mixers.size(); ++i) {
    label += (i == 0 ? "" : " + ") + mixer_name(spec.mixers[i], spec);
  }
  if (spec.feed_forward == FeedForwardKind::kMoe) label += spec.mixers.empty() ? "MoE" : ", MoE";
  if (spec.feed_forward == FeedForwardKind::kDense && spec.mixers.empty()) label += "feed-forward";
  if (is_looped && spec.index >= config.loop.begin && spec.index < config.loop.end) {
    label += ", loop " + std::to_string(spec.iteration + 1);
  }
  return label;
}

}  // namespace orrery
