#include "engine/models/deepseek_v3.h"

#include <string>
#include <utility>

#include "engine/blocks/residual_block.h"
#include "engine/models/latent_layers.h"
#include "engine/models/moe_layers.h"

namespace orrery {

namespace {

constexpr DecoderTraits kTraits{};
constexpr MoeKeys kMoeKeys{
    .n_experts = {"expert_count", "n_routed_experts"}, .n_experts_too = {"", "num_local_experts"}, .usual_chosen = 8};
constexpr GroupKeys kGroups{.usual_groups = 8, .usual_kept = 4, .usual_scale = 2.5};
constexpr ConfigKey kSharedExperts{"expert_shared_count", "n_shared_experts"};
constexpr ConfigKey kDenseLayers{"leading_dense_block_count", "first_k_dense_replace"};
constexpr ConfigKey kScore{"expert_gating_func", ""};
constexpr RopeKind kRope{.scales_scores = true};
constexpr TensorName kAttentionNorm{"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"};
constexpr TensorName kFfnNorm{"blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight"};
constexpr int64_t kMostLayers = 4096;

bool is_gguf(const ModelFile& file) { return file.format() == ModelFile::Format::kGguf; }

// Whether experts are chosen as in V3; GGUF has one architecture for both.
Result<bool> has_sigmoid_scores(const ModelFile& file) {
  constexpr int64_t kSoftmax = 1, kSigmoid = 2;
  if (!is_gguf(file)) return file.architecture() == "deepseek_v3";
  ORRERY_ASSIGN_OR_RETURN(const int64_t score, file.integer(kScore, 0, 1 << 16, kSoftmax));  // unstated: V2
  if (score == kSoftmax || score == kSigmoid) return score == kSigmoid;
  return Error{ErrorCode::kUnsupported, file.path() + ": " + file.spelled(kScore) +
                                            " must be 1 or 2, which are softmax and sigmoid, but is " +
                                            std::to_string(score)};
}

// V2: probabilities as they are, in groups that are worth their best expert's.
Result<RouterConfig> read_softmax_router(const ModelFile& file) {
  constexpr int64_t kMostGroups = 4096;
  constexpr ConfigKey kMethod{"", "topk_method"};
  RouterConfig router{.score = RouterScore::kSoftmax, .group_by_sum_of_two = false};
  ORRERY_RETURN_IF_ERROR(refuse_setting(file, kGroups.renormalise));
  ORRERY_ASSIGN_OR_RETURN(const double scale, file.number(kGroups.scale, 1.0));
  router.scale = static_cast<float>(scale);
  ORRERY_ASSIGN_OR_RETURN(const std::string method,
                          file.text(kMethod, is_gguf(file) ? "group_limited_greedy" : "greedy"));
  if (method == "greedy") return router;
  if (method != "group_limited_greedy") {
    return Error{ErrorCode::kUnsupported, file.path() + ": " + file.spelled(kMethod) +
                                              " must be greedy or group_limited_greedy, but is " +
                                              method.substr(0, 60)};
  }
  ORRERY_ASSIGN_OR_RETURN(const int64_t groups, file.integer(kGroups.n_groups, 1, kMostGroups, 1));
  ORRERY_ASSIGN_OR_RETURN(const int64_t kept, file.integer(kGroups.n_kept, 1, kMostGroups, groups));
  router.n_groups = static_cast<int32_t>(groups);
  router.n_kept_groups = static_cast<int32_t>(kept);
  return router;
}

Result<void> read_feed_forwards(const ModelFile& file, ModelConfig& config) {
  ORRERY_ASSIGN_OR_RETURN(const bool is_sigmoid, has_sigmoid_scores(file));
  const int64_t usual_dense = is_sigmoid && !is_gguf(file) ? 3 : 0;
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_dense, file.integer(kDenseLayers, 0, kMostLayers, usual_dense));
  ORRERY_ASSIGN_OR_RETURN(const Activation activation, read_activation(file, kTraits));
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    layer.feed_forward = i < n_dense ? FeedForwardKind::kDense : FeedForwardKind::kMoe;
    layer.activation = activation;
  }
  ORRERY_RETURN_IF_ERROR(read_dense_ffn(file, kTraits, {}, config));
  ORRERY_ASSIGN_OR_RETURN(const RouterConfig router,
                          is_sigmoid ? read_sigmoid_router(file, kGroups) : read_softmax_router(file));
  ORRERY_RETURN_IF_ERROR(read_moe_layers(file, kMoeKeys, {}, router, config));
  ORRERY_RETURN_IF_ERROR(check_groups(file, kGroups, kMoeKeys, config));
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    if (config.layers[static_cast<size_t>(i)].feed_forward != FeedForwardKind::kMoe) continue;
    ORRERY_RETURN_IF_ERROR(read_shared_expert(file, kSharedExperts, {}, i, config));
  }
  return {};
}

Result<void> read_turns(const ModelFile& file, ModelConfig& config) {
  ORRERY_ASSIGN_OR_RETURN(const bool interleaved, file.boolean({"", "rope_interleave"}, true));
  for (LayerConfig& layer : config.layers) {
    AttentionConfig& attention = layer.attention;
    attention.rope.pairing = interleaved ? RopePairing::kAdjacent : RopePairing::kHalfSplit;
    ORRERY_RETURN_IF_ERROR(read_rope(file, attention.d_shared_rope, kRope, attention.rope));
    ORRERY_ASSIGN_OR_RETURN(const double magnitude, read_score_magnitude(file, attention.d_shared_rope, kRope));
    attention.scale = static_cast<float>(double{attention.scale} * magnitude);
    ORRERY_ASSIGN_OR_RETURN(config.context_length, read_context_length(file, attention.d_shared_rope, kRope));
  }
  return {};
}

// Layers after the last, for predicting several tokens at once: left aside, as the reference class leaves them.
Result<void> skip_further_layers(const ModelFile& file, DecoderBuilder& decoder) {
  constexpr int64_t kMostFurther = 64;
  const ConfigKey now{"", "num_nextn_predict_layers"}, too{"", "num_mtp_layers"};
  ORRERY_ASSIGN_OR_RETURN(const int64_t n, file.integer(file.has(too) ? too : now, 0, kMostFurther,
                                                        file.architecture() == "deepseek_v3" ? 1 : 0));
  const int64_t n_layers = decoder.n_layers();
  for (int64_t i = n_layers; i < n_layers + n; ++i) decoder.place().skip_layer(kTraits.names.layers, i);
  return {};
}

}  // namespace

Result<ModelConfig> read_deepseek_v3_config(const ModelFile& file) {
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, kTraits));
  for (LayerConfig& layer : config.layers) layer.mixers = {MixerKind::kAttention};
  ORRERY_RETURN_IF_ERROR(read_latent_attention(file, config));
  ORRERY_RETURN_IF_ERROR(read_turns(file, config));
  ORRERY_RETURN_IF_ERROR(read_feed_forwards(file, config));
  return config;
}

Result<ModelParts> build_deepseek_v3(const ModelFile& file, ModelConfig config, const Placement& placement) {
  DecoderBuilder decoder(file, std::move(config), placement);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kAttentionNorm, layer);
    norms.before_ffn = decoder.norm(kFfnNorm, layer);
    const bool has_experts = decoder.layer_config(layer).feed_forward == FeedForwardKind::kMoe;
    decoder.add(
        std::make_unique<ResidualBlock>(norms, latent_attention(decoder, layer),
                                        has_experts ? moe_ffn(decoder, layer, {}, {}) : decoder.dense_ffn(layer)));
  }
  ORRERY_RETURN_IF_ERROR(skip_further_layers(file, decoder));
  return decoder.finish();
}

}  // namespace orrery
