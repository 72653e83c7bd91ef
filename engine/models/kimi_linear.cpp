#include "engine/models/kimi_linear.h"

#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "engine/blocks/gated_delta.h"
#include "engine/blocks/residual_block.h"
#include "engine/models/latent_layers.h"
#include "engine/models/layer_kinds.h"
#include "engine/models/mamba_layers.h"
#include "engine/models/moe_layers.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr DecoderTraits kTraits{.usual_epsilon = 1e-5};
constexpr TensorName kAttentionNorm{"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"};
constexpr TensorName kFfnNorm{"blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight"};

constexpr TensorName kQ{"blk.{}.attn_q.weight", "model.layers.{}.self_attn.q_proj.weight"};
constexpr TensorName kK{"blk.{}.attn_k.weight", "model.layers.{}.self_attn.k_proj.weight"};
constexpr TensorName kV{"blk.{}.attn_v.weight", "model.layers.{}.self_attn.v_proj.weight"};
constexpr TensorName kWrite{"blk.{}.ssm_beta.weight", "model.layers.{}.self_attn.b_proj.weight"};
constexpr TensorName kGateDown{"blk.{}.ssm_g_a.weight", "model.layers.{}.self_attn.g_a_proj.weight"};
constexpr TensorName kGate{"blk.{}.ssm_g_b.weight", "model.layers.{}.self_attn.g_b_proj.weight"};
constexpr TensorName kHeadNorm{"blk.{}.ssm_norm.weight", "model.layers.{}.self_attn.o_norm.weight"};
constexpr TensorName kOut{"blk.{}.attn_output.weight", "model.layers.{}.self_attn.o_proj.weight"};
// One convolution as the class has it, or one each for queries, keys and values, as in published files.
constexpr TensorName kConvolution{"", "model.layers.{}.self_attn.conv1d.weight"};
constexpr std::array<TensorName, 3> kConvolutions{
    {{"blk.{}.ssm_conv1d_q.weight", "model.layers.{}.self_attn.q_conv1d.weight"},
     {"blk.{}.ssm_conv1d_k.weight", "model.layers.{}.self_attn.k_conv1d.weight"},
     {"blk.{}.ssm_conv1d_v.weight", "model.layers.{}.self_attn.v_conv1d.weight"}}};

// What published files and the class call differently.
struct RateNames {
  TensorName down, up, bias, log_decay;
};
constexpr RateNames kPublishedRate{{"blk.{}.ssm_f_a.weight", "model.layers.{}.self_attn.f_a_proj.weight"},
                                   {"blk.{}.ssm_f_b.weight", "model.layers.{}.self_attn.f_b_proj.weight"},
                                   {"blk.{}.ssm_dt.bias", "model.layers.{}.self_attn.dt_bias"},
                                   {"blk.{}.ssm_a", "model.layers.{}.self_attn.A_log"}};  // in GGUF -exp(A_log)
constexpr RateNames kRate{{"", "model.layers.{}.self_attn.forget_gate.f_a_proj.weight"},
                          {"", "model.layers.{}.self_attn.forget_gate.f_b_proj.weight"},
                          {"", "model.layers.{}.self_attn.forget_gate.dt_bias"},
                          {"", "model.layers.{}.self_attn.forget_gate.A_log"}};
struct FeedForwardNames {
  FfnNames dense;
  MoeNames experts;
  SharedExpertNames shared;
};
constexpr FeedForwardNames kFeedForward;
constexpr FeedForwardNames kPublishedFeedForward{
    .dense = {.gate = {"", "model.layers.{}.block_sparse_moe.gate_proj.weight"},
              .up = {"", "model.layers.{}.block_sparse_moe.up_proj.weight"},
              .down = {"", "model.layers.{}.block_sparse_moe.down_proj.weight"}},
    .experts = {.router = {"", "model.layers.{}.block_sparse_moe.gate.weight"},
                .one_gate = {"", "model.layers.{}.block_sparse_moe.experts.{expert}.w1.weight"},
                .one_up = {"", "model.layers.{}.block_sparse_moe.experts.{expert}.w3.weight"},
                .one_down = {"", "model.layers.{}.block_sparse_moe.experts.{expert}.w2.weight"}},
    .shared = {.ffn = {.gate = {"", "model.layers.{}.block_sparse_moe.shared_experts.gate_proj.weight"},
                       .up = {"", "model.layers.{}.block_sparse_moe.shared_experts.up_proj.weight"},
                       .down = {"", "model.layers.{}.block_sparse_moe.shared_experts.down_proj.weight"}},
               .selection_bias = {"", "model.layers.{}.block_sparse_moe.gate.e_score_correction_bias"}}};

constexpr ConfigKey kDenseLayers{"leading_dense_block_count", "first_k_dense_replace"};
constexpr ConfigKey kFeedForwardTypes{"", "mlp_layer_types"};
constexpr ConfigKey kFullLayers{"", "linear_attn_config.full_attn_layers"};
constexpr ConfigKey kDeltaLayers{"", "linear_attn_config.kda_layers"};
constexpr int64_t kMostLayers = 4096;
constexpr int64_t kMostHeads = int64_t{1} << 16;
constexpr int64_t kMostWidth = int64_t{1} << 24;
constexpr int64_t kMostTaps = 256;

bool is_gguf(const ModelFile& file) { return file.format() == ModelFile::Format::kGguf; }

Error must(const ModelFile& file, const std::string& what, const std::string& rule, int64_t value) {
  return {ErrorCode::kInvalidFile, file.path() + ": " + what + " must " + rule + ", but is " + std::to_string(value)};
}

// The first of two spellings of a setting that config.json has. Those of the delta nets stand in an object of their
// own, or at the top.
ConfigKey either(const ModelFile& file, ConfigKey one, std::string_view other) {
  const ConfigKey too{one.gguf, other};
  return !file.has(one) && file.has(too) ? too : one;
}

const RateNames& rate_names(const ModelFile& file, int32_t layer) {
  return is_gguf(file) || file.find(kPublishedRate.log_decay, layer) != nullptr ? kPublishedRate : kRate;
}

const FeedForwardNames& feed_forward_names(const ModelFile& file, int32_t layer) {
  const bool published = file.find(kPublishedFeedForward.experts.router, layer) != nullptr ||
                         file.find(kPublishedFeedForward.dense.up, layer) != nullptr;
  return published ? kPublishedFeedForward : kFeedForward;
}

// Layers are counted from 1 in these lists.
Result<std::vector<LayerKind>> listed_kinds(const ModelFile& file, int32_t n_layers) {
  ORRERY_ASSIGN_OR_RETURN(const std::vector<int64_t> full, file.integers(kFullLayers, n_layers, 1, n_layers));
  ORRERY_ASSIGN_OR_RETURN(const std::vector<int64_t> delta, file.integers(kDeltaLayers, n_layers, 1, n_layers));
  std::vector<LayerKind> kinds(static_cast<size_t>(n_layers), LayerKind::kFeedForward);  // until it is listed
  const auto set = [&](const std::vector<int64_t>& layers, LayerKind kind) {
    for (const int64_t layer : layers) {
      LayerKind& of_layer = kinds[static_cast<size_t>(layer - 1)];
      if (of_layer != LayerKind::kFeedForward) return false;
      of_layer = kind;
    }
    return true;
  };
  const bool is_once = set(full, LayerKind::kAttention) && set(delta, LayerKind::kState);
  if (is_once && static_cast<int64_t>(full.size() + delta.size()) == n_layers) return kinds;
  return must(file, file.spelled(kFullLayers) + " and " + file.spelled(kDeltaLayers),
              "name each of the " + std::to_string(n_layers) + " layers once, from 1",
              static_cast<int64_t>(full.size() + delta.size()));
}

Result<std::vector<LayerKind>> read_kinds(const ModelFile& file, int32_t n_layers) {
  if (is_gguf(file)) return layer_kinds_by_heads(file, n_layers);
  constexpr ConfigKey kTypes[] = {{"", "layer_types"}};
  ORRERY_ASSIGN_OR_RETURN(std::vector<LayerKind> kinds, read_layer_kinds(file, kTypes, kStateOrAttention, n_layers));
  if (!kinds.empty()) return kinds;
  if (file.has(kFullLayers) && file.has(kDeltaLayers)) return listed_kinds(file, n_layers);
  for (int32_t i = 0; i < n_layers; ++i) {
    kinds.push_back(i > 0 && i % 4 == 0 ? LayerKind::kAttention : LayerKind::kState);
  }
  return kinds;
}

// The taps of one of the convolutions over n_channels channels, whatever axes of 1 its weight has.
Result<int32_t> taps_of(const ModelFile& file, TensorName name, int32_t layer, int64_t n_channels) {
  const StoredTensor* stored = file.find(name, layer);
  if (stored == nullptr) ORRERY_RETURN_IF_ERROR(file.tensor(name, layer, {n_channels, 1, -1}));
  const int64_t n = stored->shape.n_elements();
  if (n >= n_channels && n % n_channels == 0 && n / n_channels <= kMostTaps) {
    return static_cast<int32_t>(n / n_channels);
  }
  return must(file, "the size of " + file.spelled(name, layer),
              "be 1 to " + std::to_string(kMostTaps) + " taps for " + std::to_string(n_channels) + " channels", n);
}

// The narrower spaces that rates and gates are made in have a width.
Result<void> check_ranks(const ModelFile& file, int32_t layer, int64_t d_model) {
  for (const TensorName name : {kGateDown, rate_names(file, layer).down}) {
    ORRERY_ASSIGN_OR_RETURN(const TensorView down, file.tensor(name, layer, {-1, d_model}));
    if (down.n_rows() >= 1 && down.n_rows() <= kMostWidth) continue;
    return must(file, "the rows of " + file.spelled(name, layer), "be from 1 to " + std::to_string(kMostWidth),
                down.n_rows());
  }
  return {};
}

Result<void> read_delta_net(const ModelFile& file, int32_t layer, ModelConfig& config) {
  LayerConfig& of_layer = config.layers[static_cast<size_t>(layer)];
  const TensorName log_decay = rate_names(file, layer).log_decay;
  const StoredTensor* decays = file.find(log_decay, layer);
  if (decays == nullptr) ORRERY_RETURN_IF_ERROR(file.tensor(log_decay, layer, {1, 1, -1, 1}));
  const int64_t n_heads = decays->shape.n_elements();
  const std::string length = "the length of " + file.spelled(log_decay, layer);
  if (n_heads < 1 || n_heads > kMostHeads) return must(file, length, "be a number of heads", n_heads);
  ORRERY_ASSIGN_OR_RETURN(const TensorView keys, file.tensor(kK, layer, {-1, config.d_model}));
  ORRERY_ASSIGN_OR_RETURN(const TensorView values, file.tensor(kV, layer, {-1, config.d_model}));
  for (const auto& [name, rows] : {std::pair{kK, keys.n_rows()}, {kV, values.n_rows()}}) {
    if (rows >= n_heads && rows <= kMostWidth && rows % n_heads == 0) continue;
    return must(file, "the rows of " + file.spelled(name, layer),
                "be a multiple of the " + std::to_string(n_heads) + " heads", rows);
  }
  ORRERY_RETURN_IF_ERROR(check_ranks(file, layer, config.d_model));
  const ConfigKey width = either(file, {"kda.head_dim", "linear_attn_config.head_dim"}, "linear_head_dim");
  const ConfigKey heads = either(file, {"", "linear_attn_config.num_heads"}, "linear_num_heads");
  const ConfigKey taps =
      either(file, {"ssm.conv_kernel", "linear_attn_config.short_conv_kernel_size"}, "linear_conv_kernel_dim");
  const int64_t d_key = keys.n_rows() / n_heads, d_value = values.n_rows() / n_heads;
  ORRERY_RETURN_IF_ERROR(check_stated(file, heads, n_heads, length));
  ORRERY_RETURN_IF_ERROR(check_stated(file, width, d_key, "each head's share of " + file.spelled(kK, layer)));
  ORRERY_RETURN_IF_ERROR(check_stated(file, width, d_value, "each head's share of " + file.spelled(kV, layer)));

  of_layer.state.recurrence = Recurrence::kKimiDelta;
  of_layer.state.sizes = {.n_heads = static_cast<int32_t>(n_heads),
                          .n_groups = static_cast<int32_t>(n_heads),
                          .d_key = static_cast<int32_t>(d_key),
                          .d_value = static_cast<int32_t>(d_value)};
  of_layer.state.n_stat_heads = static_cast<int32_t>(n_heads);
  of_layer.conv.n_channels = 2 * keys.n_rows() + values.n_rows();
  const bool is_one = file.find(kConvolution, layer) != nullptr;
  const TensorName convolution = is_one ? kConvolution : kConvolutions[0];
  ORRERY_ASSIGN_OR_RETURN(of_layer.conv.n_taps,
                          taps_of(file, convolution, layer, is_one ? of_layer.conv.n_channels : keys.n_rows()));
  return check_stated(file, taps, of_layer.conv.n_taps, "the taps of " + file.spelled(convolution, layer));
}

// Which layers have experts.
Result<std::vector<bool>> expert_layers(const ModelFile& file, int32_t n_layers) {
  std::vector<bool> has_experts;
  if (file.has(kFeedForwardTypes)) {
    ORRERY_ASSIGN_OR_RETURN(const std::vector<std::string> types, file.texts_per_layer(kFeedForwardTypes, n_layers));
    for (const std::string& type : types) {
      if (type != "dense" && type != "sparse") {
        return Error{ErrorCode::kUnsupported, file.path() + ": " + file.spelled(kFeedForwardTypes) +
                                                  " may have dense and sparse, but has " + type.substr(0, 60)};
      }
      has_experts.push_back(type == "sparse");
    }
    return has_experts;
  }
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_dense, file.integer(kDenseLayers, 0, kMostLayers, is_gguf(file) ? 0 : 1));
  for (int32_t i = 0; i < n_layers; ++i) has_experts.push_back(i >= n_dense);
  return has_experts;
}

Result<void> refuse_other_scores(const ModelFile& file) {
  constexpr ConfigKey kScore{"expert_gating_func", ""};
  constexpr int64_t kSigmoid = 2;
  ORRERY_ASSIGN_OR_RETURN(const int64_t score, file.integer(kScore, 0, 1 << 16, kSigmoid));
  if (score == kSigmoid) return {};
  return Error{ErrorCode::kUnsupported, file.path() + ": " + file.spelled(kScore) +
                                            " must be 2, which is sigmoid, but is " + std::to_string(score)};
}

Result<void> read_feed_forwards(const ModelFile& file, ModelConfig& config) {
  const MoeKeys moe_keys{
      .n_experts = {"expert_count", "num_experts"},
      .n_experts_too = {"", "num_local_experts"},
      .n_chosen = either(file, {"expert_used_count", "num_experts_per_token"}, "num_experts_per_tok"),
      .usual_chosen = 8};
  const GroupKeys groups{.n_groups = either(file, {"expert_group_count", "num_expert_group"}, "n_group"),
                         .renormalise = either(file, {"expert_weights_norm", "moe_renormalize"}, "norm_topk_prob"),
                         .usual_scale = 2.446};
  const ConfigKey n_shared = either(file, {"expert_shared_count", "num_shared_experts"}, "n_shared_experts");
  ORRERY_RETURN_IF_ERROR(refuse_other_scores(file));
  ORRERY_ASSIGN_OR_RETURN(const std::vector<bool> has_experts, expert_layers(file, config.n_layers()));
  ORRERY_ASSIGN_OR_RETURN(const RouterConfig router, read_sigmoid_router(file, groups));
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    const FeedForwardNames& names = feed_forward_names(file, i);
    if (!has_experts[static_cast<size_t>(i)]) {
      layer.feed_forward = FeedForwardKind::kDense;
      ORRERY_ASSIGN_OR_RETURN(const TensorView up, file.tensor(names.dense.up, i, {-1, config.d_model}));
      layer.d_ffn = up.n_rows();
      continue;
    }
    layer.feed_forward = FeedForwardKind::kMoe;
    ORRERY_RETURN_IF_ERROR(read_moe_layer(file, moe_keys, names.experts, router, i, config));
    ORRERY_RETURN_IF_ERROR(read_shared_expert(file, n_shared, names.shared, i, config));
  }
  return check_groups(file, groups, moe_keys, config);
}

std::unique_ptr<Mixer> delta_net(const ModelFile& file, DecoderBuilder& decoder, int32_t layer) {
  const LayerConfig& of_layer = decoder.layer_config(layer);
  const MatrixStateSizes& sizes = of_layer.state.sizes;
  const int64_t d_model = decoder.config().d_model;
  TensorPlacer& place = decoder.place();
  GatedDeltaConfig config;
  config.conv = of_layer.conv;
  config.state = of_layer.state;
  config.gate_activation = Activation::kSigmoid;
  config.norm_epsilon = decoder.norm_epsilon();
  const int64_t key_width = config.key_width(), value_width = config.value_width();
  const RateNames& rate = rate_names(file, layer);
  const auto rank = [&](TensorName down) { return file.find(down, layer)->shape[0]; };  // was read with the sizes
  GatedDeltaWeights weights;
  weights.q = place.matrix(kQ, layer, key_width, d_model);
  weights.k = place.matrix(kK, layer, key_width, d_model);
  weights.v = place.matrix(kV, layer, value_width, d_model);
  weights.write = place.matrix(kWrite, layer, sizes.n_heads, d_model);
  weights.gate_down = place.matrix(kGateDown, layer, rank(kGateDown), d_model);
  weights.gate = place.matrix(kGate, layer, value_width, rank(kGateDown));
  weights.rate_down = place.matrix(rate.down, layer, rank(rate.down), d_model);
  weights.rate = place.matrix(rate.up, layer, key_width, rank(rate.down));
  weights.rate_bias = place.vector(rate.bias, layer, key_width);
  weights.log_decay = log_decays(place, rate.log_decay, layer, {sizes.n_heads});
  weights.norm = place.vector(kHeadNorm, layer, sizes.d_value);
  weights.out = place.matrix(kOut, layer, d_model, value_width);
  const float length_one = 1.0f / std::sqrt(static_cast<float>(sizes.d_key));
  weights.unit = place.made(std::vector<float>(static_cast<size_t>(sizes.d_key), length_one), {sizes.d_key});
  const std::array<int64_t, 3> parts{key_width, key_width, value_width};
  weights.taps = file.find(kConvolution, layer) != nullptr
                     ? place.taps(kConvolution, layer, config.conv.n_channels, config.conv.n_taps)
                     : place.taps(kConvolutions, layer, parts, config.conv.n_taps);
  return std::make_unique<GatedDelta>(config, weights);
}

}  // namespace

Result<ModelConfig> read_kimi_linear_config(const ModelFile& file) {
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  ORRERY_RETURN_IF_ERROR(expect_silu(file, "hidden_act"));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, kTraits));
  config.tied_embedding = file.find(kOutput) == nullptr;  // the class ties nothing, whatever its settings
  ORRERY_ASSIGN_OR_RETURN(const std::vector<LayerKind> kinds, read_kinds(file, config.n_layers()));
  for (size_t i = 0; i < kinds.size(); ++i) {
    const bool is_delta = kinds[i] == LayerKind::kState;
    config.layers[i].mixers = {is_delta ? MixerKind::kMatrixState : MixerKind::kAttention};
    if (is_delta) ORRERY_RETURN_IF_ERROR(read_delta_net(file, static_cast<int32_t>(i), config));
  }
  ORRERY_RETURN_IF_ERROR(read_latent_attention(file, config));
  ORRERY_RETURN_IF_ERROR(read_feed_forwards(file, config));
  const ConfigKey length = either(file, {"context_length", "model_max_length"}, "max_position_embeddings");
  ORRERY_ASSIGN_OR_RETURN(config.context_length, file.integer(length, 0, int64_t{1} << 40, 0));
  return config;
}

Result<ModelParts> build_kimi_linear(const ModelFile& file, ModelConfig config, const Placement& placement) {
  DecoderBuilder decoder(file, std::move(config), placement);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    const LayerConfig& of_layer = decoder.layer_config(layer);
    const FeedForwardNames& names = feed_forward_names(file, layer);
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kAttentionNorm, layer);
    norms.before_ffn = decoder.norm(kFfnNorm, layer);
    std::unique_ptr<Mixer> mixer =
        of_layer.has(MixerKind::kMatrixState) ? delta_net(file, decoder, layer) : latent_attention(decoder, layer);
    std::unique_ptr<FeedForward> feed_forward = of_layer.feed_forward == FeedForwardKind::kMoe
                                                    ? moe_ffn(decoder, layer, names.experts, names.shared)
                                                    : decoder.dense_ffn(layer, names.dense);
    decoder.add(std::make_unique<ResidualBlock>(norms, std::move(mixer), std::move(feed_forward)));
  }
  return decoder.finish();
}

}  // namespace orrery
