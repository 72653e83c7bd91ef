// Zamba2: Mamba-2 in every layer; before some of them runs one of a few transformer blocks that the layers share, in
// turn, with adapters of each layer's own. Reference class Zamba2ForCausalLM.
#pragma once

#include "engine/model.h"

namespace orrery {

Result<ModelConfig> read_zamba2_config(const ModelFile& file);
Result<ModelParts> build_zamba2(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
