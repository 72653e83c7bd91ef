#include "engine/models/olmo_hybrid.h"

#include <array>
#include <span>
#include <utility>
#include <vector>

#include "engine/blocks/residual_block.h"
#include "engine/models/delta_layers.h"
#include "engine/models/layer_kinds.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr DecoderTraits kTraits{.qk_norm = true, .whole_qk_norm = true};
constexpr DeltaNames kDelta{.norm = {"", "model.layers.{}.linear_attn.o_norm.weight"},
                            .out = {"", "model.layers.{}.linear_attn.o_proj.weight"}};
constexpr TensorName kQ{"", "model.layers.{}.linear_attn.q_proj.weight"};
constexpr TensorName kK{"", "model.layers.{}.linear_attn.k_proj.weight"};
constexpr TensorName kV{"", "model.layers.{}.linear_attn.v_proj.weight"};
constexpr TensorName kGate{"", "model.layers.{}.linear_attn.g_proj.weight"};
constexpr TensorName kRate{"", "model.layers.{}.linear_attn.a_proj.weight"};
constexpr TensorName kWrite{"", "model.layers.{}.linear_attn.b_proj.weight"};
// One convolution, or its channels cut in three: published files cut between queries, keys and values, transformers
// where it happens to, with few channels in less than three.
constexpr TensorName kConvolution{"", "model.layers.{}.linear_attn.conv1d.weight"};
constexpr std::array<TensorName, 3> kConvolutions{{{"", "model.layers.{}.linear_attn.q_conv1d.weight"},
                                                   {"", "model.layers.{}.linear_attn.k_conv1d.weight"},
                                                   {"", "model.layers.{}.linear_attn.v_conv1d.weight"}}};
// In the class, and in published files.
constexpr TensorName kBeforeDelta{"", "model.layers.{}.input_layernorm.weight"};
constexpr TensorName kPublishedBeforeDelta{"", "model.layers.{}.attention_layer_norm.weight"};
constexpr TensorName kSecond{"", "model.layers.{}.post_attention_layernorm.weight"};
constexpr TensorName kPublishedSecond{"", "model.layers.{}.feedforward_layer_norm.weight"};
constexpr TensorName kAfterFfn{"", "model.layers.{}.post_feedforward_layernorm.weight"};
constexpr ConfigKey kTaps{"", "linear_conv_kernel_dim"};
constexpr float kHeadNormEpsilon = 1e-5f;  // of the delta nets' own norm, whatever the model's

Result<std::vector<LayerKind>> read_kinds(const ModelFile& file, int32_t n_layers) {
  constexpr ConfigKey kTypes[] = {{"", "layer_types"}};
  ORRERY_ASSIGN_OR_RETURN(std::vector<LayerKind> kinds, read_layer_kinds(file, kTypes, kStateOrAttention, n_layers));
  if (!kinds.empty()) return kinds;
  for (int32_t i = 0; i < n_layers; ++i) kinds.push_back(i % 4 == 3 ? LayerKind::kAttention : LayerKind::kState);
  if (n_layers < 4) kinds.back() = LayerKind::kAttention;
  return kinds;
}

bool is_in_parts(const ModelFile& file, int32_t layer) { return file.find(kConvolution, layer) == nullptr; }

// How many channels each of the parts has that are there; together n_channels.
Result<std::vector<int64_t>> parts_of(const ModelFile& file, int32_t layer, int64_t n_channels) {
  std::vector<int64_t> parts;
  int64_t sum = 0;
  for (size_t i = 0; i < kConvolutions.size() && sum < n_channels; ++i) {
    const StoredTensor* stored = file.find(kConvolutions[i], layer);
    const bool has_axis_of_one = stored == nullptr || stored->shape.rank() == 3;
    ORRERY_ASSIGN_OR_RETURN(const TensorView taps,
                            file.tensor(kConvolutions[i], layer, has_axis_of_one ? Shape{-1, 1, -1} : Shape{-1, -1}));
    parts.push_back(taps.shape[0]);
    sum += taps.shape[0];
  }
  if (sum == n_channels) return parts;
  return Error{ErrorCode::kInvalidFile, file.path() + ": " + file.spelled(kConvolutions[0], layer) +
                                            " and its like must have the " + std::to_string(n_channels) +
                                            " channels of queries, keys and values, but have " + std::to_string(sum)};
}

Result<int32_t> read_all_taps(const ModelFile& file, int32_t layer, int64_t n_channels) {
  if (!is_in_parts(file, layer)) return read_taps(file, kTaps, kConvolution, layer, n_channels);
  ORRERY_ASSIGN_OR_RETURN(const std::vector<int64_t> parts, parts_of(file, layer, n_channels));
  return read_taps(file, kTaps, kConvolutions[0], layer, parts[0]);
}

Result<void> read_delta_nets(const ModelFile& file, ModelConfig& config) {
  DeltaKeys keys;
  ORRERY_ASSIGN_OR_RETURN(keys.usual_groups, file.integer({"", "num_attention_heads"}, 1, 4096, 30));
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    if (!layer.has(MixerKind::kMatrixState)) continue;
    int64_t n_channels = 0;
    for (const TensorName name : {kQ, kK, kV}) {
      ORRERY_ASSIGN_OR_RETURN(const TensorView projection, file.tensor(name, i, {-1, config.d_model}));
      n_channels += projection.n_rows();
    }
    ORRERY_RETURN_IF_ERROR(read_delta_layer(file, keys, kDelta, i, n_channels, config));
    ORRERY_ASSIGN_OR_RETURN(layer.conv.n_taps, read_all_taps(file, i, n_channels));
  }
  return {};
}

// Heads turn unless the base of their rotation is stated to be null.
Result<void> read_turns(const ModelFile& file, ModelConfig& config) {
  const bool none = !file.has({"", "rope_parameters.rope_theta"}) && !file.has({"", "rope_theta"}) &&
                    (file.is_null({"", "rope_parameters.rope_theta"}) || file.is_null({"", "rope_theta"}));
  if (!none) return read_rotation(file, {}, config);
  ORRERY_ASSIGN_OR_RETURN(config.context_length, file.integer({"", "max_position_embeddings"}, 0, int64_t{1} << 40, 0));
  return {};
}

Result<std::unique_ptr<Mixer>> delta_net(const ModelFile& file, DecoderBuilder& decoder, int32_t layer) {
  const LayerConfig& of_layer = decoder.layer_config(layer);
  const int64_t d_model = decoder.config().d_model;
  TensorPlacer& place = decoder.place();
  GatedDeltaConfig config;
  config.conv = of_layer.conv;
  config.state = of_layer.state;
  config.norm_epsilon = kHeadNormEpsilon;
  ORRERY_ASSIGN_OR_RETURN(const bool changes_sign, file.boolean({"", "linear_allow_neg_eigval"}, true));
  if (changes_sign) config.write_scale = 2.0f;
  GatedDeltaWeights weights = delta_weights(decoder, layer, kDelta);
  weights.q = place.matrix(kQ, layer, config.key_width(), d_model);
  weights.k = place.matrix(kK, layer, config.key_width(), d_model);
  weights.v = place.matrix(kV, layer, config.value_width(), d_model);
  weights.gate = place.matrix(kGate, layer, config.value_width(), d_model);
  weights.rate = place.matrix(kRate, layer, config.state.sizes.n_heads, d_model);
  weights.write = place.matrix(kWrite, layer, config.state.sizes.n_heads, d_model);
  if (is_in_parts(file, layer)) {
    ORRERY_ASSIGN_OR_RETURN(const std::vector<int64_t> parts, parts_of(file, layer, config.conv.n_channels));
    weights.taps = place.taps(std::span(kConvolutions).first(parts.size()), layer, parts, config.conv.n_taps);
  } else {
    weights.taps = place.taps(kConvolution, layer, config.conv.n_channels, config.conv.n_taps);
  }
  return std::unique_ptr<Mixer>(std::make_unique<GatedDelta>(config, weights));
}

}  // namespace

Result<ModelConfig> read_olmo_hybrid_config(const ModelFile& file) {
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  ORRERY_RETURN_IF_ERROR(expect_silu(file, "hidden_act"));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, kTraits));
  ORRERY_ASSIGN_OR_RETURN(const std::vector<LayerKind> kinds, read_kinds(file, config.n_layers()));
  for (size_t i = 0; i < kinds.size(); ++i) {
    config.layers[i].mixers = {kinds[i] == LayerKind::kState ? MixerKind::kMatrixState : MixerKind::kAttention};
  }
  ORRERY_RETURN_IF_ERROR(read_delta_nets(file, config));
  ORRERY_RETURN_IF_ERROR(read_attention(file, kTraits, {}, config));
  ORRERY_RETURN_IF_ERROR(read_turns(file, config));
  ORRERY_RETURN_IF_ERROR(read_dense_ffn(file, kTraits, {}, config));
  return config;
}

Result<ModelParts> build_olmo_hybrid(const ModelFile& file, ModelConfig config, const Placement& placement) {
  DecoderBuilder decoder(file, std::move(config), placement);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    const TensorView second = decoder.norm(file.which({kSecond, kPublishedSecond}, layer), layer);
    std::unique_ptr<Mixer> mixer;
    if (decoder.layer_config(layer).has(MixerKind::kMatrixState)) {
      norms.before_mixer = decoder.norm(file.which({kBeforeDelta, kPublishedBeforeDelta}, layer), layer);
      norms.before_ffn = second;
      ORRERY_ASSIGN_OR_RETURN(mixer, delta_net(file, decoder, layer));
    } else {
      norms.after_mixer = second;
      norms.after_ffn = decoder.norm(kAfterFfn, layer);
      mixer = decoder.attention(layer);
    }
    decoder.add(std::make_unique<ResidualBlock>(norms, std::move(mixer), decoder.dense_ffn(layer)));
  }
  return decoder.finish();
}

}  // namespace orrery
