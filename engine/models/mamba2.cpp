#include "engine/models/mamba2.h"

#include "engine/blocks/residual_block.h"
#include "engine/models/backbone.h"
#include "engine/models/mamba2_layers.h"

namespace orrery {

namespace {

constexpr Mamba2Keys kKeys{.expansion = {"", "expand"},
                           .bias = "use_bias",
                           .taps_bias = "use_conv_bias",
                           .usual_groups = 8};  // of transformers' Mamba2Config

}  // namespace

Result<ModelConfig> read_mamba2_config(const ModelFile& file) {
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_backbone_sizes(file, false));
  ORRERY_RETURN_IF_ERROR(read_mamba2_layers(file, kKeys, {}, config));
  return config;
}

Result<ModelParts> build_mamba2(const ModelFile& file, ModelConfig config, const Placement& placement) {
  DecoderBuilder decoder(file, std::move(config), placement, 0.0f, backbone_names(file));
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kBackboneNorm, layer);
    ORRERY_ASSIGN_OR_RETURN(const Mamba2Config mixer, mamba2_config(file, kKeys, decoder.config(), layer));
    decoder.add(std::make_unique<ResidualBlock>(
        norms, std::make_unique<Mamba2Mixer>(mixer, mamba2_weights(decoder, layer, {})), nullptr));
  }
  return decoder.finish();
}

}  // namespace orrery
