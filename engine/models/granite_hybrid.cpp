#include "engine/models/granite_hybrid.h"

#include <utility>

#include "engine/blocks/dense_ffn.h"
#include "engine/blocks/residual_block.h"
#include "engine/models/layer_kinds.h"
#include "engine/models/mamba2_layers.h"
#include "engine/models/moe_layers.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr DecoderTraits kGranite{.gguf_pairing = RopePairing::kAdjacent};
constexpr DecoderTraits kBamba{.gguf_pairing = RopePairing::kAdjacent,
                               .usual_epsilon = 1e-5,
                               .names = {.output_norm = {"output_norm.weight", "model.final_layernorm.weight"}}};
constexpr FfnNames kBambaFfn{.gate = {"", "model.layers.{}.feed_forward.gate_proj.weight"},
                             .up = {"", "model.layers.{}.feed_forward.up_proj.weight"},
                             .down = {"", "model.layers.{}.feed_forward.down_proj.weight"},
                             .gate_bias = {"", "model.layers.{}.feed_forward.gate_proj.bias"},
                             .up_bias = {"", "model.layers.{}.feed_forward.up_proj.bias"},
                             .down_bias = {"", "model.layers.{}.feed_forward.down_proj.bias"}};
constexpr TensorName kMixerNorm{"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"};
constexpr TensorName kFfnNorm{"blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight"};
constexpr TensorName kBambaFfnNorm{"", "model.layers.{}.pre_ff_layernorm.weight"};

// In a folder gates and ups are one matrix, gates first.
constexpr TensorName kSharedBoth{"", "model.layers.{}.shared_mlp.input_linear.weight"};
constexpr FfnNames kShared{.gate = {"blk.{}.ffn_gate_shexp.weight", ""},
                           .up = {"blk.{}.ffn_up_shexp.weight", ""},
                           .down = {"blk.{}.ffn_down_shexp.weight", "model.layers.{}.shared_mlp.output_linear.weight"}};
// Biases are Bamba's, which a GGUF file calls the same.
constexpr FfnNames kAlone{.down = {"blk.{}.ffn_down.weight", "model.layers.{}.shared_mlp.output_linear.weight"},
                          .gate_bias = {"blk.{}.ffn_gate.bias", ""},
                          .up_bias = {"blk.{}.ffn_up.bias", ""},
                          .down_bias = {"blk.{}.ffn_down.bias", ""}};

MoeNames expert_names(const ModelFile& file, int32_t layer) {
  MoeNames names;
  names.router = file.which({{"blk.{}.ffn_gate_inp.weight", "model.layers.{}.block_sparse_moe.router.layer.weight"},
                             {"", "model.layers.{}.block_sparse_moe.router.weight"}},
                            layer);
  names.gate_up = file.which({{"", "model.layers.{}.block_sparse_moe.input_linear.weight"},
                              {"", "model.layers.{}.block_sparse_moe.experts.gate_up_proj"}},
                             layer);
  names.down = file.which({{"blk.{}.ffn_down_exps.weight", "model.layers.{}.block_sparse_moe.output_linear.weight"},
                           {"", "model.layers.{}.block_sparse_moe.experts.down_proj"}},
                          layer);
  return names;
}

constexpr MoeKeys kMoeKeys{.n_experts_too = {}, .d_expert = {"", "intermediate_size"}};
constexpr ConfigKey kSharedWidth{"expert_shared_feed_forward_length", "shared_intermediate_size"};

bool is_gguf(const ModelFile& file) { return file.format() == ModelFile::Format::kGguf; }

Result<std::vector<LayerKind>> granite_layers(const ModelFile& file, int32_t n_layers) {
  if (is_gguf(file)) return layer_kinds_by_heads(file, n_layers);
  constexpr ConfigKey kKeys[] = {{"", "layer_types"}, {"", "layers_block_type"}};
  ORRERY_ASSIGN_OR_RETURN(std::vector<LayerKind> kinds, read_layer_kinds(file, kKeys, kStateOrAttention, n_layers));
  kinds.resize(static_cast<size_t>(n_layers), LayerKind::kState);  // without a list: no attention
  return kinds;
}

Result<std::vector<LayerKind>> bamba_layers(const ModelFile& file, int32_t n_layers) {
  ORRERY_ASSIGN_OR_RETURN(const std::vector<bool> attends, file.named_layers({"", "attn_layer_indices"}, n_layers));
  std::vector<LayerKind> kinds;
  for (const bool attention : attends) kinds.push_back(attention ? LayerKind::kAttention : LayerKind::kState);
  return kinds;
}

Result<int64_t> shared_width(const ModelFile& file, int32_t layer, const FfnNames& names, int64_t d_model) {
  if (is_gguf(file) && file.find(names.up, layer) == nullptr) return int64_t{0};  // experts alone
  const TensorName name = is_gguf(file) ? names.up : kSharedBoth;
  ORRERY_ASSIGN_OR_RETURN(const TensorView input, file.tensor(name, layer, {-1, d_model}));
  const int64_t width = is_gguf(file) ? input.n_rows() : input.n_rows() / 2;
  if (!is_gguf(file) && input.n_rows() % 2 != 0) {
    return Error{ErrorCode::kInvalidFile, file.path() + ": the rows of " + file.spelled(name, layer) +
                                              " must be gates and as many ups, but are " +
                                              std::to_string(input.n_rows())};
  }
  ORRERY_RETURN_IF_ERROR(check_stated(file, kSharedWidth, width, "the width of the shared feed-forward's weights"));
  return width;
}

Result<void> read_feed_forwards(const ModelFile& file, ModelConfig& config) {
  constexpr RouterConfig kRouter{.score = RouterScore::kSoftmaxOfChosen};
  constexpr int64_t kMostExperts = int64_t{1} << 16;
  ORRERY_RETURN_IF_ERROR(expect_silu(file, "hidden_act"));
  const MoeNames names = expert_names(file, 0);
  const bool has_router = file.find(names.router, 0) != nullptr;
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_experts, file.integer(kMoeKeys.n_experts, 0, kMostExperts, 0));
  const bool has_experts = has_router || n_experts > 0;  // where the two disagree, the sentence is that of the router
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    layer.feed_forward = has_experts ? FeedForwardKind::kMoe : FeedForwardKind::kDense;
    ORRERY_ASSIGN_OR_RETURN(const int64_t width, shared_width(file, i, has_experts ? kShared : kAlone, config.d_model));
    (has_experts ? layer.moe.d_shared : layer.d_ffn) = width;
  }
  return read_moe_layers(file, kMoeKeys, names, kRouter, config);
}

// Mixers by kind, with their sizes; rotation only where heads turn.
Result<void> read_mixers(const ModelFile& file, const DecoderTraits& traits, const std::vector<LayerKind>& kinds,
                         bool turns, const RopeKind& rope, ModelConfig& config) {
  for (size_t i = 0; i < kinds.size(); ++i) {
    config.layers[i].mixers = {kinds[i] == LayerKind::kAttention ? MixerKind::kAttention : MixerKind::kMatrixState};
  }
  ORRERY_RETURN_IF_ERROR(read_mamba2_layers(file, mamba2_part_keys(file), kMamba2Part, config));
  ORRERY_RETURN_IF_ERROR(read_attention(file, traits, {}, config));
  if (turns) ORRERY_RETURN_IF_ERROR(read_rotation(file, rope, config));
  ORRERY_ASSIGN_OR_RETURN(const int64_t stated_length,
                          file.integer({"context_length", "max_position_embeddings"}, 0, int64_t{1} << 40, 0));
  if (config.context_length == 0) config.context_length = stated_length;
  return {};
}

Result<float> positive(const ModelFile& file, ConfigKey key) {
  ORRERY_ASSIGN_OR_RETURN(const double value, file.number(key, 1.0));
  if (value > 0) return static_cast<float>(value);
  if (value == 0 && is_gguf(file)) return 1.0f;  // as llama.cpp reads it
  return Error{ErrorCode::kInvalidFile,
               file.path() + ": " + file.spelled(key) + " must be positive, but is " + std::to_string(value)};
}

Result<void> read_factors(const ModelFile& file, ModelConfig& config) {
  ORRERY_ASSIGN_OR_RETURN(config.embedding_scale, positive(file, {"embedding_scale", "embedding_multiplier"}));
  ORRERY_ASSIGN_OR_RETURN(const float divisor, positive(file, {"logit_scale", "logits_scaling"}));
  config.logit_scale = 1.0f / divisor;
  if (is_gguf(file)) return {};  // read with the heads
  ORRERY_ASSIGN_OR_RETURN(const float scale, positive(file, {"", "attention_multiplier"}));
  for (LayerConfig& layer : config.layers) layer.attention.scale = scale;
  return {};
}

DenseFfnWeights shared_weights(DecoderBuilder& decoder, int32_t layer, const FfnNames& names, int64_t width) {
  TensorPlacer& place = decoder.place();
  const int64_t d_model = decoder.config().d_model;
  DenseFfnWeights weights;
  if (is_gguf(place.file())) {
    weights.gate = place.matrix(names.gate, layer, width, d_model);
    weights.up = place.matrix(names.up, layer, width, d_model);
    weights.gate_bias = place.optional_vector(names.gate_bias, layer, width);
    weights.up_bias = place.optional_vector(names.up_bias, layer, width);
    weights.down_bias = place.optional_vector(names.down_bias, layer, d_model);
  } else {
    const TensorView both = place.matrix(kSharedBoth, layer, 2 * width, d_model);
    weights.gate = both.rows(0, width);
    weights.up = both.rows(width, width);
  }
  weights.down = place.matrix(names.down, layer, d_model, width);
  return weights;
}

std::unique_ptr<FeedForward> feed_forward(DecoderBuilder& decoder, int32_t layer) {
  const LayerConfig& config = decoder.layer_config(layer);
  if (config.feed_forward == FeedForwardKind::kDense) {
    return std::make_unique<DenseFfn>(Activation::kSilu, shared_weights(decoder, layer, kAlone, config.d_ffn));
  }
  MoeWeights weights = moe_weights(decoder, layer, expert_names(decoder.place().file(), layer));
  std::unique_ptr<FeedForward> shared;
  if (config.moe.d_shared > 0) {
    shared =
        std::make_unique<DenseFfn>(Activation::kSilu, shared_weights(decoder, layer, kShared, config.moe.d_shared));
  }
  return std::make_unique<MoeFfn>(config.moe, Activation::kSilu, std::move(weights), std::move(shared));
}

Result<std::unique_ptr<Mixer>> mixer(const ModelFile& file, DecoderBuilder& decoder, int32_t layer) {
  if (decoder.layer_config(layer).has(MixerKind::kAttention)) return decoder.attention(layer);
  ORRERY_ASSIGN_OR_RETURN(const Mamba2Config config,
                          mamba2_config(file, mamba2_part_keys(file), decoder.config(), layer));
  return std::unique_ptr<Mixer>(std::make_unique<Mamba2Mixer>(config, mamba2_weights(decoder, layer, kMamba2Part)));
}

}  // namespace

Result<ModelConfig> read_granite_hybrid_config(const ModelFile& file) {
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, kGranite));
  ORRERY_ASSIGN_OR_RETURN(const std::vector<LayerKind> kinds, granite_layers(file, config.n_layers()));
  ORRERY_ASSIGN_OR_RETURN(bool turns, file.boolean({"rope.scaling.finetuned", ""}, true));
  if (!is_gguf(file)) {
    const std::string without_positions = "nope";
    const Result<std::string> positions = file.text({"", "position_embedding_type"}, without_positions);
    if (!positions) return positions.error();
    turns = *positions == "rope";
  }
  ORRERY_RETURN_IF_ERROR(read_mixers(file, kGranite, kinds, turns, {}, config));
  ORRERY_RETURN_IF_ERROR(read_feed_forwards(file, config));
  ORRERY_RETURN_IF_ERROR(read_factors(file, config));
  return config;
}

Result<ModelParts> build_granite_hybrid(const ModelFile& file, ModelConfig config, const Placement& placement) {
  ORRERY_ASSIGN_OR_RETURN(const float residual_scale, positive(file, {"residual_scale", "residual_multiplier"}));
  DecoderBuilder decoder(file, std::move(config), placement);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    BlockNorms norms{.epsilon = decoder.norm_epsilon(), .residual_scale = residual_scale};
    norms.before_mixer = decoder.norm(kMixerNorm, layer);
    norms.before_ffn = decoder.norm(kFfnNorm, layer);
    ORRERY_ASSIGN_OR_RETURN(std::unique_ptr<Mixer> of_layer, mixer(file, decoder, layer));
    decoder.add(std::make_unique<ResidualBlock>(norms, std::move(of_layer), feed_forward(decoder, layer)));
  }
  return decoder.finish();
}

Result<ModelConfig> read_bamba_config(const ModelFile& file) {
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, kBamba));
  ORRERY_ASSIGN_OR_RETURN(const std::vector<LayerKind> kinds, bamba_layers(file, config.n_layers()));
  ORRERY_RETURN_IF_ERROR(read_mixers(file, kBamba, kinds, true, {.usual_share = 0.5}, config));
  ORRERY_RETURN_IF_ERROR(read_dense_ffn(file, kBamba, kBambaFfn, config));
  return config;
}

Result<ModelParts> build_bamba(const ModelFile& file, ModelConfig config, const Placement& placement) {
  DecoderBuilder decoder(file, std::move(config), placement, 0.0f, kBamba.names);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kMixerNorm, layer);
    norms.before_ffn = decoder.norm(kBambaFfnNorm, layer);
    ORRERY_ASSIGN_OR_RETURN(std::unique_ptr<Mixer> of_layer, mixer(file, decoder, layer));
    decoder.add(std::make_unique<ResidualBlock>(norms, std::move(of_layer), decoder.dense_ffn(layer, kBambaFfn)));
  }
  return decoder.finish();
}

}  // namespace orrery
