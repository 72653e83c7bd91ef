#include "engine/models/lfm2_moe.h"

#include <algorithm>
#include <utility>

#include "engine/blocks/residual_block.h"
#include "engine/models/lfm2.h"
#include "engine/models/lfm_layers.h"
#include "engine/models/moe_layers.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr MoeNames kExperts{
    .router = {"blk.{}.ffn_gate_inp.weight", "model.layers.{}.feed_forward.gate.weight"},
    .gate_up = {"", "model.layers.{}.feed_forward.experts.gate_up_proj"},
    .down = {"blk.{}.ffn_down_exps.weight", "model.layers.{}.feed_forward.experts.down_proj"},
    .one_gate = {"blk.{}.ffn_gate.{expert}.weight", "model.layers.{}.feed_forward.experts.{expert}.w1.weight"},
    .one_up = {"blk.{}.ffn_up.{expert}.weight", "model.layers.{}.feed_forward.experts.{expert}.w3.weight"},
    .one_down = {"blk.{}.ffn_down.{expert}.weight", "model.layers.{}.feed_forward.experts.{expert}.w2.weight"}};
constexpr MoeKeys kKeys{.n_experts = {"expert_count", "num_experts"}, .n_experts_too = {}};
constexpr TensorName kSelectionBias{"blk.{}.exp_probs_b.bias", "model.layers.{}.feed_forward.expert_bias"};

// The layers from the first with experts on.
Result<void> read_feed_forward_kinds(const ModelFile& file, ModelConfig& config) {
  constexpr int64_t kUsualDense = 2;  // of transformers' Lfm2MoeConfig
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_dense,
                          file.integer({"leading_dense_block_count", "num_dense_layers"}, 0, config.n_layers(),
                                       std::min<int64_t>(kUsualDense, config.n_layers())));
  for (int64_t i = n_dense; i < config.n_layers(); ++i) {
    config.layers[static_cast<size_t>(i)].feed_forward = FeedForwardKind::kMoe;
  }
  return {};
}

Result<RouterConfig> read_router(const ModelFile& file) {
  constexpr int64_t kSigmoid = 2;
  RouterConfig router;
  router.score = RouterScore::kSigmoid;
  router.renormalise_epsilon = 1e-6f;
  ORRERY_RETURN_IF_ERROR(check_stated(file, {"expert_gating_func", ""}, kSigmoid, "sigmoid"));
  ORRERY_ASSIGN_OR_RETURN(router.renormalise, file.boolean({"expert_weights_norm", "norm_topk_prob"}, true));
  ORRERY_ASSIGN_OR_RETURN(const double scale, file.number({"expert_weights_scale", "routed_scaling_factor"}, 1.0));
  router.scale = static_cast<float>(scale);
  return router;
}

std::unique_ptr<FeedForward> lfm2_feed_forward(DecoderBuilder& decoder, int32_t layer, bool has_bias) {
  const LayerConfig& config = decoder.layer_config(layer);
  if (config.feed_forward == FeedForwardKind::kDense) return decoder.dense_ffn(layer, kLfmFfn);
  MoeWeights weights = moe_weights(decoder, layer, kExperts);
  if (has_bias) weights.selection_bias = decoder.place().vector(kSelectionBias, layer, config.moe.router.n_experts);
  return std::make_unique<MoeFfn>(config.moe, config.activation, std::move(weights), nullptr);
}

}  // namespace

Result<ModelConfig> read_lfm2_moe_config(const ModelFile& file) {
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_lfm_sizes(file));
  ORRERY_RETURN_IF_ERROR(read_feed_forward_kinds(file, config));
  ORRERY_RETURN_IF_ERROR(read_lfm2_operators(file, config));
  ORRERY_RETURN_IF_ERROR(read_dense_ffn(file, lfm_traits(), kLfmFfn, config));
  ORRERY_RETURN_IF_ERROR(check_ffn_widths(file, "intermediate_size", config));
  ORRERY_ASSIGN_OR_RETURN(const RouterConfig router, read_router(file));
  ORRERY_RETURN_IF_ERROR(read_moe_layers(file, kKeys, kExperts, router, config));
  return config;
}

Result<ModelParts> build_lfm2_moe(const ModelFile& file, ModelConfig config, const Placement& placement) {
  const bool is_gguf = file.format() == ModelFile::Format::kGguf;
  ORRERY_ASSIGN_OR_RETURN(const bool says_bias, file.boolean({"", "use_expert_bias"}, true));
  DecoderBuilder decoder(file, std::move(config), placement, 0.0f, lfm_traits().names);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    const bool has_bias = is_gguf ? file.find(kSelectionBias, layer) != nullptr : says_bias;
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kLfmMixerNorm, layer);
    norms.before_ffn = decoder.norm(kLfmFfnNorm, layer);
    decoder.add(std::make_unique<ResidualBlock>(norms, lfm_mixer(decoder, layer, kLfm2Attention),
                                                lfm2_feed_forward(decoder, layer, has_bias)));
  }
  return decoder.finish();
}

}  // namespace orrery
