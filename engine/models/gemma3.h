// gemma3: five windowed layers to a full one, each kind with its own rotation; queries and keys are normed head by head
// (Gemma Team 2025). A vision tower beside it is left aside.
// Reference class: transformers Gemma3ForCausalLM.
#pragma once

#include "engine/config.h"
#include "engine/model_file.h"

namespace orrery {

Result<ModelConfig> read_gemma3_config(const ModelFile& file);

}  // namespace orrery
