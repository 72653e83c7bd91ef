#include "engine/models/lfm_layers.h"

#include "engine/blocks/short_conv.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr TensorName kIn{"blk.{}.shortconv.in_proj.weight", "model.layers.{}.conv.in_proj.weight"};
constexpr TensorName kInBias{"blk.{}.shortconv.in_proj.bias", "model.layers.{}.conv.in_proj.bias"};
constexpr TensorName kTaps{"blk.{}.shortconv.conv.weight", "model.layers.{}.conv.conv.weight"};
constexpr TensorName kTapsBias{"blk.{}.shortconv.conv.bias", "model.layers.{}.conv.conv.bias"};
constexpr TensorName kOut{"blk.{}.shortconv.out_proj.weight", "model.layers.{}.conv.out_proj.weight"};
constexpr TensorName kOutBias{"blk.{}.shortconv.out_proj.bias", "model.layers.{}.conv.out_proj.bias"};

constexpr std::string_view kConv = "conv", kFull = "full_attention", kSliding = "sliding_attention";

Result<std::vector<std::string>> types_by_key_heads(const ModelFile& file, int32_t n_layers) {
  ORRERY_ASSIGN_OR_RETURN(const std::vector<int64_t> key_heads,
                          file.integers_per_layer({"attention.head_count_kv", ""}, n_layers, 0, 4096));
  std::vector<std::string> types;
  for (const int64_t n : key_heads) types.emplace_back(n == 0 ? kConv : kFull);
  return types;
}

}  // namespace

Result<ModelConfig> read_lfm_sizes(const ModelFile& file) {
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, lfm_traits()));
  constexpr ConfigKey kTie{"", "tie_embedding"};  // its first name, which comes first
  if (file.has(kTie)) {
    ORRERY_ASSIGN_OR_RETURN(config.tied_embedding, file.boolean(kTie));
  }
  return config;
}

DecoderTraits lfm_traits() {
  return {.qk_norm = true,
          .tied_embedding = true,
          .epsilon_key = {"attention.layer_norm_rms_epsilon", "norm_eps"},
          .usual_epsilon = 1e-5,
          .names = {.output_norm = {"token_embd_norm.weight", "model.embedding_norm.weight"}}};
}

Result<std::vector<std::string>> lfm_layer_types(const ModelFile& file, int32_t n_layers, bool has_windows,
                                                 std::string_view (*usual)(int32_t layer)) {
  constexpr ConfigKey kTypes{"", "layer_types"};
  if (file.format() == ModelFile::Format::kGguf) return types_by_key_heads(file, n_layers);
  std::vector<std::string> types;
  if (file.has(kTypes)) {
    ORRERY_ASSIGN_OR_RETURN(types, file.texts_per_layer(kTypes, n_layers));
  } else {
    for (int32_t i = 0; i < n_layers; ++i) types.emplace_back(usual(i));
  }
  for (const std::string& type : types) {
    if (type == kConv || type == kFull || (has_windows && type == kSliding)) continue;
    return Error{ErrorCode::kUnsupported, file.path() + ": layer_types may have conv, full_attention" +
                                              (has_windows ? " and sliding_attention" : "") + ", but has " +
                                              type.substr(0, 60)};
  }
  return types;
}

Result<void> read_lfm_mixers(const ModelFile& file, const std::vector<std::string>& types, ModelConfig& config) {
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    layer.mixers = {types[static_cast<size_t>(i)] == kConv ? MixerKind::kShortConv : MixerKind::kAttention};
    if (!layer.has(MixerKind::kShortConv)) continue;
    for (const TensorName bias : {kInBias, kTapsBias, kOutBias}) {
      ORRERY_RETURN_IF_ERROR(check_bias(file, "conv_bias", bias, i));
    }
    layer.conv.is_gated = true;
    layer.conv.n_channels = config.d_model;
    ORRERY_ASSIGN_OR_RETURN(layer.conv.n_taps,
                            read_taps(file, {"shortconv.l_cache", "conv_L_cache"}, kTaps, i, config.d_model));
  }
  return {};
}

std::unique_ptr<Mixer> lfm_mixer(DecoderBuilder& decoder, int32_t layer, const AttentionNames& attention_names) {
  if (!decoder.layer_config(layer).has(MixerKind::kShortConv)) return decoder.attention(layer, attention_names);
  const ConvConfig& conv = decoder.layer_config(layer).conv;
  const int64_t d_model = decoder.config().d_model, n = conv.n_channels;
  TensorPlacer& place = decoder.place();
  ShortConvWeights weights;
  weights.in = place.matrix(kIn, layer, 3 * n, d_model);
  weights.in_bias = place.optional_vector(kInBias, layer, 3 * n);
  weights.taps = place.taps(kTaps, layer, n, conv.n_taps);
  weights.taps_bias = place.optional_vector(kTapsBias, layer, n);
  weights.out = place.matrix(kOut, layer, d_model, n);
  weights.out_bias = place.optional_vector(kOutBias, layer, d_model);
  return std::make_unique<ShortConv>(conv, weights);
}

}  // namespace orrery
