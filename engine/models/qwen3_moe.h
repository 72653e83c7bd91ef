// qwen3_moe: qwen3 with experts in place of some or all feed-forwards (Qwen Team 2025).
// Reference class: transformers Qwen3MoeForCausalLM.
#pragma once

#include "engine/config.h"
#include "engine/model.h"
#include "engine/model_file.h"

namespace orrery {

Result<ModelConfig> read_qwen3_moe_config(const ModelFile& file);
Result<ModelParts> build_qwen3_moe(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
