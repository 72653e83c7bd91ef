// Ouro (LoopLM): the whole stack of layers gone through several times with the same weights, the final norm after every
// time, and a gate that says where to stop. As published the gate decides which time is read, not what is computed: all
// times are. Source: Zhu et al. 2025 (arXiv 2510.25741); reference class OuroForCausalLM, of the weights' own code.
#pragma once

#include "engine/model.h"

namespace orrery {

Result<ModelConfig> read_ouro_config(const ModelFile& file);
Result<ModelParts> build_ouro(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
