#include "engine/models/decoder_config.h"

#include <cmath>
#include <optional>
#include <string>

namespace orrery {

namespace {

constexpr ConfigKey kHeads{"attention.head_count", "num_attention_heads"};
constexpr ConfigKey kKvHeads{"attention.head_count_kv", "num_key_value_heads"};
constexpr ConfigKey kHeadWidth{"attention.key_length", "head_dim"};
constexpr ConfigKey kValueWidth{"attention.value_length", "head_dim"};
constexpr ConfigKey kWindow{"attention.sliding_window", "sliding_window"};
constexpr ConfigKey kLayerTypes{"attention.sliding_window_pattern", "layer_types"};

constexpr int64_t kMostLayers = 4096;
constexpr int64_t kMostHeads = 4096;
constexpr int64_t kMostHeadWidth = 16384;
constexpr int64_t kMostWidth = int64_t{1} << 24;
constexpr int64_t kMostWindow = int64_t{1} << 31;

Error must(const ModelFile& file, const std::string& what, const std::string& rule, int64_t value) {
  return {ErrorCode::kInvalidFile, file.path() + ": " + what + " must " + rule + ", but is " + std::to_string(value)};
}

// A number per layer, or none where the file does not have the key.
Result<std::vector<int64_t>> stated_per_layer(const ModelFile& file, ConfigKey key, int32_t n_layers) {
  if (!file.has(key)) return std::vector<int64_t>();
  return file.integers_per_layer(key, n_layers, 0, kMostHeads);
}

// As stated for the layer, else as many heads of `width` as the projection has rows for.
Result<int64_t> n_heads_of(const ModelFile& file, ConfigKey key, const std::vector<int64_t>& stated, int32_t layer,
                           TensorName projection, int64_t width, int64_t d_model) {
  int64_t n = 0;
  if (!stated.empty()) {
    n = stated[static_cast<size_t>(layer)];
  } else {
    ORRERY_ASSIGN_OR_RETURN(const TensorView weight, file.tensor(projection, layer, {-1, d_model}));
    if (weight.shape[0] % width == 0) n = weight.shape[0] / width;
  }
  if (n < 1 || n > kMostHeads) return must(file, file.spelled(key), "be a number of heads", n);
  return n;
}

// The width of a head's query and key: as stated; else as its norm has it; else an even share of the projection's rows.
Result<int64_t> head_width(const ModelFile& file, bool qk_norm, const AttentionNames& names, int32_t layer,
                           const std::vector<int64_t>& heads, int64_t d_model) {
  if (!file.has(kHeadWidth) && qk_norm) {
    ORRERY_ASSIGN_OR_RETURN(const TensorView norm, file.tensor(names.q_norm, layer, {-1}));
    if (norm.shape[0] < 1 || norm.shape[0] > kMostHeadWidth) {
      return must(file, "the width of " + file.spelled(names.q_norm, layer), "be that of a head", norm.shape[0]);
    }
    return norm.shape[0];
  }
  std::optional<int64_t> usual;
  const int64_t n_heads = heads.empty() ? 0 : heads[static_cast<size_t>(layer)];
  if (!file.has(kHeadWidth) && n_heads > 0) {
    ORRERY_ASSIGN_OR_RETURN(const TensorView q, file.tensor(names.q, layer, {-1, d_model}));
    if (q.shape[0] % n_heads == 0 && q.shape[0] / n_heads <= kMostHeadWidth) usual = q.shape[0] / n_heads;
  }
  return file.integer(kHeadWidth, 1, kMostHeadWidth, usual);
}

}  // namespace

Result<Activation> read_activation(const ModelFile& file, const DecoderTraits& traits) {
  if (!file.has({"", traits.activation_key})) return traits.activation;
  ORRERY_ASSIGN_OR_RETURN(const std::string name, file.text({"", traits.activation_key}));
  if (name == "silu" || name == "swish") return Activation::kSilu;
  if (name == "gelu") return Activation::kGelu;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new") return Activation::kGeluTanh;
  if (name == "relu2") return Activation::kReluSquared;
  return Error{ErrorCode::kUnsupported, file.path() + ": " + std::string(traits.activation_key) +
                                            " must be one of silu, gelu, gelu_pytorch_tanh, relu2, but is " +
                                            name.substr(0, 60)};
}

Result<ModelConfig> read_decoder(const ModelFile& file, const DecoderTraits& traits) {
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  ORRERY_RETURN_IF_ERROR(refuse_experts(file));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, traits));
  for (LayerConfig& layer : config.layers) {
    layer.mixers = {MixerKind::kAttention};
    layer.feed_forward = FeedForwardKind::kDense;
  }
  ORRERY_RETURN_IF_ERROR(read_attention(file, traits, {}, config));
  ORRERY_RETURN_IF_ERROR(read_dense_ffn(file, traits, {}, config));
  return config;
}

Result<ModelConfig> read_sizes(const ModelFile& file, const DecoderTraits& traits) {
  ModelConfig config;
  config.architecture = file.architecture();
  ORRERY_ASSIGN_OR_RETURN(config.d_model, file.integer({"embedding_length", "hidden_size"}, 1, kMostWidth));
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_layers,
                          file.integer({"block_count", "num_hidden_layers"}, 1, kMostLayers, traits.n_layers));
  config.layers.resize(static_cast<size_t>(n_layers));
  ORRERY_ASSIGN_OR_RETURN(const double epsilon, file.number(traits.epsilon_key, traits.usual_epsilon));
  if (!(epsilon >= 0.0 && epsilon <= 1.0)) {
    return Error{ErrorCode::kInvalidFile, file.path() + ": " + file.spelled(traits.epsilon_key) +
                                              " must be from 0 to 1, but is " + std::to_string(epsilon)};
  }
  config.norm_epsilon = static_cast<float>(epsilon);
  ORRERY_ASSIGN_OR_RETURN(const TensorView embedding, file.tensor(traits.names.embedding, -1, {-1, config.d_model}));
  config.vocab_size = embedding.shape[0];
  if (config.vocab_size > kMostWidth) {
    return must(file, "the vocabulary", "have at most " + std::to_string(kMostWidth) + " tokens", config.vocab_size);
  }
  const ConfigKey vocab_key{"vocab_size", "vocab_size"};
  ORRERY_ASSIGN_OR_RETURN(const int64_t stated, file.integer(vocab_key, 1, kMostWidth, config.vocab_size));
  if (stated != config.vocab_size) {
    return must(file, file.spelled(vocab_key), "be the " + std::to_string(config.vocab_size) + " rows of the embedding",
                stated);
  }
  ORRERY_ASSIGN_OR_RETURN(const bool ties, file.boolean({"", "tie_word_embeddings"}, traits.tied_embedding));
  config.tied_embedding = file.format() == ModelFile::Format::kGguf ? file.find(traits.names.output) == nullptr : ties;
  return config;
}

Result<void> read_attention(const ModelFile& file, const DecoderTraits& traits, const AttentionNames& names,
                            ModelConfig& config) {
  const bool is_gguf = file.format() == ModelFile::Format::kGguf;
  ORRERY_ASSIGN_OR_RETURN(const std::vector<int64_t> heads, stated_per_layer(file, kHeads, config.n_layers()));
  ORRERY_ASSIGN_OR_RETURN(const std::vector<int64_t> kv_heads, stated_per_layer(file, kKvHeads, config.n_layers()));
  ORRERY_ASSIGN_OR_RETURN(const double stated_scale, file.number({"attention.scale", ""}, 0.0));
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    if (!layer.has(MixerKind::kAttention)) continue;
    ORRERY_ASSIGN_OR_RETURN(const int64_t d_head,
                            head_width(file, traits.qk_norm && !traits.whole_qk_norm, names, i, heads, config.d_model));
    ORRERY_ASSIGN_OR_RETURN(const int64_t n_heads, n_heads_of(file, kHeads, heads, i, names.q, d_head, config.d_model));
    ORRERY_ASSIGN_OR_RETURN(const int64_t n_kv_heads,
                            n_heads_of(file, kKvHeads, kv_heads, i, names.k, d_head, config.d_model));
    if (n_heads % n_kv_heads != 0) {
      return must(file, file.spelled(kKvHeads), "divide the " + std::to_string(n_heads) + " query heads", n_kv_heads);
    }
    ORRERY_ASSIGN_OR_RETURN(const int64_t d_head_v, file.integer(kValueWidth, 1, kMostHeadWidth, d_head));
    AttentionConfig& attention = layer.attention;
    attention.n_heads = static_cast<int32_t>(n_heads);
    attention.n_kv_heads = static_cast<int32_t>(n_kv_heads);
    attention.d_head_k = static_cast<int32_t>(d_head);
    attention.d_head_v = static_cast<int32_t>(d_head_v);
    attention.scale =
        static_cast<float>(stated_scale > 0 ? stated_scale : 1.0 / std::sqrt(static_cast<double>(d_head)));
    attention.qk_norm = traits.qk_norm;
    attention.whole_qk_norm = traits.whole_qk_norm;
    attention.rope.pairing = is_gguf ? traits.gguf_pairing : RopePairing::kHalfSplit;
  }
  return {};
}

Result<void> read_dense_ffn(const ModelFile& file, const DecoderTraits& traits, const FfnNames& names,
                            ModelConfig& config) {
  ORRERY_ASSIGN_OR_RETURN(const Activation activation, read_activation(file, traits));
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    if (layer.feed_forward != FeedForwardKind::kDense) continue;
    // From the tensor: some files state another number.
    ORRERY_ASSIGN_OR_RETURN(const TensorView up, file.tensor(names.up, i, {-1, config.d_model}));
    layer.d_ffn = up.shape[0];
    layer.activation = activation;
  }
  return {};
}

Result<void> read_rotation(const ModelFile& file, const RopeKind& full, const RopeKind& windowed, ModelConfig& config) {
  for (LayerConfig& layer : config.layers) {
    if (!layer.has(MixerKind::kAttention)) continue;
    AttentionConfig& attention = layer.attention;
    ORRERY_RETURN_IF_ERROR(read_rope(file, attention.d_head_k, attention.window > 0 ? windowed : full, attention.rope));
    if (config.context_length == 0) {
      ORRERY_ASSIGN_OR_RETURN(config.context_length, read_context_length(file, attention.d_head_k, full));
    }
  }
  return {};
}

Result<void> set_windows(const ModelFile& file, int64_t window, const std::function<bool(int32_t)>& usual,
                         ModelConfig& config) {
  std::vector<bool> is_windowed;
  if (file.format() == ModelFile::Format::kHuggingFace && file.has(kLayerTypes)) {
    ORRERY_ASSIGN_OR_RETURN(const std::vector<std::string> types, file.texts_per_layer(kLayerTypes, config.n_layers()));
    for (const std::string& type : types) {
      if (type != "full_attention" && type != "sliding_attention") {
        return Error{ErrorCode::kUnsupported, file.path() + ": " + file.spelled(kLayerTypes) +
                                                  " may have full_attention and sliding_attention, but has " +
                                                  type.substr(0, 60)};
      }
      is_windowed.push_back(type == "sliding_attention");
    }
  } else if (file.format() == ModelFile::Format::kGguf && file.is_list(kLayerTypes)) {
    ORRERY_ASSIGN_OR_RETURN(const std::vector<int64_t> flags,
                            file.integers_per_layer(kLayerTypes, config.n_layers(), 0, 1));
    is_windowed.assign(flags.begin(), flags.end());
  } else {
    for (int32_t i = 0; i < config.n_layers(); ++i) is_windowed.push_back(usual(i));
  }
  for (size_t i = 0; i < is_windowed.size(); ++i) {
    if (!is_windowed[i] || !config.layers[i].has(MixerKind::kAttention)) continue;
    if (window == 0) return must(file, file.spelled(kWindow), "be the window of layer " + std::to_string(i), 0);
    config.layers[i].attention.window = window;
  }
  return {};
}

Result<int64_t> read_window(const ModelFile& file, int64_t fallback) {
  if (file.is_null(kWindow)) return int64_t{0};
  return file.integer(kWindow, 0, kMostWindow, fallback);
}

Result<void> refuse_foreign_quantization(const ModelFile& file) {
  if (!file.has({"", "quantization_config"})) return {};
  return Error{ErrorCode::kUnsupported, file.path() +
                                            ": quantization_config says that these weights are packed in a way that "
                                            "cannot be run yet; use a GGUF file of the model"};
}

Result<void> refuse_experts(const ModelFile& file) {
  for (const ConfigKey key : {ConfigKey{"expert_count", "num_local_experts"}, ConfigKey{"", "num_experts"}}) {
    ORRERY_ASSIGN_OR_RETURN(const int64_t n_experts, file.integer(key, 0, 1 << 20, 0));
    if (n_experts == 0) continue;
    return Error{ErrorCode::kUnsupported, file.path() + ": " + file.architecture() +
                                              " with experts cannot be run yet; " + file.spelled(key) + " is " +
                                              std::to_string(n_experts)};
  }
  return {};
}

Result<void> refuse_setting(const ModelFile& file, ConfigKey key) {
  if (!file.has(key)) return {};
  if (const auto flag = file.boolean(key); flag && !*flag) return {};
  if (const auto number = file.number(key); number && *number == 0.0) return {};
  return Error{ErrorCode::kUnsupported,
               file.path() + ": a model of this architecture with " + file.spelled(key) + " cannot be run yet"};
}

}  // namespace orrery
