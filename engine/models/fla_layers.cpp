#include "engine/models/fla_layers.h"

#include <cmath>
#include <string>
#include <vector>

#include "engine/models/rope_scaling.h"
#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr std::string_view kListed = "attn";

// Queries and keys turn with all their dimensions.
Result<void> set_rotation(const ModelFile& file, const std::string& key, int64_t d_head, RopeConfig& rope) {
  ORRERY_ASSIGN_OR_RETURN(const double base, file.number({"", key}, 10000.0));
  if (!(base > 0)) {
    return Error{ErrorCode::kInvalidFile,
                 file.path() + ": " + key + " must be positive, but is " + std::to_string(base)};
  }
  RopeScaling scaling;
  scaling.base = base;
  scaling.d_head = d_head;
  scaling.n_rot = d_head;
  fill_rope(scaling, rope);
  return {};
}

// at: where the description is, "attn." or "attn.0.".
Result<void> read_description(const ModelFile& file, const std::string& at, ModelConfig& config) {
  constexpr int64_t kMostHeads = 4096, kMostWindow = int64_t{1} << 31;
  const std::string layers_key = at + "layers", heads_key = at + "num_heads", kv_key = at + "num_kv_heads",
                    window_key = at + "window_size";
  ORRERY_ASSIGN_OR_RETURN(const std::vector<int64_t> listed,
                          file.integers({"", layers_key}, config.n_layers(), 0, config.n_layers() - 1));
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_heads, file.integer({"", heads_key}, 1, kMostHeads));
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_kv_heads, file.integer({"", kv_key}, 1, kMostHeads, n_heads));
  ORRERY_ASSIGN_OR_RETURN(const int64_t window, file.integer({"", window_key}, 1, kMostWindow, 0));
  const int64_t d_head = config.d_model / n_heads;
  const auto must_fit = [&](const std::string& key, const std::string& rule, int64_t value) {
    return Error{ErrorCode::kInvalidFile,
                 file.path() + ": " + key + " must " + rule + ", but is " + std::to_string(value)};
  };
  if (config.d_model % n_heads != 0 || d_head % 2 != 0) {
    return must_fit(heads_key, "divide hidden_size into heads of an even width", n_heads);
  }
  if (n_heads % n_kv_heads != 0) {
    return must_fit(kv_key, "divide the " + std::to_string(n_heads) + " query heads", n_kv_heads);
  }
  for (const int64_t i : listed) {
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    if (layer.has(MixerKind::kAttention)) return must_fit(layers_key, "name a layer once", i);
    layer.mixers = {MixerKind::kAttention};
    AttentionConfig& attention = layer.attention;
    attention.n_heads = static_cast<int32_t>(n_heads);
    attention.n_kv_heads = static_cast<int32_t>(n_kv_heads);
    attention.d_head_k = attention.d_head_v = static_cast<int32_t>(d_head);
    attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d_head)));
    attention.window = window;
    ORRERY_RETURN_IF_ERROR(set_rotation(file, at + "rope_theta", d_head, attention.rope));
  }
  return {};
}

}  // namespace

Result<ModelConfig> read_fla_sizes(const ModelFile& file, const DecoderTraits& traits, const FfnNames& ffn) {
  constexpr int64_t kMostPositions = int64_t{1} << 40;
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  ORRERY_RETURN_IF_ERROR(refuse_setting(file, {"", "attnres_block_size"}));
  ORRERY_RETURN_IF_ERROR(expect_silu(file, "hidden_act"));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, traits));
  ORRERY_ASSIGN_OR_RETURN(config.context_length, file.integer({"", "max_position_embeddings"}, 0, kMostPositions, 0));
  for (LayerConfig& layer : config.layers) {
    layer.mixers = {MixerKind::kMatrixState};
    layer.feed_forward = FeedForwardKind::kDense;
  }
  ORRERY_RETURN_IF_ERROR(read_dense_ffn(file, traits, ffn, config));
  return config;
}

Result<void> read_listed_attention(const ModelFile& file, ModelConfig& config) {
  constexpr ConfigKey kKey{"", kListed};
  if (!file.has(kKey)) return {};
  if (!file.is_list(kKey)) return read_description(file, std::string(kListed) + ".", config);
  ORRERY_ASSIGN_OR_RETURN(const int64_t n, file.list_length(kKey, config.n_layers()));
  for (int64_t i = 0; i < n; ++i) {
    ORRERY_RETURN_IF_ERROR(read_description(file, std::string(kListed) + "." + std::to_string(i) + ".", config));
  }
  return {};
}

}  // namespace orrery
