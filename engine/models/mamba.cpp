#include "engine/models/mamba.h"

#include "engine/blocks/residual_block.h"
#include "engine/models/backbone.h"
#include "engine/models/mamba_layers.h"

namespace orrery {

Result<ModelConfig> read_mamba_config(const ModelFile& file) {
  ORRERY_ASSIGN_OR_RETURN(ModelConfig config, read_backbone_sizes(file, true));
  ORRERY_RETURN_IF_ERROR(read_mamba_layers(file, {}, {}, config));
  return config;
}

Result<ModelParts> build_mamba(const ModelFile& file, ModelConfig config, const Placement& placement) {
  const bool is_gguf = file.format() == ModelFile::Format::kGguf;
  bool norms_parts = file.architecture() == "falcon_mamba";
  if (is_gguf) {
    ORRERY_ASSIGN_OR_RETURN(norms_parts, file.boolean({"ssm.dt_b_c_rms", ""}, false));
  }
  // GGUF has one epsilon for all norms.
  ORRERY_ASSIGN_OR_RETURN(const double epsilon,
                          file.number({"attention.layer_norm_rms_epsilon", "mixer_rms_eps"}, 1e-6));
  DecoderBuilder decoder(file, std::move(config), placement, 0.0f, backbone_names(file));
  for (int32_t layer = 0; layer < decoder.n_layers(); ++layer) {
    BlockNorms norms{.epsilon = decoder.norm_epsilon()};
    norms.before_mixer = decoder.norm(kBackboneNorm, layer);
    auto mixer = mamba_mixer(decoder, layer, {}, norms_parts ? MambaNorms::kUnweighted : MambaNorms::kNone,
                             static_cast<float>(epsilon));
    decoder.add(std::make_unique<ResidualBlock>(norms, std::move(mixer), nullptr));
  }
  return decoder.finish();
}

}  // namespace orrery
