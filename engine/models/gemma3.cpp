#include "engine/models/gemma3.h"

#include <cmath>

#include "engine/blocks/residual_block.h"
#include "engine/models/decoder_builder.h"

namespace orrery {

namespace {

constexpr DecoderTraits kGemma3{.qk_norm = true,
                                .tied_embedding = true,
                                .activation_key = "hidden_activation",
                                .activation = Activation::kGeluTanh};
constexpr RopeKind kFullRope{.layer_type = "full_attention", .default_base = 1e6};
constexpr RopeKind kWindowedRope{.layer_type = "sliding_attention", .default_base = 1e4};

constexpr TensorName kBeforeAttention{"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"};
constexpr TensorName kAfterAttention{"blk.{}.post_attention_norm.weight",
                                     "model.layers.{}.post_attention_layernorm.weight"};
constexpr TensorName kBeforeFfn{"blk.{}.ffn_norm.weight", "model.layers.{}.pre_feedforward_layernorm.weight"};
constexpr TensorName kAfterFfn{"blk.{}.post_ffw_norm.weight", "model.layers.{}.post_feedforward_layernorm.weight"};

// What an attention score is divided by, squared: query_pre_attn_scalar. A GGUF file does not state it; its converter
// knows two: the head width, and d_model / heads for the model of 62 layers (27B).
Result<double> score_divisor(const ModelFile& file, const ModelConfig& config, const AttentionConfig& attention) {
  constexpr int32_t kLayersOf27B = 62;
  if (file.format() == ModelFile::Format::kHuggingFace) {
    ORRERY_ASSIGN_OR_RETURN(const double scalar, file.number({"", "query_pre_attn_scalar"}, 256.0));
    if (scalar > 0) return scalar;
    return Error{ErrorCode::kInvalidFile,
                 file.path() + ": query_pre_attn_scalar must be positive, but is " + std::to_string(scalar)};
  }
  if (config.n_layers() == kLayersOf27B) return static_cast<double>(config.d_model / attention.n_heads);
  return static_cast<double>(attention.d_head_k);
}

// Every sliding_window_pattern-th layer is full; GGUF files of today state a window only.
Result<void> read_windows(const ModelFile& file, ModelConfig& config) {
  constexpr int64_t kUsualWindow = 4096;  // of transformers' Gemma3TextConfig
  const bool is_gguf = file.format() == ModelFile::Format::kGguf;
  const ConfigKey pattern_key{"attention.sliding_window_pattern", "sliding_window_pattern"};
  ORRERY_ASSIGN_OR_RETURN(const int64_t window, read_window(file, is_gguf ? 0 : kUsualWindow));
  if (is_gguf && window == 0) return {};
  int64_t pattern = 6;
  if (!file.is_list(pattern_key)) {
    ORRERY_ASSIGN_OR_RETURN(pattern, file.integer(pattern_key, 1, 1 << 20, pattern));
  }
  return set_windows(
      file, window, [&](int32_t layer) { return (layer + 1) % pattern != 0; }, config);
}

}  // namespace

Result<ModelConfig> read_gemma3_config(const ModelFile& file) {
  ORRERY_RETURN_IF_ERROR(refuse_setting(file, {"", "use_bidirectional_attention"}));
  // Gemma 2's, of which Gemma 3's reference keeps the setting but makes no use.
  ORRERY_RETURN_IF_ERROR(refuse_setting(file, {"attn_logit_softcapping", "attn_logit_softcapping"}));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_decoder(file, kGemma3));
  ORRERY_RETURN_IF_ERROR(read_windows(file, config));
  ORRERY_RETURN_IF_ERROR(read_rotation(file, kFullRope, kWindowedRope, config));
  if (!file.has({"attention.scale", ""})) {
    for (LayerConfig& layer : config.layers) {
      ORRERY_ASSIGN_OR_RETURN(const double divisor, score_divisor(file, config, layer.attention));
      layer.attention.scale = static_cast<float>(1.0 / std::sqrt(divisor));
    }
  }
  // In float32, as llama.cpp and transformers with float32 weights have it; transformers with bfloat16 weights rounds
  // this number to bfloat16 first.
  config.embedding_scale = std::sqrt(static_cast<float>(config.d_model));
  const ConfigKey cap_key{"final_logit_softcapping", "final_logit_softcapping"};
  ORRERY_ASSIGN_OR_RETURN(const double cap, file.number(cap_key, 0.0));
  config.logit_cap = static_cast<float>(cap);
  if (!(config.logit_cap >= 0)) {
    return Error{ErrorCode::kInvalidFile,
                 file.path() + ": " + file.spelled(cap_key) + " must not be negative, but is " + std::to_string(cap)};
  }
  return config;
}

Result<ModelParts> build_gemma3(const ModelFile& file, ModelConfig config, Backend& backend) {
  // Norms multiply by 1 + w; GGUF's converter has added the 1.
  const float added = file.format() == ModelFile::Format::kHuggingFace ? 1.0f : 0.0f;
  DecoderBuilder decoder(file, std::move(config), backend, added);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kBeforeAttention, layer);
    norms.after_mixer = decoder.norm(kAfterAttention, layer);
    norms.before_ffn = decoder.norm(kBeforeFfn, layer);
    norms.after_ffn = decoder.norm(kAfterFfn, layer);
    decoder.add(std::make_unique<ResidualBlock>(norms, decoder.attention(layer), decoder.dense_ffn(layer)));
  }
  return decoder.finish();
}

}  // namespace orrery
