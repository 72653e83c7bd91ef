#include "engine/models/falcon_h1.h"

#include <algorithm>
#include <utility>

#include "engine/blocks/dense_ffn.h"
#include "engine/blocks/parallel_mixers.h"
#include "engine/blocks/residual_block.h"
#include "engine/models/mamba2_layers.h"

namespace orrery {

namespace {

constexpr DecoderTraits kTraits{.usual_epsilon = 1e-5,
                                .names = {.output_norm = {"output_norm.weight", "model.final_layernorm.weight"}}};
constexpr TensorName kMixerNorm{"blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight"};
constexpr TensorName kFfnNorm{"blk.{}.ffn_norm.weight", "model.layers.{}.pre_ff_layernorm.weight"};
constexpr TensorName kConvertedFfnNorm{"blk.{}.ffn_norm", ""};  // as llama.cpp's converter calls it
constexpr FfnNames kFfn{.gate = {"blk.{}.ffn_gate.weight", "model.layers.{}.feed_forward.gate_proj.weight"},
                        .up = {"blk.{}.ffn_up.weight", "model.layers.{}.feed_forward.up_proj.weight"},
                        .down = {"blk.{}.ffn_down.weight", "model.layers.{}.feed_forward.down_proj.weight"},
                        .gate_bias = {"blk.{}.ffn_gate.bias", "model.layers.{}.feed_forward.gate_proj.bias"},
                        .up_bias = {"blk.{}.ffn_up.bias", "model.layers.{}.feed_forward.up_proj.bias"},
                        .down_bias = {"blk.{}.ffn_down.bias", "model.layers.{}.feed_forward.down_proj.bias"}};

// The factors that config.json states; in a GGUF file all are 1.
struct Factors {
  float attention_in = 1.0f, attention_out = 1.0f, state_in = 1.0f, state_out = 1.0f;
  std::array<float, 5> state_parts{1.0f, 1.0f, 1.0f, 1.0f, 1.0f};  // z, x, B, C, dt
  DenseFfnScales ffn;
};

Result<float> factor(const ModelFile& file, std::string_view name) {
  ORRERY_ASSIGN_OR_RETURN(const double value, file.number({"", name}, 1.0));
  return static_cast<float>(value);
}

Result<Factors> read_factors(const ModelFile& file) {
  Factors factors;
  ORRERY_ASSIGN_OR_RETURN(factors.attention_in, factor(file, "attention_in_multiplier"));
  ORRERY_ASSIGN_OR_RETURN(factors.attention_out, factor(file, "attention_out_multiplier"));
  ORRERY_ASSIGN_OR_RETURN(factors.state_in, factor(file, "ssm_in_multiplier"));
  ORRERY_ASSIGN_OR_RETURN(factors.state_out, factor(file, "ssm_out_multiplier"));
  if (constexpr ConfigKey kParts{"", "ssm_multipliers"}; file.has(kParts)) {
    ORRERY_ASSIGN_OR_RETURN(const std::vector<double> parts, file.numbers(kParts, 5));
    std::ranges::transform(parts, factors.state_parts.begin(), [](double x) { return static_cast<float>(x); });
  }
  if (constexpr ConfigKey kFfnFactors{"", "mlp_multipliers"}; file.has(kFfnFactors)) {
    ORRERY_ASSIGN_OR_RETURN(const std::vector<double> of_ffn, file.numbers(kFfnFactors, 2));
    factors.ffn = {.gate = static_cast<float>(of_ffn[0]), .out = static_cast<float>(of_ffn[1])};
  }
  return factors;
}

// What a GGUF file normed has a weight for it, and is gated first.
Result<GatedNorm> gated_norm(const ModelFile& file) {
  if (file.format() == ModelFile::Format::kGguf) {
    return file.find(kMamba2Part.norm, 0) != nullptr ? GatedNorm::kGateThenNorm : GatedNorm::kGateAlone;
  }
  ORRERY_ASSIGN_OR_RETURN(const bool is_normed, file.boolean({"", "mamba_rms_norm"}, false));
  ORRERY_ASSIGN_OR_RETURN(const bool norms_first, file.boolean({"", "mamba_norm_before_gate"}, true));
  if (!is_normed) return GatedNorm::kGateAlone;
  return norms_first ? GatedNorm::kNormThenGate : GatedNorm::kGateThenNorm;
}

Result<std::unique_ptr<Mixer>> mixers(const ModelFile& file, const Factors& factors, DecoderBuilder& decoder,
                                      int32_t layer) {
  ORRERY_ASSIGN_OR_RETURN(Mamba2Config config, mamba2_config(file, mamba2_part_keys(file), decoder.config(), layer));
  ORRERY_ASSIGN_OR_RETURN(config.gated_norm, gated_norm(file));
  config.in_scale = factors.state_in;
  config.part_scales = factors.state_parts;
  const bool is_normed = config.gated_norm != GatedNorm::kGateAlone;
  auto state = std::make_unique<Mamba2Mixer>(config, mamba2_weights(decoder, layer, kMamba2Part, is_normed));
  std::vector<ScaledMixer> both;
  both.push_back({.mixer = std::move(state), .out_scale = factors.state_out});
  both.push_back(
      {.mixer = decoder.attention(layer), .in_scale = factors.attention_in, .out_scale = factors.attention_out});
  return std::unique_ptr<Mixer>(std::make_unique<ParallelMixers>(std::move(both)));
}

}  // namespace

Result<ModelConfig> read_falcon_h1_config(const ModelFile& file) {
  ORRERY_RETURN_IF_ERROR(refuse_foreign_quantization(file));
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_sizes(file, kTraits));
  for (LayerConfig& layer : config.layers) layer.mixers = {MixerKind::kMatrixState, MixerKind::kAttention};
  ORRERY_RETURN_IF_ERROR(read_mamba2_layers(file, mamba2_part_keys(file), kMamba2Part, config));
  ORRERY_RETURN_IF_ERROR(read_attention(file, kTraits, {}, config));
  ORRERY_RETURN_IF_ERROR(read_rotation(file, {}, config));
  ORRERY_RETURN_IF_ERROR(read_dense_ffn(file, kTraits, kFfn, config));
  ORRERY_ASSIGN_OR_RETURN(config.embedding_scale, factor(file, "embedding_multiplier"));
  ORRERY_ASSIGN_OR_RETURN(config.logit_scale, factor(file, "lm_head_multiplier"));
  // Keys are multiplied before they turn; so may scores be.
  ORRERY_ASSIGN_OR_RETURN(const float of_keys, factor(file, "key_multiplier"));
  for (LayerConfig& layer : config.layers) layer.attention.scale *= of_keys;
  return config;
}

Result<ModelParts> build_falcon_h1(const ModelFile& file, ModelConfig config, const Placement& placement) {
  ORRERY_ASSIGN_OR_RETURN(const Factors factors, read_factors(file));
  DecoderBuilder decoder(file, std::move(config), placement, 0.0f, kTraits.names);
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kMixerNorm, layer);
    norms.before_ffn = decoder.norm(file.which({kFfnNorm, kConvertedFfnNorm}, layer), layer);
    ORRERY_ASSIGN_OR_RETURN(std::unique_ptr<Mixer> both, mixers(file, factors, decoder, layer));
    decoder.add(std::make_unique<ResidualBlock>(norms, std::move(both), decoder.dense_ffn(layer, kFfn, factors.ffn)));
  }
  return decoder.finish();
}

}  // namespace orrery
