#include "engine/models/samba.h"

#include <memory>
#include <utility>

#include "engine/blocks/residual_block.h"
#include "engine/models/backbone.h"
#include "engine/models/fla_layers.h"
#include "engine/models/mamba_layers.h"

namespace orrery {

namespace {

constexpr AttentionNames kAttention{.q = {"", "backbone.layers.{}.mixer.q_proj.weight"},
                                    .k = {"", "backbone.layers.{}.mixer.k_proj.weight"},
                                    .v = {"", "backbone.layers.{}.mixer.v_proj.weight"},
                                    .output = {"", "backbone.layers.{}.mixer.o_proj.weight"},
                                    .q_bias = {"", "backbone.layers.{}.mixer.q_proj.bias"},
                                    .k_bias = {"", "backbone.layers.{}.mixer.k_proj.bias"},
                                    .v_bias = {"", "backbone.layers.{}.mixer.v_proj.bias"},
                                    .output_bias = {}};
constexpr FfnNames kFfn{.gate = {"", "backbone.layers.{}.mlp.gate_proj.weight"},
                        .up = {"", "backbone.layers.{}.mlp.up_proj.weight"},
                        .down = {"", "backbone.layers.{}.mlp.down_proj.weight"},
                        .gate_bias = {},
                        .up_bias = {},
                        .down_bias = {}};
constexpr TensorName kMixerNorm{"", "backbone.layers.{}.mixer_norm.weight"};
constexpr TensorName kFfnNorm{"", "backbone.layers.{}.mlp_norm.weight"};

}  // namespace

Result<ModelConfig> read_samba_config(const ModelFile& file) {
  const DecoderTraits traits{.epsilon_key = {"", "norm_eps"}, .usual_epsilon = 1e-5, .names = backbone_names(file)};
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_fla_sizes(file, traits, kFfn));
  constexpr ConfigKey kListed{"", "attn"};
  const bool lists = file.has(kListed) || file.is_null(kListed);
  // Sizes of the class's where config.json has nothing.
  ORRERY_RETURN_IF_ERROR(lists ? read_listed_attention(file, config)
                               : read_alternating_attention(file, {.n_heads = 18, .window = 2048}, config));
  ORRERY_RETURN_IF_ERROR(read_mamba_layers(file, {}, {}, config));
  return config;
}

Result<ModelParts> build_samba(const ModelFile& file, ModelConfig config, const Placement& placement) {
  DecoderBuilder decoder(file, std::move(config), placement, 0.0f, backbone_names(file));
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kMixerNorm, layer);
    norms.before_ffn = decoder.norm(kFfnNorm, layer);
    const bool has_state = decoder.layer_config(layer).has(MixerKind::kMatrixState);
    auto mixer =
        has_state ? mamba_mixer(decoder, layer, {}, MambaNorms::kNone, 0.0f) : decoder.attention(layer, kAttention);
    decoder.add(std::make_unique<ResidualBlock>(norms, std::move(mixer), fla_ffn(decoder, layer, kFfn)));
  }
  return decoder.finish();
}

}  // namespace orrery
