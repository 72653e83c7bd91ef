// RetNet: retention, a state whose decay is fixed for each head, in place of attention (Sun et al. 2023); layers of
// softmax attention may stand between. Reference class: flash-linear-attention's RetNetForCausalLM.
#pragma once

#include "engine/config.h"
#include "engine/model.h"
#include "engine/model_file.h"

namespace orrery {

Result<ModelConfig> read_retnet_config(const ModelFile& file);
Result<ModelParts> build_retnet(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
