// LFM2 with experts: LFM2 whose layers, but for the first ones, have a mixture of experts, chosen by sigmoid scores
// with a bias for choosing alone. Source: Liquid AI 2025, reference class Lfm2MoeForCausalLM.
#pragma once

#include "engine/model.h"

namespace orrery {

Result<ModelConfig> read_lfm2_moe_config(const ModelFile& file);
Result<ModelParts> build_lfm2_moe(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
