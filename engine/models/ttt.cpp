#include "engine/models/ttt.h"

#include <memory>
#include <string>
#include <utility>

#include "engine/blocks/residual_block.h"
#include "engine/blocks/ttt_block.h"
#include "engine/models/decoder_builder.h"
#include "engine/models/stated_sizes.h"
#include "engine/models/ttt_layers.h"

namespace orrery {

namespace {

constexpr TensorName kConv{"", "model.layers.{}.conv.conv.weight"};
constexpr TensorName kConvBias{"", "model.layers.{}.conv.conv.bias"};
constexpr TensorName kConvNorm{"", "model.layers.{}.conv.norm.weight"};
constexpr TensorName kMixerNorm{"", "model.layers.{}.seq_norm.weight"};
constexpr TensorName kFfnNorm{"", "model.layers.{}.ffn_norm.weight"};
constexpr TttNames kNames{.q = {"", "model.layers.{}.seq_modeling_block.q_proj.weight"},
                          .k = {"", "model.layers.{}.seq_modeling_block.k_proj.weight"},
                          .v = {"", "model.layers.{}.seq_modeling_block.v_proj.weight"},
                          .out = {"", "model.layers.{}.seq_modeling_block.o_proj.weight"},
                          .gate = {"", "model.layers.{}.seq_modeling_block.g_proj.weight"},
                          .q_taps = {"", "model.layers.{}.seq_modeling_block.conv_q.weight"},
                          .q_taps_bias = {"", "model.layers.{}.seq_modeling_block.conv_q.bias"},
                          .k_taps = {"", "model.layers.{}.seq_modeling_block.conv_k.weight"},
                          .k_taps_bias = {"", "model.layers.{}.seq_modeling_block.conv_k.bias"},
                          .rate = {"", "model.layers.{}.seq_modeling_block.learnable_ttt_lr_weight"},
                          .rate_bias = {"", "model.layers.{}.seq_modeling_block.learnable_ttt_lr_bias"},
                          .share = {"", "model.layers.{}.seq_modeling_block.learnable_token_idx"},
                          .norm = {"", "model.layers.{}.seq_modeling_block.ttt_norm_weight"},
                          .norm_bias = {"", "model.layers.{}.seq_modeling_block.ttt_norm_bias"},
                          .post = {"", "model.layers.{}.seq_modeling_block.post_norm.weight"},
                          .post_bias = {"", "model.layers.{}.seq_modeling_block.post_norm.bias"},
                          .w1 = {"", "model.layers.{}.seq_modeling_block.W1"},
                          .b1 = {"", "model.layers.{}.seq_modeling_block.b1"},
                          .w2 = {"", "model.layers.{}.seq_modeling_block.W2"},
                          .b2 = {"", "model.layers.{}.seq_modeling_block.b2"}};
constexpr TttKeys kKeys{.n_heads = {"", "num_attention_heads"},
                        .batch_size = {"", "mini_batch_size"},
                        .base_rate = {"", "ttt_base_lr"},
                        .theta = {"", "rope_theta"},
                        .taps = {"", "conv_kernel"}};
constexpr ConfigKey kLayerType{"", "ttt_layer_type"};

Result<FastModel> read_model(const ModelFile& file) {
  ORRERY_ASSIGN_OR_RETURN(const std::string name, file.text(kLayerType, "linear"));
  if (name == "linear") return FastModel::kLinear;
  if (name == "mlp") return FastModel::kMlp;
  return Error{ErrorCode::kUnsupported,
               file.path() + ": ttt_layer_type must be linear or mlp, but is " + name.substr(0, 60)};
}

Result<TttKind> read_kind(const ModelFile& file) {
  TttKind kind;
  ORRERY_ASSIGN_OR_RETURN(kind.model, read_model(file));
  ORRERY_ASSIGN_OR_RETURN(kind.shares_qk, file.boolean({"", "share_qk"}, false));
  ORRERY_ASSIGN_OR_RETURN(kind.has_gate, file.boolean({"", "use_gate"}, false));
  return kind;
}

}  // namespace

Result<ModelConfig> read_ttt_config(const ModelFile& file) {
  const DecoderTraits traits{.tied_embedding = true};
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  ORRERY_RETURN_IF_ERROR(refuse_setting(file, {"", "rope_scaling"}));
  ORRERY_ASSIGN_OR_RETURN(const TttKind kind, read_kind(file));
  ORRERY_ASSIGN_OR_RETURN(const bool has_conv, file.boolean({"", "pre_conv"}, false));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, traits));
  for (LayerConfig& layer : config.layers) {
    layer.mixers = {MixerKind::kFastWeights};
    layer.feed_forward = FeedForwardKind::kDense;
  }
  ORRERY_RETURN_IF_ERROR(read_ttt_layers(file, kKeys, kNames, kind, config));
  for (int32_t i = 0; has_conv && i < config.n_layers(); ++i) {
    ConvConfig& conv = config.layers[static_cast<size_t>(i)].conv;
    conv.n_channels = config.d_model;
    ORRERY_ASSIGN_OR_RETURN(conv.n_taps, read_taps(file, kKeys.taps, kConv, i, config.d_model));
  }
  ORRERY_RETURN_IF_ERROR(read_dense_ffn(file, traits, {}, config));
  ORRERY_RETURN_IF_ERROR(check_ffn_widths(file, "intermediate_size", config));
  return config;
}

Result<ModelParts> build_ttt(const ModelFile& file, ModelConfig config, const Placement& placement) {
  ORRERY_ASSIGN_OR_RETURN(const TttKind kind, read_kind(file));
  DecoderBuilder decoder(file, std::move(config), placement);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kMixerNorm, layer);
    norms.before_ffn = decoder.norm(kFfnNorm, layer);
    ORRERY_ASSIGN_OR_RETURN(std::unique_ptr<Mixer> mixer, ttt_mixer(file, decoder, layer, kKeys, kNames, kind));
    std::unique_ptr<Block> block = std::make_unique<ResidualBlock>(norms, std::move(mixer), decoder.dense_ffn(layer));
    const ConvConfig& conv = decoder.layer_config(layer).conv;
    if (conv.n_taps > 0) {
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
