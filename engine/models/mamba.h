// Mamba and Falcon Mamba: x += mixer(norm(x)), the mixer a selective state space whose steps of time, inputs and
// outputs Falcon Mamba norms. Sources: Gu and Dao 2023; Zuo et al. 2024; reference classes MambaForCausalLM,
// FalconMambaForCausalLM.
#pragma once

#include "engine/model.h"

namespace orrery {

Result<ModelConfig> read_mamba_config(const ModelFile& file);
Result<ModelParts> build_mamba(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
