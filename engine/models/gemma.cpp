#include "engine/models/gemma.h"

#include <cmath>

#include "engine/blocks/residual_block.h"
#include "engine/models/decoder_builder.h"

namespace orrery {

namespace {

constexpr TensorName kBeforeAttention{"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"};
constexpr TensorName kAfterAttention{"blk.{}.post_attention_norm.weight",
                                     "model.layers.{}.post_attention_layernorm.weight"};
constexpr TensorName kBeforeFfn{"blk.{}.ffn_norm.weight", "model.layers.{}.pre_feedforward_layernorm.weight"};
constexpr TensorName kAfterFfn{"blk.{}.post_ffw_norm.weight", "model.layers.{}.post_feedforward_layernorm.weight"};

// What a score is divided by, squared: query_pre_attn_scalar. A GGUF file does not state it; its converter knows two:
// the head width, and d_model / heads for the 27B model.
Result<double> score_divisor(const ModelFile& file, int32_t n_layers_27b, const ModelConfig& config,
                             const AttentionConfig& attention) {
  if (file.format() == ModelFile::Format::kHuggingFace) {
    constexpr double kUsual = 256.0;  // of transformers' configurations
    ORRERY_ASSIGN_OR_RETURN(const double scalar, file.number({"", "query_pre_attn_scalar"}, kUsual));
    if (scalar > 0) return scalar;
    return Error{ErrorCode::kInvalidFile,
                 file.path() + ": query_pre_attn_scalar must be positive, but is " + std::to_string(scalar)};
  }
  if (config.n_layers() == n_layers_27b) return static_cast<double>(config.d_model / attention.n_heads);
  return static_cast<double>(attention.d_head_k);
}

}  // namespace

Result<void> read_gemma_scales(const ModelFile& file, int32_t n_layers_27b, ModelConfig& config) {
  // In float32, as llama.cpp and transformers with float32 weights have it; transformers with bfloat16 weights rounds
  // this number to bfloat16 first.
  config.embedding_scale = std::sqrt(static_cast<float>(config.d_model));
  if (file.has({"attention.scale", ""})) return {};
  for (LayerConfig& layer : config.layers) {
    ORRERY_ASSIGN_OR_RETURN(const double divisor, score_divisor(file, n_layers_27b, config, layer.attention));
    layer.attention.scale = static_cast<float>(1.0 / std::sqrt(divisor));
  }
  return {};
}

Result<float> read_cap(const ModelFile& file, ConfigKey key, double fallback) {
  if (file.is_null(key)) return 0.0f;
  ORRERY_ASSIGN_OR_RETURN(const double cap, file.number(key, fallback));
  if (cap >= 0) return static_cast<float>(cap);
  return Error{ErrorCode::kInvalidFile,
               file.path() + ": " + file.spelled(key) + " must not be negative, but is " + std::to_string(cap)};
}

Result<ModelParts> build_gemma(const ModelFile& file, ModelConfig config, const Placement& placement) {
  // GGUF's converter has added the 1 of the norms' 1 + w.
  const float added = file.format() == ModelFile::Format::kHuggingFace ? 1.0f : 0.0f;
  DecoderBuilder decoder(file, std::move(config), placement, added);
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
