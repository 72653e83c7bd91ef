// qwen3: llama whose heads norm their queries and keys before they turn; windows as in qwen2 (Qwen Team 2025).
// Reference class: transformers Qwen3ForCausalLM.
#pragma once

#include "engine/config.h"
#include "engine/model_file.h"

namespace orrery {

Result<ModelConfig> read_qwen3_config(const ModelFile& file);

}  // namespace orrery
