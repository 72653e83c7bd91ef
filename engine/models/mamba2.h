// Mamba-2: x += mixer(norm(x)), the mixer a state space with one decay a head.
// Source: Dao and Gu 2024, reference class Mamba2ForCausalLM.
#pragma once

#include "engine/model.h"

namespace orrery {

Result<ModelConfig> read_mamba2_config(const ModelFile& file);
Result<ModelParts> build_mamba2(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
