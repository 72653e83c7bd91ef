#include "engine/models/qwen3_next.h"

#include <utility>

#include "engine/blocks/attention_mixer.h"
#include "engine/blocks/residual_block.h"
#include "engine/models/delta_layers.h"
#include "engine/models/layer_kinds.h"
#include "engine/models/moe_layers.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr DecoderTraits kTraits{.qk_norm = true};
constexpr DeltaKeys kDeltaKeys{.usual_groups = 16};
constexpr MoeKeys kMoeKeys{.usual_chosen = 10};
constexpr MoeNames kExperts;
constexpr AttentionNames kAttention;
constexpr DeltaNames kDelta;
constexpr ConfigKey kTaps{"ssm.conv_kernel", "linear_conv_kernel_dim"};
constexpr ConfigKey kHeads{"attention.head_count", "num_attention_heads"};
constexpr ConfigKey kSharedWidth{"expert_shared_feed_forward_length", "shared_expert_intermediate_size"};
constexpr TensorName kMixerNorm{"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"};
constexpr TensorName kFfnNorm{"blk.{}.post_attention_norm.weight", "model.layers.{}.post_attention_layernorm.weight"};
constexpr FfnNames kShared{
    .gate = {"blk.{}.ffn_gate_shexp.weight", "model.layers.{}.mlp.shared_expert.gate_proj.weight"},
    .up = {"blk.{}.ffn_up_shexp.weight", "model.layers.{}.mlp.shared_expert.up_proj.weight"},
    .down = {"blk.{}.ffn_down_shexp.weight", "model.layers.{}.mlp.shared_expert.down_proj.weight"}};
constexpr TensorName kSharedGate{"blk.{}.ffn_gate_inp_shexp.weight", "model.layers.{}.mlp.shared_expert_gate.weight"};
// Queries, keys, values and gates: of one key head after the other, or, in later GGUF files, all queries, all keys and
// all values in one and the gates in another.
constexpr TensorName kByHead{"blk.{}.ssm_in.weight", "model.layers.{}.linear_attn.in_proj_qkvz.weight"};
constexpr TensorName kChannels{"blk.{}.attn_qkv.weight", ""};
constexpr TensorName kGates{"blk.{}.attn_gate.weight", ""};
// Writing strengths and rates of decay, of one key head after the other.
constexpr TensorName kStrengths{"blk.{}.ssm_ba.weight", "model.layers.{}.linear_attn.in_proj_ba.weight"};
constexpr TensorName kConvolution{"blk.{}.ssm_conv1d.weight", "model.layers.{}.linear_attn.conv1d.weight"};

bool is_gguf(const ModelFile& file) { return file.format() == ModelFile::Format::kGguf; }

Result<std::vector<LayerKind>> read_kinds(const ModelFile& file, int32_t n_layers) {
  constexpr ConfigKey kTypes[] = {{"", "layer_types"}};
  constexpr ConfigKey kInterval{"full_attention_interval", "full_attention_interval"};
  ORRERY_ASSIGN_OR_RETURN(std::vector<LayerKind> kinds, read_layer_kinds(file, kTypes, kStateOrAttention, n_layers));
  if (!kinds.empty()) return kinds;
  if (is_gguf(file) && !file.has(kInterval)) {  // later files may list the layers instead; the tensors know as well
    for (int32_t i = 0; i < n_layers; ++i) {
      kinds.push_back(file.find(kAttention.q, i) != nullptr ? LayerKind::kAttention : LayerKind::kState);
    }
    return kinds;
  }
  ORRERY_ASSIGN_OR_RETURN(const int64_t interval, file.integer(kInterval, 1, int64_t{1} << 31, 4));
  for (int32_t i = 0; i < n_layers; ++i) {
    kinds.push_back((i + 1) % interval == 0 ? LayerKind::kAttention : LayerKind::kState);
  }
  return kinds;
}

// As many rows as queries, keys and values have together.
Result<int64_t> read_channels(const ModelFile& file, int32_t layer, int64_t d_model) {
  if (is_gguf(file) && file.find(kByHead, layer) == nullptr) {
    ORRERY_ASSIGN_OR_RETURN(const TensorView channels, file.tensor(kChannels, layer, {-1, d_model}));
    return channels.n_rows();
  }
  ORRERY_ASSIGN_OR_RETURN(const TensorView all, file.tensor(kByHead, layer, {-1, d_model}));
  ORRERY_ASSIGN_OR_RETURN(const TensorView out, file.tensor(kDelta.out, layer, {d_model, -1}));
  return all.n_rows() - out.n_cols();
}

Result<void> read_delta_nets(const ModelFile& file, ModelConfig& config) {
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    if (!layer.has(MixerKind::kMatrixState)) continue;
    ORRERY_ASSIGN_OR_RETURN(const int64_t n_channels, read_channels(file, i, config.d_model));
    ORRERY_RETURN_IF_ERROR(read_delta_layer(file, kDeltaKeys, kDelta, i, n_channels, config));
    ORRERY_ASSIGN_OR_RETURN(layer.conv.n_taps, read_taps(file, kTaps, kConvolution, i, n_channels));
  }
  return {};
}

Result<void> read_gated_attention(const ModelFile& file, ModelConfig& config) {
  ORRERY_RETURN_IF_ERROR(read_attention(file, kTraits, kAttention, config));
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    AttentionConfig& attention = config.layers[static_cast<size_t>(i)].attention;
    if (attention.n_heads == 0) continue;
    attention.gate = AttentionGate::kElement;
    if (!file.has(kHeads)) attention.n_heads /= 2;  // counted by rows, half of which are gates
    if (attention.n_heads % attention.n_kv_heads == 0 && attention.n_heads > 0) continue;
    return Error{ErrorCode::kInvalidFile, file.path() + ": " + file.spelled(kAttention.q, i) +
                                              " must have queries and gates for a multiple of the " +
                                              std::to_string(attention.n_kv_heads) + " key heads, but has them for " +
                                              std::to_string(attention.n_heads)};
  }
  return read_rotation(file, {.usual_share = 0.25}, config);
}

Result<std::vector<bool>> layers_with_experts(const ModelFile& file, int32_t n_layers) {
  std::vector<bool> has_experts;
  if (is_gguf(file)) {
    for (int32_t i = 0; i < n_layers; ++i) has_experts.push_back(file.find(kExperts.router, i) != nullptr);
    return has_experts;
  }
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_experts, file.integer({"", "num_experts"}, 0, int64_t{1} << 16, 512));
  ORRERY_ASSIGN_OR_RETURN(const int64_t step, file.integer({"", "decoder_sparse_step"}, 1, int64_t{1} << 31, 1));
  ORRERY_ASSIGN_OR_RETURN(has_experts, file.named_layers({"", "mlp_only_layers"}, n_layers));
  has_experts.flip();
  for (int32_t i = 0; i < n_layers; ++i) {
    // Where no experts are stated and there are some, the sentence is that of their router.
    const bool has_none = n_experts == 0 && file.find(kExperts.router, i) == nullptr;
    if (has_none || (i + 1) % step != 0) has_experts[static_cast<size_t>(i)] = false;
  }
  return has_experts;
}

Result<void> read_feed_forwards(const ModelFile& file, ModelConfig& config) {
  ORRERY_RETURN_IF_ERROR(expect_silu(file, "hidden_act"));
  ORRERY_ASSIGN_OR_RETURN(const std::vector<bool> has_experts, layers_with_experts(file, config.n_layers()));
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    layer.feed_forward = FeedForwardKind::kDense;
    if (!has_experts[static_cast<size_t>(i)]) continue;
    layer.feed_forward = FeedForwardKind::kMoe;
    ORRERY_ASSIGN_OR_RETURN(const TensorView up, file.tensor(kShared.up, i, {-1, config.d_model}));
    layer.moe.d_shared = up.n_rows();
    ORRERY_RETURN_IF_ERROR(check_stated(file, kSharedWidth, up.n_rows(), "the rows of " + file.spelled(kShared.up, i)));
  }
  ORRERY_RETURN_IF_ERROR(read_dense_ffn(file, kTraits, {}, config));
  ORRERY_ASSIGN_OR_RETURN(const bool renormalise, file.boolean({"expert_weights_norm", "norm_topk_prob"}, true));
  return read_moe_layers(file, kMoeKeys, kExperts, {.score = RouterScore::kSoftmax, .renormalise = renormalise},
                         config);
}

// Rows [begin, begin + n) of each of n_runs runs of `length` rows.
std::vector<int64_t> rows_of_runs(int64_t n_runs, int64_t length, int64_t begin, int64_t n) {
  std::vector<int64_t> rows;
  for (int64_t run = 0; run < n_runs; ++run) {
    for (int64_t i = 0; i < n; ++i) rows.push_back(run * length + begin + i);
  }
  return rows;
}

std::unique_ptr<Mixer> delta_net(const ModelFile& file, DecoderBuilder& decoder, int32_t layer) {
  const LayerConfig& of_layer = decoder.layer_config(layer);
  const int64_t d_model = decoder.config().d_model;
  TensorPlacer& place = decoder.place();
  GatedDeltaConfig config;
  config.conv = of_layer.conv;
  config.state = of_layer.state;
  config.norm_epsilon = decoder.norm_epsilon();
  const MatrixStateSizes& sizes = config.state.sizes;
  const int64_t n_groups = sizes.n_groups, per_group = sizes.n_heads / sizes.n_groups, d_key = sizes.d_key;
  const int64_t values = per_group * sizes.d_value, key_width = config.key_width(), value_width = config.value_width();

  GatedDeltaWeights weights = delta_weights(decoder, layer, kDelta);
  if (is_gguf(file) && file.find(kByHead, layer) == nullptr) {
    const TensorView channels = place.matrix(kChannels, layer, config.conv.n_channels, d_model);
    weights.q = channels.rows(0, key_width);
    weights.k = channels.rows(key_width, key_width);
    weights.v = channels.rows(2 * key_width, value_width);
    weights.gate = place.matrix(kGates, layer, value_width, d_model);
  } else {
    const int64_t of_group = 2 * d_key + 2 * values;
    const auto part = [&](int64_t begin, int64_t n) {
      return place.matrix_rows(kByHead, layer, n_groups * of_group, d_model,
                               rows_of_runs(n_groups, of_group, begin, n));
    };
    weights.q = part(0, d_key);
    weights.k = part(d_key, d_key);
    weights.v = part(2 * d_key, values);
    weights.gate = part(2 * d_key + values, values);
  }
  const auto strengths = [&](int64_t begin) {
    return place.matrix_rows(kStrengths, layer, 2 * int64_t{sizes.n_heads}, d_model,
                             rows_of_runs(n_groups, 2 * per_group, begin, per_group));
  };
  weights.write = strengths(0);
  weights.rate = strengths(per_group);
  weights.taps = place.taps(kConvolution, layer, config.conv.n_channels, config.conv.n_taps);
  return std::make_unique<GatedDelta>(config, weights);
}

// The rows of q are, head by head, queries and as many gates.
std::unique_ptr<Mixer> gated_attention(DecoderBuilder& decoder, int32_t layer, float added_to_norms) {
  const AttentionConfig& config = decoder.layer_config(layer).attention;
  const int64_t d_model = decoder.config().d_model, d_head = config.d_head_k;
  const int64_t q_width = config.n_heads * d_head, kv_width = config.n_kv_heads * d_head;
  TensorPlacer& place = decoder.place();
  const auto half = [&](int64_t begin) { return rows_of_runs(config.n_heads, 2 * d_head, begin, d_head); };
  AttentionWeights weights;
  weights.q = place.matrix_rows(kAttention.q, layer, 2 * q_width, d_model, half(0));
  weights.gate = place.matrix_rows(kAttention.q, layer, 2 * q_width, d_model, half(d_head));
  weights.k = place.matrix(kAttention.k, layer, kv_width, d_model);
  weights.v = place.matrix(kAttention.v, layer, kv_width, d_model);
  weights.output = place.matrix(kAttention.output, layer, d_model, q_width);
  const std::vector<float> biases = place.optional_values(kAttention.q_bias, layer, 2 * q_width);
  const auto half_of_biases = [&](int64_t begin) {
    std::vector<float> some;
    for (const int64_t row : half(begin)) {
      if (!biases.empty()) some.push_back(biases[static_cast<size_t>(row)]);
    }
    return place.made(std::move(some), {q_width});
  };
  weights.q_bias = half_of_biases(0);
  weights.gate_bias = half_of_biases(d_head);
  weights.k_bias = place.optional_vector(kAttention.k_bias, layer, kv_width);
  weights.v_bias = place.optional_vector(kAttention.v_bias, layer, kv_width);
  weights.output_bias = place.optional_vector(kAttention.output_bias, layer, d_model);
  weights.q_norm = place.vector(kAttention.q_norm, layer, d_head, added_to_norms);
  weights.k_norm = place.vector(kAttention.k_norm, layer, d_head, added_to_norms);
  return std::make_unique<Attention>(config, weights, decoder.norm_epsilon());
}

std::unique_ptr<FeedForward> feed_forward(DecoderBuilder& decoder, int32_t layer) {
  const LayerConfig& config = decoder.layer_config(layer);
  if (config.feed_forward == FeedForwardKind::kDense) return decoder.dense_ffn(layer);
  TensorPlacer& place = decoder.place();
  const int64_t d_model = decoder.config().d_model, width = config.moe.d_shared;
  DenseFfnWeights shared;
  shared.gate = place.matrix(kShared.gate, layer, width, d_model);
  shared.up = place.matrix(kShared.up, layer, width, d_model);
  shared.down = place.matrix(kShared.down, layer, d_model, width);
  MoeWeights weights = moe_weights(decoder, layer, kExperts);
  weights.shared_gate = place.made(place.values(kSharedGate, layer, d_model), {1, d_model});  // [1, n] or [n]
  return std::make_unique<MoeFfn>(config.moe, config.activation, std::move(weights),
                                  std::make_unique<DenseFfn>(Activation::kSilu, shared));
}

}  // namespace

Result<ModelConfig> read_qwen3_next_config(const ModelFile& file) {
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, kTraits));
  ORRERY_ASSIGN_OR_RETURN(const std::vector<LayerKind> kinds, read_kinds(file, config.n_layers()));
  for (size_t i = 0; i < kinds.size(); ++i) {
    config.layers[i].mixers = {kinds[i] == LayerKind::kState ? MixerKind::kMatrixState : MixerKind::kAttention};
  }
  ORRERY_RETURN_IF_ERROR(read_delta_nets(file, config));
  ORRERY_RETURN_IF_ERROR(read_gated_attention(file, config));
  ORRERY_RETURN_IF_ERROR(read_feed_forwards(file, config));
  return config;
}

Result<ModelParts> build_qwen3_next(const ModelFile& file, ModelConfig config, const Placement& placement) {
  // GGUF's converter has added the 1 of the norms' 1 + w.
  const float added = is_gguf(file) ? 0.0f : 1.0f;
  DecoderBuilder decoder(file, std::move(config), placement, added);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kMixerNorm, layer);
    norms.before_ffn = decoder.norm(kFfnNorm, layer);
    std::unique_ptr<Mixer> mixer = decoder.layer_config(layer).has(MixerKind::kMatrixState)
                                       ? delta_net(file, decoder, layer)
                                       : gated_attention(decoder, layer, added);
    decoder.add(std::make_unique<ResidualBlock>(norms, std::move(mixer), feed_forward(decoder, layer)));
  }
  return decoder.finish();
}

}  // namespace orrery
