#include "engine/models/fla_layers.h"

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "engine/blocks/dense_ffn.h"
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

struct Description {
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t window = 0;
};

// at: where the description is: "attn.", "attn.0." or "" for the top.
Result<Description> read_description(const ModelFile& file, const std::string& at, const UsualAttention& usual,
                                     int64_t d_model) {
  constexpr int64_t kMostHeads = 4096, kMostWindow = int64_t{1} << 31;
  const std::string heads_key = at + "num_heads", kv_key = at + "num_kv_heads", window_key = at + "window_size";
  const auto must_fit = [&](const std::string& key, const std::string& rule, int64_t value) {
    return Error{ErrorCode::kInvalidFile,
                 file.path() + ": " + key + " must " + rule + ", but is " + std::to_string(value)};
  };
  std::optional<int64_t> usual_heads;
  if (usual.n_heads > 0) usual_heads = usual.n_heads;
  Description description;
  ORRERY_ASSIGN_OR_RETURN(description.n_heads, file.integer({"", heads_key}, 1, kMostHeads, usual_heads));
  const int64_t n_heads = description.n_heads;
  ORRERY_ASSIGN_OR_RETURN(description.n_kv_heads, file.integer({"", kv_key}, 1, kMostHeads, n_heads));
  const int64_t usual_window = file.is_null({"", window_key}) ? 0 : usual.window;
  ORRERY_ASSIGN_OR_RETURN(description.window, file.integer({"", window_key}, 1, kMostWindow, usual_window));
  if (d_model % n_heads != 0 || d_model / n_heads % 2 != 0) {
    return must_fit(heads_key, "divide hidden_size into heads of an even width", n_heads);
  }
  if (n_heads % description.n_kv_heads != 0) {
    return must_fit(kv_key, "divide the " + std::to_string(n_heads) + " query heads", description.n_kv_heads);
  }
  return description;
}

Result<void> make_attention(const ModelFile& file, const std::string& at, const Description& description,
                            int64_t d_model, LayerConfig& layer) {
  const int64_t d_head = d_model / description.n_heads;
  layer.mixers = {MixerKind::kAttention};
  AttentionConfig& attention = layer.attention;
  attention.n_heads = static_cast<int32_t>(description.n_heads);
  attention.n_kv_heads = static_cast<int32_t>(description.n_kv_heads);
  attention.d_head_k = attention.d_head_v = static_cast<int32_t>(d_head);
  attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d_head)));
  attention.window = description.window;
  return set_rotation(file, at + "rope_theta", d_head, attention.rope);
}

Result<void> read_listed(const ModelFile& file, const std::string& at, ModelConfig& config) {
  const std::string key = at + "layers";
  ORRERY_ASSIGN_OR_RETURN(const std::vector<int64_t> listed,
                          file.integers({"", key}, config.n_layers(), 0, config.n_layers() - 1));
  ORRERY_ASSIGN_OR_RETURN(const Description description, read_description(file, at, {}, config.d_model));
  for (const int64_t i : listed) {
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    if (layer.has(MixerKind::kAttention)) {
      return Error{ErrorCode::kInvalidFile,
                   file.path() + ": " + key + " must name a layer once, but names again " + std::to_string(i)};
    }
    ORRERY_RETURN_IF_ERROR(make_attention(file, at, description, config.d_model, layer));
  }
  return {};
}

// Width of the feed-forwards that have gates and ups in one matrix.
Result<void> read_joined_ffn(const ModelFile& file, const FfnNames& names, ModelConfig& config) {
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    ORRERY_ASSIGN_OR_RETURN(const TensorView both, file.tensor(names.gate, i, {-1, config.d_model}));
    if (both.n_rows() % 2 != 0) {
      return Error{ErrorCode::kInvalidFile, file.path() + ": the rows of " + file.spelled(names.gate, i) +
                                                " must be gates and as many ups, but are " +
                                                std::to_string(both.n_rows())};
    }
    config.layers[static_cast<size_t>(i)].d_ffn = both.n_rows() / 2;
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
  const bool has_ups = file.find(ffn.up, 0) != nullptr;
  ORRERY_RETURN_IF_ERROR(has_ups ? read_dense_ffn(file, traits, ffn, config) : read_joined_ffn(file, ffn, config));
  return config;
}

std::unique_ptr<FeedForward> fla_ffn(DecoderBuilder& decoder, int32_t layer, const FfnNames& names) {
  TensorPlacer& place = decoder.place();
  if (place.file().find(names.up, layer) != nullptr) return decoder.dense_ffn(layer, names);
  const int64_t d_ffn = decoder.layer_config(layer).d_ffn, d_model = decoder.config().d_model;
  const TensorView both = place.matrix(names.gate, layer, 2 * d_ffn, d_model);
  DenseFfnWeights weights;
  weights.gate = both.rows(0, d_ffn);
  weights.up = both.rows(d_ffn, d_ffn);
  weights.down = place.matrix(names.down, layer, d_model, d_ffn);
  return std::make_unique<DenseFfn>(Activation::kSilu, weights);
}

Result<void> read_listed_attention(const ModelFile& file, ModelConfig& config) {
  constexpr ConfigKey kKey{"", kListed};
  if (!file.has(kKey)) return {};
  if (!file.is_list(kKey)) return read_listed(file, std::string(kListed) + ".", config);
  ORRERY_ASSIGN_OR_RETURN(const int64_t n, file.list_length(kKey, config.n_layers()));
  for (int64_t i = 0; i < n; ++i) {
    ORRERY_RETURN_IF_ERROR(read_listed(file, std::string(kListed) + "." + std::to_string(i) + ".", config));
  }
  return {};
}

Result<void> read_alternating_attention(const ModelFile& file, const UsualAttention& usual, ModelConfig& config) {
  ORRERY_ASSIGN_OR_RETURN(const Description description, read_description(file, "", usual, config.d_model));
  for (size_t i = 1; i < config.layers.size(); i += 2) {
    ORRERY_RETURN_IF_ERROR(make_attention(file, "", description, config.d_model, config.layers[i]));
  }
  return {};
}

}  // namespace orrery
