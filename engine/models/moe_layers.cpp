#include "engine/models/moe_layers.h"

#include <string>
#include <utility>

#include "engine/blocks/residual_block.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr int64_t kMostWidth = int64_t{1} << 24;

std::string of_first_expert(std::string_view pattern) {
  constexpr std::string_view kPlace = "{expert}";
  std::string text(pattern);
  if (const size_t at = text.find(kPlace); at != std::string::npos) text.replace(at, kPlace.size(), "0");
  return text;
}

bool are_stacked(const ModelFile& file, const MoeNames& names, int32_t layer) {
  return file.find(names.down, layer) != nullptr;
}

// The width of an expert, from the tensor with the downs.
Result<int64_t> expert_width(const ModelFile& file, const MoeNames& names, int32_t layer, int64_t n_experts,
                             int64_t d_in) {
  const bool stacked = are_stacked(file, names, layer);
  const std::string gguf = of_first_expert(names.one_down.gguf), hf = of_first_expert(names.one_down.hf);
  const TensorName name = stacked ? names.down : TensorName{gguf, hf};
  const Shape shape = stacked ? Shape{n_experts, d_in, -1} : Shape{d_in, -1};
  ORRERY_ASSIGN_OR_RETURN(const TensorView down, file.tensor(name, layer, shape));
  if (down.n_cols() >= 1 && down.n_cols() <= kMostWidth) return down.n_cols();
  return Error{ErrorCode::kInvalidFile, file.path() + ": the columns of " + file.spelled(name, layer) +
                                            " must be from 1 to " + std::to_string(kMostWidth) + ", but are " +
                                            std::to_string(down.n_cols())};
}

}  // namespace

Result<RouterConfig> read_sigmoid_router(const ModelFile& file, const GroupKeys& keys) {
  constexpr int64_t kMostGroups = 4096;
  const bool is_gguf = file.format() == ModelFile::Format::kGguf;
  RouterConfig router{.score = RouterScore::kSigmoid, .renormalise_epsilon = 1e-20f};
  ORRERY_ASSIGN_OR_RETURN(router.renormalise, file.boolean(keys.renormalise, true));
  ORRERY_ASSIGN_OR_RETURN(const double scale, file.number(keys.scale, is_gguf ? 1.0 : keys.usual_scale));
  ORRERY_ASSIGN_OR_RETURN(const int64_t groups,
                          file.integer(keys.n_groups, 1, kMostGroups, is_gguf ? 1 : keys.usual_groups));
  ORRERY_ASSIGN_OR_RETURN(const int64_t kept,
                          file.integer(keys.n_kept, 1, kMostGroups, is_gguf ? groups : keys.usual_kept));
  router.scale = static_cast<float>(scale);
  router.n_groups = static_cast<int32_t>(groups);
  router.n_kept_groups = static_cast<int32_t>(kept);
  return router;
}

Result<void> check_groups(const ModelFile& file, const GroupKeys& keys, const MoeKeys& moe_keys,
                          const ModelConfig& config) {
  const auto must = [&](ConfigKey key, const std::string& rule, int64_t value) {
    return Error{ErrorCode::kInvalidFile,
                 file.path() + ": " + file.spelled(key) + " must " + rule + ", but is " + std::to_string(value)};
  };
  for (const LayerConfig& layer : config.layers) {
    if (layer.feed_forward != FeedForwardKind::kMoe) continue;
    const RouterConfig& router = layer.moe.router;
    const int32_t size = router.n_experts / router.n_groups;
    if (router.n_experts % router.n_groups != 0 || (router.n_groups > 1 && size < 2)) {
      return must(keys.n_groups, "part the " + std::to_string(router.n_experts) + " experts in groups of two or more",
                  router.n_groups);
    }
    if (router.n_kept_groups > router.n_groups) {
      return must(keys.n_kept, "be at most the " + std::to_string(router.n_groups) + " groups", router.n_kept_groups);
    }
    if (router.n_chosen > size * router.n_kept_groups) {
      return must(
          moe_keys.n_chosen,
          "be at most the " + std::to_string(size * router.n_kept_groups) + " experts of the groups chosen from",
          router.n_chosen);
    }
  }
  return {};
}

Result<void> read_router_sizes(const ModelFile& file, const MoeKeys& keys, TensorName name, int32_t layer,
                               int64_t d_model, RouterConfig& router) {
  constexpr int64_t kMostExperts = int64_t{1} << 16;
  ORRERY_ASSIGN_OR_RETURN(const TensorView weight, file.tensor(name, layer, {-1, d_model}));
  const int64_t n_experts = weight.n_rows();
  const std::string rows = "the rows of " + file.spelled(name, layer);
  if (n_experts < 1 || n_experts > kMostExperts) {
    return Error{ErrorCode::kInvalidFile, file.path() + ": " + rows + " must be from 1 to " +
                                              std::to_string(kMostExperts) + ", but are " + std::to_string(n_experts)};
  }
  for (const ConfigKey key : {keys.n_experts, keys.n_experts_too}) {
    ORRERY_RETURN_IF_ERROR(check_stated(file, key, n_experts, rows));
  }
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_chosen, file.integer(keys.n_chosen, 1, n_experts, keys.usual_chosen));
  router.n_experts = static_cast<int32_t>(n_experts);
  router.n_chosen = static_cast<int32_t>(n_chosen);
  return {};
}

Result<void> read_moe_layer(const ModelFile& file, const MoeKeys& keys, const MoeNames& names,
                            const RouterConfig& router, int32_t layer, ModelConfig& config, int64_t d_in) {
  MoeConfig& moe = config.layers[static_cast<size_t>(layer)].moe;
  moe.router = router;
  ORRERY_RETURN_IF_ERROR(read_router_sizes(file, keys, names.router, layer, config.d_model, moe.router));
  ORRERY_ASSIGN_OR_RETURN(moe.d_expert,
                          expert_width(file, names, layer, moe.router.n_experts, d_in == 0 ? config.d_model : d_in));
  return check_stated(file, keys.d_expert, moe.d_expert, "the width of the experts of layer " + std::to_string(layer));
}

Result<void> read_moe_layers(const ModelFile& file, const MoeKeys& keys, const MoeNames& names,
                             const RouterConfig& router, ModelConfig& config, int64_t d_in) {
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    if (config.layers[static_cast<size_t>(i)].feed_forward != FeedForwardKind::kMoe) continue;
    ORRERY_RETURN_IF_ERROR(read_moe_layer(file, keys, names, router, i, config, d_in));
  }
  return {};
}

MoeWeights moe_weights(DecoderBuilder& decoder, int32_t layer, const MoeNames& names, int64_t d_in) {
  TensorPlacer& place = decoder.place();
  const MoeConfig& moe = decoder.layer_config(layer).moe;
  const int64_t n = moe.router.n_experts, d_expert = moe.d_expert, d_model = decoder.config().d_model;
  if (d_in == 0) d_in = d_model;
  MoeWeights weights;
  weights.router = place.matrix(names.router, layer, n, d_model);
  weights.router_bias = place.optional_vector(names.router_bias, layer, n);
  if (!are_stacked(place.file(), names, layer)) {
    if (names.is_gated) weights.gate = place.numbered(names.one_gate, layer, n, d_expert, d_in);
    weights.up = place.numbered(names.one_up, layer, n, d_expert, d_in);
    weights.down = place.numbered(names.one_down, layer, n, d_in, d_expert);
    return weights;
  }
  if (names.is_gated && place.file().find(names.gate_up, layer) != nullptr) {
    for (const TensorView& both : place.stacked(names.gate_up, layer, n, 2 * d_expert, d_in)) {
      weights.gate.push_back(both.rows(0, d_expert));
      weights.up.push_back(both.rows(d_expert, d_expert));
    }
  } else {
    if (names.is_gated) weights.gate = place.stacked(names.gate, layer, n, d_expert, d_in);
    weights.up = place.stacked(names.up, layer, n, d_expert, d_in);
  }
  weights.down = place.stacked(names.down, layer, n, d_in, d_expert);
  return weights;
}

std::unique_ptr<FeedForward> moe_ffn(DecoderBuilder& decoder, int32_t layer, const MoeNames& names) {
  const LayerConfig& config = decoder.layer_config(layer);
  return std::make_unique<MoeFfn>(config.moe, config.activation, moe_weights(decoder, layer, names), nullptr);
}

Result<void> read_shared_expert(const ModelFile& file, ConfigKey n_shared, const SharedExpertNames& names,
                                int32_t layer, ModelConfig& config) {
  MoeConfig& moe = config.layers[static_cast<size_t>(layer)].moe;
  ORRERY_ASSIGN_OR_RETURN(const TensorView up, file.tensor(names.ffn.up, layer, {-1, config.d_model}));
  const std::string rows = "the rows of " + file.spelled(names.ffn.up, layer);
  if (up.n_rows() < 1 || up.n_rows() > kMostWidth || up.n_rows() % moe.d_expert != 0) {
    return Error{ErrorCode::kInvalidFile, file.path() + ": " + rows + " must be a multiple of the " +
                                              std::to_string(moe.d_expert) + " of an expert, but are " +
                                              std::to_string(up.n_rows())};
  }
  moe.d_shared = up.n_rows();
  return check_stated(file, n_shared, up.n_rows() / moe.d_expert, rows + " by those of an expert");
}

std::unique_ptr<FeedForward> moe_ffn(DecoderBuilder& decoder, int32_t layer, const MoeNames& names,
                                     const SharedExpertNames& shared) {
  const LayerConfig& config = decoder.layer_config(layer);
  TensorPlacer& place = decoder.place();
  const int64_t d_model = decoder.config().d_model;
  MoeWeights weights = moe_weights(decoder, layer, names);
  weights.selection_bias = place.optional_vector(shared.selection_bias, layer, config.moe.router.n_experts);
  DenseFfnWeights of_all;
  of_all.gate = place.matrix(shared.ffn.gate, layer, config.moe.d_shared, d_model);
  of_all.up = place.matrix(shared.ffn.up, layer, config.moe.d_shared, d_model);
  of_all.down = place.matrix(shared.ffn.down, layer, d_model, config.moe.d_shared);
  return std::make_unique<MoeFfn>(config.moe, config.activation, std::move(weights),
                                  std::make_unique<DenseFfn>(config.activation, of_all));
}

Result<ModelConfig> read_expert_decoder(const ModelFile& file, const ExpertDecoder& decoder) {
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, decoder.traits));
  ORRERY_ASSIGN_OR_RETURN(const Activation activation, read_activation(file, decoder.traits));
  for (size_t i = 0; i < config.layers.size(); ++i) {
    LayerConfig& layer = config.layers[i];
    layer.mixers = {MixerKind::kAttention};
    const bool has_experts = decoder.has_experts.empty() || decoder.has_experts[i];
    layer.feed_forward = has_experts ? FeedForwardKind::kMoe : FeedForwardKind::kDense;
    layer.activation = activation;
  }
  ORRERY_RETURN_IF_ERROR(read_attention(file, decoder.traits, {}, config));
  ORRERY_RETURN_IF_ERROR(read_dense_ffn(file, decoder.traits, {}, config));
  ORRERY_RETURN_IF_ERROR(read_moe_layers(file, decoder.keys, decoder.names, decoder.router, config));
  return config;
}

Result<ModelParts> build_expert_decoder(const ModelFile& file, ModelConfig config, const Placement& placement,
                                        const MoeNames& names) {
  constexpr TensorName kAttentionNorm{"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"};
  constexpr TensorName kFfnNorm{"blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight"};
  DecoderBuilder decoder(file, std::move(config), placement);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kAttentionNorm, layer);
    norms.before_ffn = decoder.norm(kFfnNorm, layer);
    const bool has_experts = decoder.layer_config(layer).feed_forward == FeedForwardKind::kMoe;
    decoder.add(std::make_unique<ResidualBlock>(
        norms, decoder.attention(layer), has_experts ? moe_ffn(decoder, layer, names) : decoder.dense_ffn(layer)));
  }
  return decoder.finish();
}

}  // namespace orrery
