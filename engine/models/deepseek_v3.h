// DeepSeek-V3: latent attention; experts chosen from the best groups by sigmoid scores with a bias for choosing alone,
// beside a shared one, in all layers but the first. DeepSeek-V2: the same with softmax scores. Sources: DeepSeek-AI
// 2024 (DeepSeek-V2, DeepSeek-V3), reference classes DeepseekV2ForCausalLM, DeepseekV3ForCausalLM.
#pragma once

#include "engine/model.h"

namespace orrery {

Result<ModelConfig> read_deepseek_v3_config(const ModelFile& file);
Result<ModelParts> build_deepseek_v3(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
