#include "engine/models/latent_layers.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "engine/models/stated_sizes.h"

namespace orrery {

namespace {

constexpr LatentNames kNames;
constexpr ConfigKey kHeads{"attention.head_count", "num_attention_heads"};
constexpr ConfigKey kKvHeads{"attention.head_count_kv", "num_key_value_heads"};
constexpr ConfigKey kLatent{"attention.kv_lora_rank", "kv_lora_rank"};
constexpr ConfigKey kQueryLatent{"attention.q_lora_rank", "q_lora_rank"};
constexpr ConfigKey kRotary{"rope.dimension_count", "qk_rope_head_dim"};
constexpr ConfigKey kPlain{"", "qk_nope_head_dim"};
// In GGUF key_length and value_length are those of what is cached where these are there, too.
constexpr ConfigKey kKeyWidth{"attention.key_length_mla", "qk_head_dim"};
constexpr ConfigKey kValueWidth{"attention.value_length_mla", "v_head_dim"};
constexpr ConfigKey kCachedKey{"attention.key_length", ""};
constexpr ConfigKey kCachedValue{"attention.value_length", ""};
constexpr float kNormEpsilon = 1e-6f;
constexpr int64_t kMostHeads = 4096;
constexpr int64_t kMostHeadWidth = 16384;
constexpr int64_t kMostWidth = int64_t{1} << 24;

Error must(const ModelFile& file, const std::string& what, const std::string& rule, int64_t value) {
  return {ErrorCode::kInvalidFile, file.path() + ": " + what + " must " + rule + ", but is " + std::to_string(value)};
}

bool is_gguf(const ModelFile& file) { return file.format() == ModelFile::Format::kGguf; }
bool has_parts(const ModelFile& file, int32_t layer) { return file.find(kNames.key_up, layer) != nullptr; }

// A size that must be from `least` to `most`.
Result<int32_t> within(const ModelFile& file, const std::string& what, int64_t least, int64_t most, int64_t value) {
  if (value >= least && value <= most) return static_cast<int32_t>(value);
  return must(file, what, "be from " + std::to_string(least) + " to " + std::to_string(most), value);
}

// How many numbers the queries of a layer are made of, where that is not its input: 0 where it is.
Result<int32_t> query_latent(const ModelFile& file, int32_t layer, int64_t d_model) {
  if (file.find(kNames.q_down, layer) == nullptr) {
    ORRERY_RETURN_IF_ERROR(check_stated(file, kQueryLatent, 0, "as there is no " + file.spelled(kNames.q_down, layer)));
    return 0;
  }
  ORRERY_ASSIGN_OR_RETURN(const TensorView down, file.tensor(kNames.q_down, layer, {-1, d_model}));
  const std::string rows = "the rows of " + file.spelled(kNames.q_down, layer);
  if (file.is_null(kQueryLatent)) {
    return Error{ErrorCode::kInvalidFile, file.path() + ": " + file.spelled(kQueryLatent) + " must be " +
                                              std::to_string(down.n_rows()) + ", " + rows + ", but is null"};
  }
  ORRERY_RETURN_IF_ERROR(check_stated(file, kQueryLatent, down.n_rows(), rows));
  return within(file, rows, 1, kMostWidth, down.n_rows());
}

// Rows of a matrix, evenly shared by the heads.
Result<int32_t> share_of(const ModelFile& file, TensorName name, int32_t layer, int64_t all, int64_t n_heads,
                         std::string_view axis) {
  const std::string what = "the " + std::string(axis) + " of " + file.spelled(name, layer);
  if (all % n_heads != 0) {
    return must(file, file.spelled(kHeads), "divide the " + std::to_string(all) + ", " + what, n_heads);
  }
  return within(file, "each head's share of " + what, 1, kMostHeadWidth, all / n_heads);
}

Result<void> check_heads(const ModelFile& file, int32_t layer, const AttentionConfig& attention) {
  const int64_t n_heads = attention.n_heads, d_plain = attention.d_head_k - attention.d_shared_rope;
  const std::string of_layer = "in layer " + std::to_string(layer);
  if (d_plain < 1) {
    return must(file, "a head's key " + of_layer,
                "be wider than the " + std::to_string(attention.d_shared_rope) + " numbers that all heads share",
                attention.d_head_k);
  }
  if (!is_gguf(file)) ORRERY_RETURN_IF_ERROR(check_stated(file, kKvHeads, n_heads, "as there are query heads"));
  ORRERY_RETURN_IF_ERROR(check_stated(file, kPlain, d_plain, "what the width of a head's query leaves " + of_layer));
  ORRERY_RETURN_IF_ERROR(check_stated(file, kKeyWidth, attention.d_head_k, "the width of a head's query " + of_layer));
  ORRERY_RETURN_IF_ERROR(check_stated(file, kValueWidth, attention.d_head_v, "the width of a head " + of_layer));
  const bool as_cached = file.has(kKeyWidth);
  ORRERY_RETURN_IF_ERROR(check_stated(file, kCachedKey,
                                      as_cached ? attention.d_latent + attention.d_shared_rope : attention.d_head_k,
                                      "the width of a key " + of_layer));
  ORRERY_RETURN_IF_ERROR(check_stated(file, kCachedValue, as_cached ? attention.d_latent : attention.d_head_v,
                                      "the width of a value " + of_layer));
  if (has_parts(file, layer)) return {};
  ORRERY_ASSIGN_OR_RETURN(const TensorView up, file.tensor(kNames.up, layer, {-1, attention.d_latent}));
  const int64_t rows = n_heads * (d_plain + attention.d_head_v);
  if (up.n_rows() == rows) return {};
  return must(file, "the rows of " + file.spelled(kNames.up, layer),
              "be the " + std::to_string(rows) + " of all heads' keys and values", up.n_rows());
}

Result<void> read_layer(const ModelFile& file, int32_t layer, int64_t n_heads, int64_t d_model,
                        AttentionConfig& attention) {
  ORRERY_ASSIGN_OR_RETURN(attention.d_query_latent, query_latent(file, layer, d_model));
  const int64_t d_asking = attention.d_query_latent > 0 ? attention.d_query_latent : d_model;
  const TensorName q = attention.d_query_latent > 0 ? kNames.q_up : kNames.q;
  ORRERY_ASSIGN_OR_RETURN(const TensorView query, file.tensor(q, layer, {-1, d_asking}));
  ORRERY_ASSIGN_OR_RETURN(const TensorView output, file.tensor(kNames.output, layer, {d_model, -1}));
  ORRERY_ASSIGN_OR_RETURN(attention.d_head_k, share_of(file, q, layer, query.n_rows(), n_heads, "rows"));
  ORRERY_ASSIGN_OR_RETURN(attention.d_head_v,
                          share_of(file, kNames.output, layer, output.n_cols(), n_heads, "columns"));

  ORRERY_ASSIGN_OR_RETURN(const TensorView norm, file.tensor(kNames.norm, layer, {-1}));
  const std::string length = "the length of " + file.spelled(kNames.norm, layer);
  ORRERY_ASSIGN_OR_RETURN(attention.d_latent, within(file, length, 1, kMostHeadWidth, norm.n_cols()));
  ORRERY_RETURN_IF_ERROR(check_stated(file, kLatent, attention.d_latent, length));
  ORRERY_ASSIGN_OR_RETURN(const TensorView down, file.tensor(kNames.down, layer, {-1, d_model}));
  const std::string rest = "what the rows of " + file.spelled(kNames.down, layer) + " have beyond the latent";
  ORRERY_ASSIGN_OR_RETURN(attention.d_shared_rope,
                          within(file, rest, 0, kMostHeadWidth, down.n_rows() - attention.d_latent));
  ORRERY_RETURN_IF_ERROR(check_stated(file, kRotary, attention.d_shared_rope, rest));
  attention.n_heads = attention.n_kv_heads = static_cast<int32_t>(n_heads);
  attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(attention.d_head_k)));
  ORRERY_RETURN_IF_ERROR(check_heads(file, layer, attention));
  if (attention.d_query_latent > 0) {
    ORRERY_RETURN_IF_ERROR(check_bias(file, "attention_bias", kNames.q_down_bias, layer));
  }
  ORRERY_RETURN_IF_ERROR(check_bias(file, "attention_bias", kNames.down_bias, layer));
  return check_bias(file, "attention_bias", kNames.output_bias, layer);
}

}  // namespace

Result<void> read_latent_attention(const ModelFile& file, ModelConfig& config) {
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_heads, file.integer(kHeads, 1, kMostHeads));
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    if (!layer.has(MixerKind::kAttention)) continue;
    ORRERY_RETURN_IF_ERROR(read_layer(file, i, n_heads, config.d_model, layer.attention));
  }
  return {};
}

std::unique_ptr<Mixer> latent_attention(DecoderBuilder& decoder, int32_t layer) {
  TensorPlacer& place = decoder.place();
  const AttentionConfig& config = decoder.layer_config(layer).attention;
  const int64_t d_model = decoder.config().d_model, n_heads = config.n_heads, d_latent = config.d_latent;
  const int64_t d_cached = d_latent + config.d_shared_rope, d_plain = config.d_head_k - config.d_shared_rope;
  const int64_t q_rows = n_heads * config.d_head_k;
  LatentAttentionWeights weights;
  if (config.d_query_latent > 0) {
    weights.query_down = place.matrix(kNames.q_down, layer, config.d_query_latent, d_model);
    weights.query_down_bias = place.optional_vector(kNames.q_down_bias, layer, config.d_query_latent);
    weights.query_norm = place.vector(kNames.q_norm, layer, config.d_query_latent);
    weights.query = place.matrix(kNames.q_up, layer, q_rows, config.d_query_latent);
  } else {
    weights.query = place.matrix(kNames.q, layer, q_rows, d_model);
  }
  weights.down = place.matrix(kNames.down, layer, d_cached, d_model);
  weights.down_bias = place.optional_vector(kNames.down_bias, layer, d_cached);
  weights.norm = place.vector(kNames.norm, layer, d_latent);
  if (has_parts(place.file(), layer)) {
    weights.key_up = place.stacked(kNames.key_up, layer, n_heads, d_latent, d_plain);
    weights.value_up = place.stacked(kNames.value_up, layer, n_heads, config.d_head_v, d_latent);
  } else {
    const int64_t d_both = d_plain + config.d_head_v;
    weights.key_up = place.turned_rows(kNames.up, layer, n_heads, d_both, d_latent, 0, d_plain);
    const TensorView up = place.matrix(kNames.up, layer, n_heads * d_both, d_latent);
    for (int64_t h = 0; h < n_heads && !up.empty(); ++h) {
      weights.value_up.push_back(up.rows(h * d_both + d_plain, config.d_head_v));
    }
  }
  weights.output = place.matrix(kNames.output, layer, d_model, n_heads * config.d_head_v);
  weights.output_bias = place.optional_vector(kNames.output_bias, layer, d_model);
  return std::make_unique<LatentAttention>(config, std::move(weights), kNormEpsilon);
}

}  // namespace orrery
