// Jamba: Mamba layers with normed steps of time, inputs and outputs, attention without positions in every few, and
// experts in every few. Source: Lieber et al. 2024, reference class JambaForCausalLM.
#pragma once

#include "engine/model.h"

namespace orrery {

Result<ModelConfig> read_jamba_config(const ModelFile& file);
Result<ModelParts> build_jamba(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
