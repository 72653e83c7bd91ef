#include "engine/models/gpt_oss.h"

#include <string>
#include <utility>
#include <vector>

#include "engine/blocks/moe_ffn.h"
#include "engine/blocks/residual_block.h"
#include "engine/models/moe_layers.h"
#include "engine/models/rope_scaling.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr TensorName kAttentionNorm{"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"};
constexpr TensorName kFfnNorm{"blk.{}.post_attention_norm.weight", "model.layers.{}.post_attention_layernorm.weight"};
constexpr TensorName kRouter{"blk.{}.ffn_gate_inp.weight", "model.layers.{}.mlp.router.weight"};
constexpr TensorName kRouterBias{"blk.{}.ffn_gate_inp.bias", "model.layers.{}.mlp.router.bias"};
constexpr TensorName kGate{"blk.{}.ffn_gate_exps.weight", ""};
constexpr TensorName kUp{"blk.{}.ffn_up_exps.weight", ""};
constexpr TensorName kGateBias{"blk.{}.ffn_gate_exps.bias", ""};
constexpr TensorName kUpBias{"blk.{}.ffn_up_exps.bias", ""};
constexpr TensorName kDownBias{"blk.{}.ffn_down_exps.bias", "model.layers.{}.mlp.experts.down_proj_bias"};
// A folder has inputs as rows, and gates and ups in turns; its packed experts have outputs as rows.
constexpr TensorName kGateUp{"", "model.layers.{}.mlp.experts.gate_up_proj"};
constexpr TensorName kGateUpBias{"", "model.layers.{}.mlp.experts.gate_up_proj_bias"};
constexpr TensorName kGateUpBlocks{"", "model.layers.{}.mlp.experts.gate_up_proj_blocks"};
constexpr TensorName kGateUpExponents{"", "model.layers.{}.mlp.experts.gate_up_proj_scales"};
constexpr TensorName kDown{"blk.{}.ffn_down_exps.weight", "model.layers.{}.mlp.experts.down_proj"};
constexpr TensorName kDownBlocks{"", "model.layers.{}.mlp.experts.down_proj_blocks"};
constexpr TensorName kDownExponents{"", "model.layers.{}.mlp.experts.down_proj_scales"};

constexpr double kUsualBase = 150000.0;  // of transformers' GptOssConfig, as are the other usual values

bool is_gguf(const ModelFile& file) { return file.format() == ModelFile::Format::kGguf; }
bool is_packed(const ModelFile& file, int32_t layer) { return file.find(kDownBlocks, layer) != nullptr; }

Result<int64_t> expert_width(const ModelFile& file, int32_t layer, int64_t n_experts, int64_t d_model) {
  constexpr int64_t kBlock = 32;
  if (is_gguf(file)) {
    ORRERY_ASSIGN_OR_RETURN(const TensorView down, file.tensor(kDown, layer, {n_experts, d_model, -1}));
    return down.shape[2];
  }
  if (!is_packed(file, layer)) {
    ORRERY_ASSIGN_OR_RETURN(const TensorView down, file.tensor(kDown, layer, {n_experts, -1, d_model}));
    return down.shape[1];
  }
  if (d_model % kBlock != 0) {
    return Error{ErrorCode::kInvalidFile, file.path() + ": with packed experts hidden_size must be a multiple of " +
                                              std::to_string(kBlock) + ", but is " + std::to_string(d_model)};
  }
  const Shape& shape = file.find(kDownBlocks, layer)->shape;
  if (shape.rank() == 4) return shape[2] * kBlock;
  return Error{ErrorCode::kInvalidFile, file.path() + ": the tensor " + file.spelled(kDownBlocks, layer) +
                                            " must have 4 dimensions, but has " + std::to_string(shape.rank())};
}

Result<void> read_experts(const ModelFile& file, ModelConfig& config) {
  constexpr int64_t kUsualChosen = 4, kMostWidth = int64_t{1} << 24;
  constexpr double kUsualLimit = 7.0, kUsualSlope = 1.702;
  constexpr ConfigKey kWidth{"expert_feed_forward_length", "intermediate_size"}, kLimit{"", "swiglu_limit"};
  ORRERY_ASSIGN_OR_RETURN(const double limit, file.number(kLimit, kUsualLimit));
  ORRERY_ASSIGN_OR_RETURN(const double slope, file.number({"", "swiglu_alpha"}, kUsualSlope));
  if (!(limit > 0.0)) {
    return Error{ErrorCode::kInvalidFile,
                 file.path() + ": swiglu_limit must be positive, but is " + std::to_string(limit)};
  }
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    layer.feed_forward = FeedForwardKind::kMoe;
    const MoeKeys keys{.usual_chosen = kUsualChosen};
    ORRERY_RETURN_IF_ERROR(read_router_sizes(file, keys, kRouter, i, config.d_model, layer.moe.router));
    layer.moe.router.score = RouterScore::kSoftmaxOfChosen;
    layer.moe.clipped = {.limit = static_cast<float>(limit), .slope = static_cast<float>(slope)};
    ORRERY_ASSIGN_OR_RETURN(layer.moe.d_expert, expert_width(file, i, layer.moe.router.n_experts, config.d_model));
    const std::string of_layer = "the width of the experts of layer " + std::to_string(i);
    ORRERY_RETURN_IF_ERROR(check_stated(file, kWidth, layer.moe.d_expert, of_layer));
    if (layer.moe.d_expert < 1 || layer.moe.d_expert > kMostWidth) {
      return Error{ErrorCode::kInvalidFile, file.path() + ": " + of_layer + " must be from 1 to " +
                                                std::to_string(kMostWidth) + ", but is " +
                                                std::to_string(layer.moe.d_expert)};
    }
  }
  return {};
}

// Packed experts are read; what else config.json calls quantized is not.
Result<void> refuse_other_quantization(const ModelFile& file) {
  constexpr ConfigKey kMethod{"", "quantization_config.quant_method"};
  if (const auto method = file.text(kMethod, ""); method && *method == "mxfp4") return {};
  return refuse_foreign_quantization(file);
}

Result<void> read_positions(const ModelFile& file, ModelConfig& config) {
  // Unlike llama.cpp, the reference does not round the bounds of YaRN's ramp.
  const RopeKind kind{.default_base = kUsualBase, .whole_bounds = false};
  if (is_gguf(file) || file.has({"", "rope_parameters"}) || file.has({"", "rope_scaling"})) {
    return read_rotation(file, kind, config);
  }
  ORRERY_ASSIGN_OR_RETURN(const double base, file.number({"", "rope_theta"}, kUsualBase));
  if (!(base > 1.0)) {
    return Error{ErrorCode::kInvalidFile, file.path() + ": rope_theta must be above 1, but is " + std::to_string(base)};
  }
  for (LayerConfig& layer : config.layers) {
    const int32_t d_head = layer.attention.d_head_k;
    const RopeScaling usual{.kind = RopeScalingKind::kYarn,
                            .base = base,
                            .d_head = d_head,
                            .n_rot = d_head,
                            .factor = 32.0,
                            .original_length = 4096,
                            .magnitude = {},
                            .whole_bounds = false,
                            .short_factors = {},
                            .long_factors = {}};
    fill_rope(usual, layer.attention.rope);
  }
  ORRERY_ASSIGN_OR_RETURN(config.context_length, file.integer({"", "max_position_embeddings"}, 0, int64_t{1} << 40, 0));
  return {};
}

// Every n_parts-th number from `part` on, [n_experts, n] of [n_experts, n * n_parts]; a view per expert.
std::vector<TensorView> biases(TensorPlacer& place, const std::vector<float>& all, int64_t n_experts, int64_t n,
                               size_t n_parts = 1, size_t part = 0) {
  std::vector<float> chosen;
  for (size_t i = part; i < all.size(); i += n_parts) chosen.push_back(all[i]);
  const TensorView stack = place.made(std::move(chosen), {n_experts, n});
  std::vector<TensorView> views;
  for (int64_t i = 0; i < n_experts && !stack.empty(); ++i) {
    views.push_back({.dtype = stack.dtype, .shape = {n}, .data = stack.row(i)});
  }
  return views;
}

MoeWeights expert_weights(DecoderBuilder& decoder, int32_t layer) {
  TensorPlacer& place = decoder.place();
  const MoeConfig& moe = decoder.layer_config(layer).moe;
  const int64_t n = moe.router.n_experts, width = moe.d_expert, d_model = decoder.config().d_model;
  MoeWeights weights;
  weights.router = place.matrix(kRouter, layer, n, d_model);
  weights.router_bias = place.vector(kRouterBias, layer, n);
  if (is_gguf(place.file())) {
    weights.gate = place.stacked(kGate, layer, n, width, d_model);
    weights.up = place.stacked(kUp, layer, n, width, d_model);
    weights.down = place.stacked(kDown, layer, n, d_model, width);
    weights.gate_bias = biases(place, place.values(kGateBias, layer, n * width), n, width);
    weights.up_bias = biases(place, place.values(kUpBias, layer, n * width), n, width);
  } else {
    if (is_packed(place.file(), layer)) {
      weights.gate = place.packed(kGateUpBlocks, kGateUpExponents, layer, n, width, d_model, 2, 0);
      weights.up = place.packed(kGateUpBlocks, kGateUpExponents, layer, n, width, d_model, 2, 1);
      weights.down = place.packed(kDownBlocks, kDownExponents, layer, n, d_model, width);
    } else {
      weights.gate = place.turned(kGateUp, layer, n, width, d_model, 2, 0);
      weights.up = place.turned(kGateUp, layer, n, width, d_model, 2, 1);
      weights.down = place.turned(kDown, layer, n, d_model, width);
    }
    const std::vector<float> both = place.values(kGateUpBias, layer, n * 2 * width);
    weights.gate_bias = biases(place, both, n, width, 2, 0);
    weights.up_bias = biases(place, both, n, width, 2, 1);
  }
  weights.down_bias = biases(place, place.values(kDownBias, layer, n * d_model), n, d_model);
  return weights;
}

}  // namespace

Result<ModelConfig> read_gpt_oss_config(const ModelFile& file) {
  constexpr int64_t kUsualWindow = 128;
  constexpr DecoderTraits kTraits{.usual_epsilon = 1e-5};
  ORRERY_RETURN_IF_ERROR(refuse_other_quantization(file));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, kTraits));
  for (LayerConfig& layer : config.layers) layer.mixers = {MixerKind::kAttention};
  ORRERY_RETURN_IF_ERROR(read_attention(file, kTraits, {}, config));
  for (LayerConfig& layer : config.layers) layer.attention.has_sinks = true;
  ORRERY_ASSIGN_OR_RETURN(const int64_t window, read_window(file, kUsualWindow));
  const auto is_even = [](int32_t layer) { return layer % 2 == 0; };
  ORRERY_RETURN_IF_ERROR(set_windows(file, window, is_even, config));
  ORRERY_RETURN_IF_ERROR(read_positions(file, config));
  ORRERY_RETURN_IF_ERROR(read_experts(file, config));
  return config;
}

Result<ModelParts> build_gpt_oss(const ModelFile& file, ModelConfig config, const Placement& placement) {
  DecoderBuilder decoder(file, std::move(config), placement);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kAttentionNorm, layer);
    norms.before_ffn = decoder.norm(kFfnNorm, layer);
    const LayerConfig& spec = decoder.layer_config(layer);
    auto experts = std::make_unique<MoeFfn>(spec.moe, spec.activation, expert_weights(decoder, layer), nullptr);
    decoder.add(std::make_unique<ResidualBlock>(norms, decoder.attention(layer), std::move(experts)));
  }
  return decoder.finish();
}

}  // namespace orrery
