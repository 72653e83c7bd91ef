#include "engine/models/retnet.h"

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/blocks/linear_attention.h"
#include "engine/blocks/residual_block.h"
#include "engine/models/fla_layers.h"
#include "engine/models/rope_scaling.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr DecoderNames kNames{.embedding = {"", "model.embeddings.weight"}};
constexpr AttentionNames kAttention{.q = {"", "model.layers.{}.attn.q_proj.weight"},
                                    .k = {"", "model.layers.{}.attn.k_proj.weight"},
                                    .v = {"", "model.layers.{}.attn.v_proj.weight"},
                                    .output = {"", "model.layers.{}.attn.o_proj.weight"},
                                    .q_bias = {"", "model.layers.{}.attn.q_proj.bias"},
                                    .k_bias = {"", "model.layers.{}.attn.k_proj.bias"},
                                    .v_bias = {"", "model.layers.{}.attn.v_proj.bias"},
                                    .output_bias = {}};
constexpr TensorName kGate{"", "model.layers.{}.attn.g_proj.weight"};
// Where norm and gate are computed as one, the norm has the other name.
constexpr TensorName kNorm{"", "model.layers.{}.attn.g_norm.weight"};
constexpr TensorName kNormOfBoth{"", "model.layers.{}.attn.g_norm_swish_gate.weight"};
constexpr TensorName kMixerNorm{"", "model.layers.{}.attn_norm.weight"};
constexpr TensorName kFfnNorm{"", "model.layers.{}.mlp_norm.weight"};

constexpr ConfigKey kHeads{"", "num_heads"}, kKvHeads{"", "num_kv_heads"}, kHasGate{"", "use_output_gate"},
    kHasNormWeight{"", "elementwise_affine"};
constexpr double kBase = 10000.0;  // of the rotation

// The width of a head, from a projection to n heads, as `key` states them.
Result<int32_t> head_width(const ModelFile& file, ConfigKey key, int64_t n, TensorName name, int32_t layer,
                           int64_t d_model) {
  constexpr int64_t kMostWidth = 16384;
  ORRERY_ASSIGN_OR_RETURN(const TensorView weight, file.tensor(name, layer, {-1, d_model}));
  const int64_t n_rows = weight.n_rows();
  if (n_rows % n == 0 && n_rows / n >= 1 && n_rows / n <= kMostWidth) return static_cast<int32_t>(n_rows / n);
  return Error{ErrorCode::kInvalidFile, file.path() + ": " + file.spelled(key) + " must divide the " +
                                            std::to_string(n_rows) + " rows of " + file.spelled(name, layer) +
                                            " into heads, but is " + std::to_string(n)};
}

// A factor of d_model that gives the width of all heads together.
Result<void> check_expansion(const ModelFile& file, const char* key, int64_t d_model, int64_t width) {
  if (!file.has({"", key})) return {};
  ORRERY_ASSIGN_OR_RETURN(const double factor, file.number({"", key}));
  if (std::floor(static_cast<double>(d_model) * factor) == static_cast<double>(width)) return {};
  return Error{ErrorCode::kInvalidFile, file.path() + ": " + key + " times " + std::to_string(d_model) + " must be " +
                                            std::to_string(width) + ", but the factor is " + std::to_string(factor)};
}

Result<void> read_retention(const ModelFile& file, ModelConfig& config) {
  constexpr int64_t kMostHeads = 4096;
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_heads, file.integer(kHeads, 1, kMostHeads));
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_kv_heads, file.integer(kKvHeads, 1, kMostHeads, n_heads));
  if (n_heads % n_kv_heads != 0) {
    return Error{ErrorCode::kInvalidFile, file.path() + ": num_kv_heads must divide the " + std::to_string(n_heads) +
                                              " query heads, but is " + std::to_string(n_kv_heads)};
  }
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    if (!layer.has(MixerKind::kMatrixState)) continue;
    MatrixStateSizes& sizes = layer.state.sizes;
    sizes.n_heads = sizes.n_groups = static_cast<int32_t>(n_heads);
    ORRERY_ASSIGN_OR_RETURN(sizes.d_key, head_width(file, kHeads, n_heads, kAttention.q, i, config.d_model));
    ORRERY_ASSIGN_OR_RETURN(sizes.d_value, head_width(file, n_kv_heads == n_heads ? kHeads : kKvHeads, n_kv_heads,
                                                      kAttention.v, i, config.d_model));
    ORRERY_RETURN_IF_ERROR(check_expansion(file, "expand_k", config.d_model, n_heads * sizes.d_key));
    ORRERY_RETURN_IF_ERROR(check_expansion(file, "expand_v", config.d_model, n_heads * sizes.d_value));
    if (sizes.d_key % 2 != 0) {
      return Error{ErrorCode::kInvalidFile,
                   file.path() + ": num_heads must divide the rows of " + file.spelled(kAttention.q, i) +
                       " into heads of an even width, because they turn, but is " + std::to_string(n_heads)};
    }
    layer.state.recurrence = Recurrence::kRetention;
    layer.state.n_stat_heads = sizes.n_heads;
  }
  return {};
}

// ln(1 - 2^(-5 - h)) for head h
std::vector<float> log_decays(int32_t n_heads) {
  std::vector<float> decays;
  for (int32_t h = 0; h < n_heads; ++h) decays.push_back(static_cast<float>(std::log1p(-std::exp2(-5.0 - h))));
  return decays;
}

// A projection of n_kv_heads heads of this width, each repeated for the n_heads / n_kv_heads heads that share it.
TensorView repeated(TensorPlacer& place, TensorName name, int32_t layer, int64_t n_kv_heads, int64_t n_heads,
                    int64_t width, int64_t d_model) {
  if (n_kv_heads == n_heads) return place.matrix(name, layer, n_heads * width, d_model);
  std::vector<int64_t> rows;
  for (int64_t h = 0; h < n_heads; ++h) {
    for (int64_t i = 0; i < width; ++i) rows.push_back(h * n_kv_heads / n_heads * width + i);
  }
  return place.matrix_rows(name, layer, n_kv_heads * width, d_model, rows);
}

struct RetentionSettings {
  int64_t n_kv_heads = 0;
  bool has_gate = true;
  bool has_norm_weight = true;
};

Result<RetentionSettings> read_settings(const ModelFile& file) {
  constexpr int64_t kMostHeads = 4096;
  RetentionSettings settings;
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_heads, file.integer(kHeads, 1, kMostHeads));
  ORRERY_ASSIGN_OR_RETURN(settings.n_kv_heads, file.integer(kKvHeads, 1, kMostHeads, n_heads));
  ORRERY_ASSIGN_OR_RETURN(settings.has_gate, file.boolean(kHasGate, true));
  ORRERY_ASSIGN_OR_RETURN(settings.has_norm_weight, file.boolean(kHasNormWeight, true));
  return settings;
}

std::unique_ptr<Mixer> retention(DecoderBuilder& decoder, int32_t layer, const RetentionSettings& settings) {
  LinearAttentionConfig config;
  config.state = decoder.layer_config(layer).state;
  const MatrixStateSizes& sizes = config.state.sizes;
  const int64_t d_model = decoder.config().d_model, n_heads = sizes.n_heads;
  RopeScaling rotation;
  rotation.base = kBase;
  rotation.d_head = rotation.n_rot = sizes.d_key;
  fill_rope(rotation, config.rope);
  config.read_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(sizes.d_key)));
  config.gate_activation = Activation::kSilu;
  config.norm_epsilon = decoder.norm_epsilon();
  TensorPlacer& place = decoder.place();
  LinearAttentionWeights weights;
  weights.q = place.matrix(kAttention.q, layer, config.key_width(), d_model);
  weights.k = repeated(place, kAttention.k, layer, settings.n_kv_heads, n_heads, sizes.d_key, d_model);
  weights.v = repeated(place, kAttention.v, layer, settings.n_kv_heads, n_heads, sizes.d_value, d_model);
  if (settings.has_gate) weights.gate = place.matrix(kGate, layer, config.value_width(), d_model);
  weights.log_decay = place.made(log_decays(sizes.n_heads), {sizes.n_heads});
  weights.norm = settings.has_norm_weight
                     ? place.vector(place.file().which({kNormOfBoth, kNorm}, layer), layer, sizes.d_value)
                     : place.made(std::vector<float>(static_cast<size_t>(sizes.d_value), 1.0f), {sizes.d_value});
  weights.out = place.matrix(kAttention.output, layer, d_model, config.value_width());
  return std::make_unique<LinearAttention>(config, weights);
}

}  // namespace

Result<ModelConfig> read_retnet_config(const ModelFile& file) {
  const DecoderTraits traits{.epsilon_key = {"", "norm_eps"}, .names = kNames};
  ORRERY_RETURN_IF_ERROR(refuse_setting(file, {"", "feature_map"}));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_fla_sizes(file, traits, {}));
  ORRERY_RETURN_IF_ERROR(check_ffn_widths(file, "intermediate_size", config));
  ORRERY_RETURN_IF_ERROR(read_listed_attention(file, config));
  ORRERY_RETURN_IF_ERROR(read_retention(file, config));
  ORRERY_RETURN_IF_ERROR(read_settings(file));
  return config;
}

Result<ModelParts> build_retnet(const ModelFile& file, ModelConfig config, const Placement& placement) {
  ORRERY_ASSIGN_OR_RETURN(const RetentionSettings settings, read_settings(file));
  DecoderBuilder decoder(file, std::move(config), placement, 0.0f, kNames);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kMixerNorm, layer);
    norms.before_ffn = decoder.norm(kFfnNorm, layer);
    const bool has_state = decoder.layer_config(layer).has(MixerKind::kMatrixState);
    decoder.add(std::make_unique<ResidualBlock>(
        norms, has_state ? retention(decoder, layer, settings) : decoder.attention(layer, kAttention),
        fla_ffn(decoder, layer, {})));
  }
  return decoder.finish();
}

}  // namespace orrery
