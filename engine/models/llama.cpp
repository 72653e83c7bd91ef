#include "engine/models/llama.h"

#include <cmath>

#include "engine/blocks/attention_mixer.h"
#include "engine/blocks/dense_ffn.h"
#include "engine/models/rope_reader.h"
#include "engine/models/tensor_placer.h"

namespace orrery {

namespace {

constexpr TensorName kEmbedding{"token_embd.weight", "model.embed_tokens.weight"};
constexpr TensorName kOutputNorm{"output_norm.weight", "model.norm.weight"};
constexpr TensorName kOutput{"output.weight", "lm_head.weight"};
constexpr TensorName kMixerNorm{"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"};
constexpr TensorName kFfnNorm{"blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight"};
constexpr TensorName kQ{"blk.{}.attn_q.weight", "model.layers.{}.self_attn.q_proj.weight"};
constexpr TensorName kK{"blk.{}.attn_k.weight", "model.layers.{}.self_attn.k_proj.weight"};
constexpr TensorName kV{"blk.{}.attn_v.weight", "model.layers.{}.self_attn.v_proj.weight"};
constexpr TensorName kO{"blk.{}.attn_output.weight", "model.layers.{}.self_attn.o_proj.weight"};
constexpr TensorName kQBias{"blk.{}.attn_q.bias", "model.layers.{}.self_attn.q_proj.bias"};
constexpr TensorName kKBias{"blk.{}.attn_k.bias", "model.layers.{}.self_attn.k_proj.bias"};
constexpr TensorName kVBias{"blk.{}.attn_v.bias", "model.layers.{}.self_attn.v_proj.bias"};
constexpr TensorName kOBias{"blk.{}.attn_output.bias", "model.layers.{}.self_attn.o_proj.bias"};
constexpr TensorName kGate{"blk.{}.ffn_gate.weight", "model.layers.{}.mlp.gate_proj.weight"};
constexpr TensorName kUp{"blk.{}.ffn_up.weight", "model.layers.{}.mlp.up_proj.weight"};
constexpr TensorName kDown{"blk.{}.ffn_down.weight", "model.layers.{}.mlp.down_proj.weight"};
constexpr TensorName kGateBias{"blk.{}.ffn_gate.bias", "model.layers.{}.mlp.gate_proj.bias"};
constexpr TensorName kUpBias{"blk.{}.ffn_up.bias", "model.layers.{}.mlp.up_proj.bias"};
constexpr TensorName kDownBias{"blk.{}.ffn_down.bias", "model.layers.{}.mlp.down_proj.bias"};

constexpr int64_t kMostLayers = 4096;
constexpr int64_t kMostHeads = 4096;
constexpr int64_t kMostWidth = int64_t{1} << 24;

// Tensors that the file has must be used, or the result would silently be another model's.
Result<void> refuse_what_is_not_llama(const ModelFile& file) {
  if (file.format() == ModelFile::Format::kHuggingFace) {
    ORRERY_ASSIGN_OR_RETURN(const std::string activation, file.text({"", "hidden_act"}, "silu"));
    if (activation != "silu") {
      return Error{ErrorCode::kUnsupported,
                   file.path() + ": hidden_act must be silu for the llama architecture, but is " + activation};
    }
    if (file.has({"", "quantization_config"})) {
      return Error{ErrorCode::kUnsupported,
                   file.path() + ": quantized Hugging Face weights cannot be run yet; use a GGUF file of the model"};
    }
  }
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_experts, file.integer({"expert_count", "num_local_experts"}, 0, 1 << 20, 0));
  if (n_experts > 0) {
    return Error{ErrorCode::kUnsupported, file.path() + ": llama with experts cannot be run yet; " +
                                              file.spelled(ConfigKey{"expert_count", "num_local_experts"}) + " is " +
                                              std::to_string(n_experts)};
  }
  return {};
}

Result<AttentionConfig> read_attention(const ModelFile& file, int64_t d_model, int64_t n_heads, int64_t n_kv_heads) {
  const ConfigKey kv_key{"attention.head_count_kv", "num_key_value_heads"};
  if (n_kv_heads > n_heads || n_heads % n_kv_heads != 0) {
    return Error{ErrorCode::kInvalidFile, file.path() + ": " + file.spelled(kv_key) + " must divide the " +
                                              std::to_string(n_heads) + " query heads, but is " +
                                              std::to_string(n_kv_heads)};
  }
  std::optional<int64_t> usual;  // where no head size is stated
  if (d_model % n_heads == 0) usual = d_model / n_heads;
  AttentionConfig attention;
  attention.n_heads = static_cast<int32_t>(n_heads);
  attention.n_kv_heads = static_cast<int32_t>(n_kv_heads);
  ORRERY_ASSIGN_OR_RETURN(const int64_t d_head_k,
                          file.integer({"attention.key_length", "head_dim"}, 1, kMostWidth / n_heads, usual));
  ORRERY_ASSIGN_OR_RETURN(const int64_t d_head_v,
                          file.integer({"attention.value_length", "head_dim"}, 1, kMostWidth / n_heads, d_head_k));
  attention.d_head_k = static_cast<int32_t>(d_head_k);
  attention.d_head_v = static_cast<int32_t>(d_head_v);
  attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d_head_k)));
  // GGUF's converter permutes the rows of q and k, so that pairs are adjacent; Hugging Face splits halves.
  attention.rope.pairing = file.format() == ModelFile::Format::kGguf ? RopePairing::kAdjacent : RopePairing::kHalfSplit;
  ORRERY_RETURN_IF_ERROR(read_rope(file, d_head_k, {}, attention.rope));
  return attention;
}

}  // namespace

Result<ModelConfig> read_llama_config(const ModelFile& file) {
  ORRERY_RETURN_IF_ERROR(refuse_what_is_not_llama(file));
  ModelConfig config;
  config.architecture = "llama";
  ORRERY_ASSIGN_OR_RETURN(config.d_model, file.integer({"embedding_length", "hidden_size"}, 1, kMostWidth));
  ORRERY_ASSIGN_OR_RETURN(const int64_t n_layers, file.integer({"block_count", "num_hidden_layers"}, 1, kMostLayers));
  ORRERY_ASSIGN_OR_RETURN(const double epsilon,
                          file.number({"attention.layer_norm_rms_epsilon", "rms_norm_eps"}, 1e-6));
  config.norm_epsilon = static_cast<float>(epsilon);
  ORRERY_ASSIGN_OR_RETURN(const TensorView embedding, file.tensor(kEmbedding, -1, {-1, config.d_model}));
  config.vocab_size = embedding.shape[0];
  if (config.vocab_size > kMostWidth) {
    return Error{ErrorCode::kInvalidFile,
                 file.path() + ": the vocabulary is too large: " + std::to_string(config.vocab_size)};
  }
  const ConfigKey vocab_key{"vocab_size", "vocab_size"};
  ORRERY_ASSIGN_OR_RETURN(const int64_t stated, file.integer(vocab_key, 1, kMostWidth, config.vocab_size));
  if (stated != config.vocab_size) {
    return Error{ErrorCode::kInvalidFile, file.path() + ": " + file.spelled(vocab_key) + " must be the " +
                                              std::to_string(config.vocab_size) + " rows of the embedding, but is " +
                                              std::to_string(stated)};
  }
  ORRERY_ASSIGN_OR_RETURN(const bool states_tied, file.boolean({"", "tie_word_embeddings"}, false));
  config.tied_embedding = file.format() == ModelFile::Format::kGguf ? file.find(kOutput) == nullptr : states_tied;

  const ConfigKey heads_key{"attention.head_count", "num_attention_heads"};
  const ConfigKey kv_heads_key{"attention.head_count_kv", "num_key_value_heads"};
  ORRERY_ASSIGN_OR_RETURN(const std::vector<int64_t> heads,
                          file.integers_per_layer(heads_key, n_layers, 1, kMostHeads));
  std::vector<int64_t> kv_heads = heads;  // where none are stated
  if (file.has(kv_heads_key)) {
    ORRERY_ASSIGN_OR_RETURN(kv_heads, file.integers_per_layer(kv_heads_key, n_layers, 1, kMostHeads));
  }
  for (int64_t i = 0; i < n_layers; ++i) {
    const auto layer = static_cast<size_t>(i);
    LayerConfig spec;
    spec.mixers = {MixerKind::kAttention};
    ORRERY_ASSIGN_OR_RETURN(spec.attention, read_attention(file, config.d_model, heads[layer], kv_heads[layer]));
    ORRERY_ASSIGN_OR_RETURN(const TensorView gate, file.tensor(kGate, static_cast<int32_t>(i), {-1, config.d_model}));
    spec.d_ffn = gate.shape[0];  // from the tensor: some files state another number
    config.layers.push_back(std::move(spec));
  }
  ORRERY_ASSIGN_OR_RETURN(config.context_length, read_context_length(file, config.layers.front().attention.d_head_k));
  return config;
}

Result<ModelParts> build_llama(const ModelFile& file, ModelConfig config, Backend& backend) {
  ModelParts parts;
  TensorPlacer place(file, backend);
  const int64_t d_model = config.d_model;
  parts.embedding = place.matrix(kEmbedding, -1, config.vocab_size, d_model);
  parts.output_norm = place.vector(kOutputNorm, -1, d_model);
  parts.output = config.tied_embedding ? parts.embedding : place.matrix(kOutput, -1, config.vocab_size, d_model);
  for (int32_t i = 0; i < config.n_layers(); ++i) {
    const LayerConfig& layer = config.layers[static_cast<size_t>(i)];
    const AttentionConfig& attention = layer.attention;
    const int64_t q_width = int64_t{attention.n_heads} * attention.d_head_k;
    const int64_t k_width = int64_t{attention.n_kv_heads} * attention.d_head_k;
    const int64_t v_width = int64_t{attention.n_kv_heads} * attention.d_head_v;
    const int64_t o_width = int64_t{attention.n_heads} * attention.d_head_v;
    AttentionWeights mixer;
    mixer.q = place.matrix(kQ, i, q_width, d_model);
    mixer.k = place.matrix(kK, i, k_width, d_model);
    mixer.v = place.matrix(kV, i, v_width, d_model);
    mixer.output = place.matrix(kO, i, d_model, o_width);
    mixer.q_bias = place.optional_vector(kQBias, i, q_width);
    mixer.k_bias = place.optional_vector(kKBias, i, k_width);
    mixer.v_bias = place.optional_vector(kVBias, i, v_width);
    mixer.output_bias = place.optional_vector(kOBias, i, d_model);
    DenseFfnWeights ffn;
    ffn.gate = place.matrix(kGate, i, layer.d_ffn, d_model);
    ffn.up = place.matrix(kUp, i, layer.d_ffn, d_model);
    ffn.down = place.matrix(kDown, i, d_model, layer.d_ffn);
    ffn.gate_bias = place.optional_vector(kGateBias, i, layer.d_ffn);
    ffn.up_bias = place.optional_vector(kUpBias, i, layer.d_ffn);
    ffn.down_bias = place.optional_vector(kDownBias, i, d_model);
    const TensorView mixer_norm = place.vector(kMixerNorm, i, d_model);
    const TensorView ffn_norm = place.vector(kFfnNorm, i, d_model);
    ORRERY_RETURN_IF_ERROR(place.status());
    parts.blocks.push_back(
        std::make_unique<PreNormBlock>(mixer_norm, std::make_unique<Attention>(attention, std::move(mixer)), ffn_norm,
                                       std::make_unique<DenseFfn>(std::move(ffn)), config.norm_epsilon));
  }
  ORRERY_RETURN_IF_ERROR(place.status());
  parts.owned = place.take_owned();
  parts.config = std::move(config);
  return parts;
}

}  // namespace orrery
