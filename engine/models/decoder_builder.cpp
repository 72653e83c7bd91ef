#include "engine/models/decoder_builder.h"

#include <utility>

#include "engine/blocks/attention_mixer.h"
#include "engine/blocks/residual_block.h"

namespace orrery {

DecoderBuilder::DecoderBuilder(const ModelFile& file, ModelConfig config, const Placement& placement,
                               float added_to_norms, const DecoderNames& names)
    : place_(file, placement), config_(std::move(config)), added_to_norms_(added_to_norms), names_(names) {}

TensorView DecoderBuilder::norm(TensorName name, int32_t layer) {
  return place_.vector(name, layer, config_.d_model, added_to_norms_);
}

TensorView DecoderBuilder::embedding() {
  if (embedding_.empty()) embedding_ = place_.matrix(names_.embedding, -1, config_.vocab_size, config_.d_model);
  return embedding_;
}

std::unique_ptr<Mixer> DecoderBuilder::attention(int32_t layer, const AttentionNames& names) {
  const AttentionConfig& config = layer_config(layer).attention;
  const int64_t d_model = config_.d_model;
  const int64_t q_width = int64_t{config.n_heads} * config.d_head_k;
  const int64_t k_width = int64_t{config.n_kv_heads} * config.d_head_k;
  const int64_t v_width = int64_t{config.n_kv_heads} * config.d_head_v;
  AttentionWeights weights;
  weights.q = place_.matrix(names.q, layer, q_width, d_model);
  weights.k = place_.matrix(names.k, layer, k_width, d_model);
  weights.v = place_.matrix(names.v, layer, v_width, d_model);
  weights.output = place_.matrix(names.output, layer, d_model, int64_t{config.n_heads} * config.d_head_v);
  weights.q_bias = place_.optional_vector(names.q_bias, layer, q_width);
  weights.k_bias = place_.optional_vector(names.k_bias, layer, k_width);
  weights.v_bias = place_.optional_vector(names.v_bias, layer, v_width);
  weights.output_bias = place_.optional_vector(names.output_bias, layer, d_model);
  if (config.qk_norm) {
    const bool whole = config.whole_qk_norm;
    weights.q_norm = place_.vector(names.q_norm, layer, whole ? q_width : config.d_head_k, added_to_norms_);
    weights.k_norm = place_.vector(names.k_norm, layer, whole ? k_width : config.d_head_k, added_to_norms_);
  }
  if (config.gate != AttentionGate::kNone) {
    const int64_t per_head = config.gate == AttentionGate::kElement ? config.d_head_v : 1;
    weights.gate = place_.matrix(names.gate, layer, config.n_heads * per_head, d_model);
  }
  if (config.has_sinks) weights.sinks = place_.vector(names.sinks, layer, config.n_heads);
  return std::make_unique<Attention>(config, weights, config_.norm_epsilon);
}

std::unique_ptr<FeedForward> DecoderBuilder::dense_ffn(int32_t layer, const FfnNames& names,
                                                       const DenseFfnScales& scales) {
  const int64_t d_model = config_.d_model, d_ffn = layer_config(layer).d_ffn;
  DenseFfnWeights weights;
  weights.gate = place_.matrix(names.gate, layer, d_ffn, d_model);
  weights.up = place_.matrix(names.up, layer, d_ffn, d_model);
  weights.down = place_.matrix(names.down, layer, d_model, d_ffn);
  weights.gate_bias = place_.optional_vector(names.gate_bias, layer, d_ffn);
  weights.up_bias = place_.optional_vector(names.up_bias, layer, d_ffn);
  weights.down_bias = place_.optional_vector(names.down_bias, layer, d_model);
  return std::make_unique<DenseFfn>(layer_config(layer).activation, weights, scales);
}

void DecoderBuilder::add(std::unique_ptr<Block> block) { blocks_.push_back(std::move(block)); }

Result<ModelParts> DecoderBuilder::finish() {
  CHECK(static_cast<int32_t>(blocks_.size()) == config_.n_layers(), "a layer was left out");
  ModelParts parts;
  parts.embedding = embedding();
  parts.output_norm = norm(names_.output_norm, -1);
  parts.output =
      config_.tied_embedding ? parts.embedding : place_.matrix(names_.output, -1, config_.vocab_size, config_.d_model);
  ORRERY_RETURN_IF_ERROR(place_.status());
  ORRERY_RETURN_IF_ERROR(place_.check_all_taken(names_.layers));
  parts.blocks = std::move(blocks_);
  parts.memory = place_.take_memory();
  parts.remade = place_.take_remade();
  parts.config = std::move(config_);
  return parts;
}

Result<ModelParts> build_pre_norm_decoder(const ModelFile& file, ModelConfig config, const Placement& placement) {
  constexpr TensorName kAttentionNorm{"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"};
  constexpr TensorName kFfnNorm{"blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight"};
  DecoderBuilder decoder(file, std::move(config), placement);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kAttentionNorm, layer);
    norms.before_ffn = decoder.norm(kFfnNorm, layer);
    decoder.add(std::make_unique<ResidualBlock>(norms, decoder.attention(layer), decoder.dense_ffn(layer)));
  }
  return decoder.finish();
}

}  // namespace orrery
