#include "engine/models/ttt_layers.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "engine/blocks/ttt_mixer.h"
#include "engine/models/rope_scaling.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

// What a token needs of a head must fit a device's shared memory, of which there are 48 KiB.
constexpr int64_t kMostHeadWidth = 512, kMostHidden = 4096;

Error must(const ModelFile& file, const std::string& what, const std::string& rule, const std::string& value) {
  return {ErrorCode::kInvalidFile, file.path() + ": " + what + " must " + rule + ", but is " + value};
}

Result<FastWeightsConfig> read_fast(const ModelFile& file, const TttKeys& keys, const TttNames& names, FastModel model,
                                    int32_t layer, int64_t n_heads, int64_t d_head) {
  constexpr int64_t kMostTokens = 1 << 16;
  FastWeightsConfig fast;
  fast.model = model;
  fast.n_heads = static_cast<int32_t>(n_heads);
  fast.d_head = static_cast<int32_t>(d_head);
  ORRERY_ASSIGN_OR_RETURN(const TensorView share, file.tensor(names.share, layer, {-1}));
  if (share.n_cols() < 1 || share.n_cols() > kMostTokens) {
    return must(file, "the length of " + file.spelled(names.share, layer),
                "be from 1 to " + std::to_string(kMostTokens), std::to_string(share.n_cols()));
  }
  fast.batch_size = static_cast<int32_t>(share.n_cols());
  ORRERY_RETURN_IF_ERROR(
      check_stated(file, keys.batch_size, fast.batch_size, "the length of " + file.spelled(names.share, layer)));
  if (model == FastModel::kLinear) return fast;
  ORRERY_ASSIGN_OR_RETURN(const TensorView first, file.tensor(names.w1, layer, {n_heads, d_head, -1}));
  if (first.n_cols() < 1 || first.n_cols() > kMostHidden) {
    return must(file, "the inner width of " + file.spelled(names.w1, layer),
                "be from 1 to " + std::to_string(kMostHidden), std::to_string(first.n_cols()));
  }
  fast.d_hidden = static_cast<int32_t>(first.n_cols());
  return fast;
}

// 1 / place + what is learned, but not below 0.
std::vector<float> shares(std::vector<float> learned) {
  for (size_t i = 0; i < learned.size(); ++i) {
    learned[i] = std::max(1.0f / static_cast<float>(i + 1) + learned[i], 0.0f);
  }
  return learned;
}

// [n_heads, n_weights]: of every head, the matrix and the bias of one layer after the other.
TensorView learned_weights(TensorPlacer& place, int32_t layer, const TttNames& names, const FastWeightsConfig& fast) {
  const int64_t d = fast.d_head, hidden = fast.model == FastModel::kMlp ? fast.d_hidden : d, n = fast.n_heads;
  struct Part {
    std::vector<float> values;
    int64_t per_head;
  };
  std::vector<Part> parts;
  const auto add = [&](TensorName name, int64_t per_head) {
    parts.push_back({place.values(name, layer, n * per_head), per_head});
  };
  add(names.w1, d * hidden);
  add(names.b1, hidden);
  if (fast.model == FastModel::kMlp) {
    add(names.w2, hidden * d);
    add(names.b2, d);
  }
  std::vector<float> joined;
  int64_t n_weights = 0;
  for (const Part& part : parts) {
    if (part.values.empty()) return {};  // the placer keeps the error
    n_weights += part.per_head;
  }
  for (int64_t head = 0; head < n; ++head) {
    for (const Part& part : parts) {
      const auto begin = part.values.begin() + head * part.per_head;
      joined.insert(joined.end(), begin, begin + part.per_head);
    }
  }
  return place.made(std::move(joined), {n, n_weights});
}

Result<TttMixerConfig> mixer_config(const ModelFile& file, const TttKeys& keys, const LayerConfig& layer) {
  TttMixerConfig config;
  config.fast = layer.fast;
  ORRERY_ASSIGN_OR_RETURN(const double base_rate, file.number(keys.base_rate, 1.0));
  ORRERY_ASSIGN_OR_RETURN(const double theta, file.number(keys.theta, 10000.0));
  if (base_rate < 0) return must(file, file.spelled(keys.base_rate), "not be negative", std::to_string(base_rate));
  if (!(theta > 0)) return must(file, file.spelled(keys.theta), "be positive", std::to_string(theta));
  config.base_rate = static_cast<float>(base_rate);
  RopeScaling rotation;
  rotation.base = theta;
  rotation.d_head = rotation.n_rot = config.fast.d_head;
  fill_rope(rotation, config.rope);
  config.rope.pairing = RopePairing::kAdjacent;
  if (layer.conv.n_taps > 0) config.n_floats_before = (layer.conv.n_taps - 1) * layer.conv.n_channels;
  return config;
}

}  // namespace

Result<void> read_ttt_layers(const ModelFile& file, const TttKeys& keys, const TttNames& names, const TttKind& kind,
                             ModelConfig& config) {
  constexpr int64_t kMostHeads = 4096;
  const auto has_fast = [](const LayerConfig& layer) { return layer.has(MixerKind::kFastWeights); };
  if (std::ranges::none_of(config.layers, has_fast)) return {};
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_heads, file.integer(keys.n_heads, 1, kMostHeads));
  const int64_t d_head = config.d_model / n_heads;
  if (config.d_model % n_heads != 0 || d_head % 2 != 0 || d_head > kMostHeadWidth) {
    return must(file, file.spelled(keys.n_heads),
                "divide hidden_size into heads of an even width, at most " + std::to_string(kMostHeadWidth),
                std::to_string(n_heads));
  }
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    if (!has_fast(layer)) continue;
    ORRERY_ASSIGN_OR_RETURN(layer.fast, read_fast(file, keys, names, kind.model, i, n_heads, d_head));
    if (!kind.shares_qk) continue;
    ORRERY_ASSIGN_OR_RETURN(layer.fast.n_qk_taps, read_taps(file, keys.taps, names.q_taps, i, config.d_model));
  }
  return {};
}

Result<std::unique_ptr<Mixer>> ttt_mixer(const ModelFile& file, DecoderBuilder& decoder, int32_t layer,
                                         const TttKeys& keys, const TttNames& names, const TttKind& kind) {
  ORRERY_ASSIGN_OR_RETURN(TttMixerConfig config, mixer_config(file, keys, decoder.layer_config(layer)));
  const int64_t d_model = decoder.config().d_model, width = config.width(), n_heads = config.fast.n_heads;
  TensorPlacer& place = decoder.place();
  TttMixerWeights weights;
  weights.q = place.matrix(names.q, layer, width, d_model);
  weights.v = place.matrix(names.v, layer, width, d_model);
  if (kind.shares_qk) {
    weights.q_taps = place.taps(names.q_taps, layer, width, config.fast.n_qk_taps);
    weights.q_bias = place.vector(names.q_taps_bias, layer, width);
    weights.k_taps = place.taps(names.k_taps, layer, width, config.fast.n_qk_taps);
    weights.k_bias = place.vector(names.k_taps_bias, layer, width);
  } else {
    weights.k = place.matrix(names.k, layer, width, d_model);
  }
  if (kind.has_gate) weights.gate = place.matrix(names.gate, layer, width, d_model);
  weights.rate = place.made(place.values(names.rate, layer, n_heads * d_model), {n_heads, d_model});
  weights.rate_bias = place.made(place.values(names.rate_bias, layer, n_heads), {n_heads});
  weights.share =
      place.made(shares(place.values(names.share, layer, config.fast.batch_size)), {config.fast.batch_size});
  weights.learned = learned_weights(place, layer, names, config.fast);
  weights.norm_weight = place.made(place.values(names.norm, layer, width), {n_heads, config.fast.d_head});
  weights.norm_bias = place.made(place.values(names.norm_bias, layer, width), {n_heads, config.fast.d_head});
  weights.post_weight = place.vector(names.post, layer, width);
  weights.post_bias = place.vector(names.post_bias, layer, width);
  weights.out = place.matrix(names.out, layer, d_model, width);
  return std::unique_ptr<Mixer>(std::make_unique<TttMixer>(std::move(config), weights));
}

}  // namespace orrery
