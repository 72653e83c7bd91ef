#include "engine/models/ttt.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/blocks/residual_block.h"
#include "engine/blocks/ttt_block.h"
#include "engine/blocks/ttt_mixer.h"
#include "engine/models/decoder_builder.h"
#include "engine/models/rope_scaling.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr TensorName layer_tensor(std::string_view hf) { return {"", hf}; }
constexpr TensorName kQ = layer_tensor("model.layers.{}.seq_modeling_block.q_proj.weight"),
                     kK = layer_tensor("model.layers.{}.seq_modeling_block.k_proj.weight"),
                     kV = layer_tensor("model.layers.{}.seq_modeling_block.v_proj.weight"),
                     kOut = layer_tensor("model.layers.{}.seq_modeling_block.o_proj.weight"),
                     kGate = layer_tensor("model.layers.{}.seq_modeling_block.g_proj.weight"),
                     kConvQ = layer_tensor("model.layers.{}.seq_modeling_block.conv_q.weight"),
                     kConvQBias = layer_tensor("model.layers.{}.seq_modeling_block.conv_q.bias"),
                     kConvK = layer_tensor("model.layers.{}.seq_modeling_block.conv_k.weight"),
                     kConvKBias = layer_tensor("model.layers.{}.seq_modeling_block.conv_k.bias"),
                     kRate = layer_tensor("model.layers.{}.seq_modeling_block.learnable_ttt_lr_weight"),
                     kRateBias = layer_tensor("model.layers.{}.seq_modeling_block.learnable_ttt_lr_bias"),
                     kShare = layer_tensor("model.layers.{}.seq_modeling_block.learnable_token_idx"),
                     kNorm = layer_tensor("model.layers.{}.seq_modeling_block.ttt_norm_weight"),
                     kNormBias = layer_tensor("model.layers.{}.seq_modeling_block.ttt_norm_bias"),
                     kPost = layer_tensor("model.layers.{}.seq_modeling_block.post_norm.weight"),
                     kPostBias = layer_tensor("model.layers.{}.seq_modeling_block.post_norm.bias"),
                     kW1 = layer_tensor("model.layers.{}.seq_modeling_block.W1"),
                     kB1 = layer_tensor("model.layers.{}.seq_modeling_block.b1"),
                     kW2 = layer_tensor("model.layers.{}.seq_modeling_block.W2"),
                     kB2 = layer_tensor("model.layers.{}.seq_modeling_block.b2"),
                     kConv = layer_tensor("model.layers.{}.conv.conv.weight"),
                     kConvBias = layer_tensor("model.layers.{}.conv.conv.bias"),
                     kConvNorm = layer_tensor("model.layers.{}.conv.norm.weight"),
                     kMixerNorm = layer_tensor("model.layers.{}.seq_norm.weight"),
                     kFfnNorm = layer_tensor("model.layers.{}.ffn_norm.weight");

constexpr ConfigKey kHeads{"", "num_attention_heads"}, kLayerType{"", "ttt_layer_type"},
    kBatchSize{"", "mini_batch_size"}, kBaseRate{"", "ttt_base_lr"}, kTheta{"", "rope_theta"}, kTaps{"", "conv_kernel"};

// What a token needs of a head must fit a device's shared memory, of which there are 48 KiB.
constexpr int64_t kMostHeadWidth = 512, kMostHidden = 4096;

Error must(const ModelFile& file, const std::string& what, const std::string& rule, const std::string& value) {
  return {ErrorCode::kInvalidFile, file.path() + ": " + what + " must " + rule + ", but is " + value};
}

struct TttSettings {
  bool shares_qk = false;
  bool has_gate = false;
  bool has_conv = false;
  double base_rate = 1.0;
  double theta = 10000.0;
};

Result<TttSettings> read_settings(const ModelFile& file) {
  TttSettings settings;
  ORRERY_ASSIGN_OR_RETURN(settings.shares_qk, file.boolean({"", "share_qk"}, false));
  ORRERY_ASSIGN_OR_RETURN(settings.has_gate, file.boolean({"", "use_gate"}, false));
  ORRERY_ASSIGN_OR_RETURN(settings.has_conv, file.boolean({"", "pre_conv"}, false));
  ORRERY_ASSIGN_OR_RETURN(settings.base_rate, file.number(kBaseRate, 1.0));
  ORRERY_ASSIGN_OR_RETURN(settings.theta, file.number(kTheta, 10000.0));
  if (settings.base_rate < 0) {
    return must(file, "ttt_base_lr", "not be negative", std::to_string(settings.base_rate));
  }
  if (!(settings.theta > 0)) return must(file, "rope_theta", "be positive", std::to_string(settings.theta));
  return settings;
}

Result<FastModel> read_model(const ModelFile& file) {
  ORRERY_ASSIGN_OR_RETURN(const std::string name, file.text(kLayerType, "linear"));
  if (name == "linear") return FastModel::kLinear;
  if (name == "mlp") return FastModel::kMlp;
  return Error{ErrorCode::kUnsupported,
               file.path() + ": ttt_layer_type must be linear or mlp, but is " + name.substr(0, 60)};
}

Result<FastWeightsConfig> read_fast(const ModelFile& file, FastModel model, int32_t layer, int64_t n_heads,
                                    int64_t d_head) {
  constexpr int64_t kMostTokens = 1 << 16;
  FastWeightsConfig fast;
  fast.model = model;
  fast.n_heads = static_cast<int32_t>(n_heads);
  fast.d_head = static_cast<int32_t>(d_head);
  ORRERY_ASSIGN_OR_RETURN(const TensorView share, file.tensor(kShare, layer, {-1}));
  if (share.n_cols() < 1 || share.n_cols() > kMostTokens) {
    return must(file, "the length of " + file.spelled(kShare, layer), "be from 1 to " + std::to_string(kMostTokens),
                std::to_string(share.n_cols()));
  }
  fast.batch_size = static_cast<int32_t>(share.n_cols());
  ORRERY_RETURN_IF_ERROR(
      check_stated(file, kBatchSize, fast.batch_size, "the length of " + file.spelled(kShare, layer)));
  if (model == FastModel::kLinear) return fast;
  ORRERY_ASSIGN_OR_RETURN(const TensorView first, file.tensor(kW1, layer, {n_heads, d_head, -1}));
  if (first.n_cols() < 1 || first.n_cols() > kMostHidden) {
    return must(file, "the inner width of " + file.spelled(kW1, layer), "be from 1 to " + std::to_string(kMostHidden),
                std::to_string(first.n_cols()));
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
TensorView learned_weights(TensorPlacer& place, int32_t layer, const FastWeightsConfig& fast) {
  const int64_t d = fast.d_head, hidden = fast.model == FastModel::kMlp ? fast.d_hidden : d, n = fast.n_heads;
  struct Part {
    std::vector<float> values;
    int64_t per_head;
  };
  std::vector<Part> parts;
  const auto add = [&](TensorName name, int64_t per_head) {
    parts.push_back({place.values(name, layer, n * per_head), per_head});
  };
  add(kW1, d * hidden);
  add(kB1, hidden);
  if (fast.model == FastModel::kMlp) {
    add(kW2, hidden * d);
    add(kB2, d);
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

std::unique_ptr<Mixer> ttt_mixer(DecoderBuilder& decoder, int32_t layer, const TttSettings& settings) {
  TttMixerConfig config;
  config.fast = decoder.layer_config(layer).fast;
  config.base_rate = static_cast<float>(settings.base_rate);
  RopeScaling rotation;
  rotation.base = settings.theta;
  rotation.d_head = rotation.n_rot = config.fast.d_head;
  fill_rope(rotation, config.rope);
  config.rope.pairing = RopePairing::kAdjacent;
  const ConvConfig& conv = decoder.layer_config(layer).conv;
  if (conv.n_taps > 0) config.n_floats_before = (conv.n_taps - 1) * conv.n_channels;

  const int64_t d_model = decoder.config().d_model, width = config.width(), n_heads = config.fast.n_heads;
  TensorPlacer& place = decoder.place();
  TttMixerWeights weights;
  weights.q = place.matrix(kQ, layer, width, d_model);
  weights.v = place.matrix(kV, layer, width, d_model);
  if (settings.shares_qk) {
    weights.q_taps = place.taps(kConvQ, layer, width, config.fast.n_qk_taps);
    weights.q_bias = place.vector(kConvQBias, layer, width);
    weights.k_taps = place.taps(kConvK, layer, width, config.fast.n_qk_taps);
    weights.k_bias = place.vector(kConvKBias, layer, width);
  } else {
    weights.k = place.matrix(kK, layer, width, d_model);
  }
  if (settings.has_gate) weights.gate = place.matrix(kGate, layer, width, d_model);
  weights.rate = place.made(place.values(kRate, layer, n_heads * d_model), {n_heads, d_model});
  weights.rate_bias = place.made(place.values(kRateBias, layer, n_heads), {n_heads});
  weights.share = place.made(shares(place.values(kShare, layer, config.fast.batch_size)), {config.fast.batch_size});
  weights.learned = learned_weights(place, layer, config.fast);
  weights.norm_weight = place.made(place.values(kNorm, layer, width), {n_heads, config.fast.d_head});
  weights.norm_bias = place.made(place.values(kNormBias, layer, width), {n_heads, config.fast.d_head});
  weights.post_weight = place.vector(kPost, layer, width);
  weights.post_bias = place.vector(kPostBias, layer, width);
  weights.out = place.matrix(kOut, layer, d_model, width);
  return std::make_unique<TttMixer>(std::move(config), weights);
}

}  // namespace

Result<ModelConfig> read_ttt_config(const ModelFile& file) {
  constexpr int64_t kMostHeads = 4096;
  const DecoderTraits traits{.tied_embedding = true};
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  ORRERY_RETURN_IF_ERROR(refuse_setting(file, {"", "rope_scaling"}));
  ORRERY_ASSIGN_OR_RETURN(const TttSettings settings, read_settings(file));
  ORRERY_ASSIGN_OR_RETURN(const FastModel model, read_model(file));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, traits));
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_heads, file.integer(kHeads, 1, kMostHeads));
  const int64_t d_head = config.d_model / n_heads;
  if (config.d_model % n_heads != 0 || d_head % 2 != 0 || d_head > kMostHeadWidth) {
    return must(file, file.spelled(kHeads),
                "divide hidden_size into heads of an even width, at most " + std::to_string(kMostHeadWidth),
                std::to_string(n_heads));
  }
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    layer.mixers = {MixerKind::kFastWeights};
    layer.feed_forward = FeedForwardKind::kDense;
    ORRERY_ASSIGN_OR_RETURN(layer.fast, read_fast(file, model, i, n_heads, d_head));
    if (settings.shares_qk) {
      ORRERY_ASSIGN_OR_RETURN(layer.fast.n_qk_taps, read_taps(file, kTaps, kConvQ, i, config.d_model));
    }
    if (!settings.has_conv) continue;
    layer.conv.n_channels = config.d_model;
    ORRERY_ASSIGN_OR_RETURN(layer.conv.n_taps, read_taps(file, kTaps, kConv, i, config.d_model));
  }
  ORRERY_RETURN_IF_ERROR(read_dense_ffn(file, traits, {}, config));
  ORRERY_RETURN_IF_ERROR(check_ffn_widths(file, "intermediate_size", config));
  return config;
}

Result<ModelParts> build_ttt(const ModelFile& file, ModelConfig config, const Placement& placement) {
  ORRERY_ASSIGN_OR_RETURN(const TttSettings settings, read_settings(file));
  DecoderBuilder decoder(file, std::move(config), placement);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kMixerNorm, layer);
    norms.before_ffn = decoder.norm(kFfnNorm, layer);
    std::unique_ptr<Block> block =
        std::make_unique<ResidualBlock>(norms, ttt_mixer(decoder, layer, settings), decoder.dense_ffn(layer));
    if (settings.has_conv) {
      const ConvConfig& conv = decoder.layer_config(layer).conv;
      TttConvWeights weights;
      weights.norm = decoder.norm(kConvNorm, layer);
      weights.taps = decoder.place().taps(kConv, layer, conv.n_channels, conv.n_taps);
      weights.bias = decoder.place().vector(kConvBias, layer, conv.n_channels);
      block = std::make_unique<TttBlock>(conv, weights, decoder.norm_epsilon(), std::move(block));
    }
    decoder.add(std::move(block));
  }
  return decoder.finish();
}

}  // namespace orrery
