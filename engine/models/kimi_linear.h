// Kimi Linear: delta nets whose decays differ by channel, and in every few layers latent attention without positions;
// experts as DeepSeek-V3's. Source: Kimi Team 2025 (Kimi Linear), reference class KimiLinearForCausalLM.
#pragma once

#include "engine/model.h"

namespace orrery {

Result<ModelConfig> read_kimi_linear_config(const ModelFile& file);
Result<ModelParts> build_kimi_linear(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
