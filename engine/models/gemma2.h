// gemma2: every other layer has a window; scores and logits are capped (Gemma Team 2024).
// Reference class: transformers Gemma2ForCausalLM.
#pragma once

#include "engine/config.h"
#include "engine/model_file.h"

namespace orrery {

Result<ModelConfig> read_gemma2_config(const ModelFile& file);

}  // namespace orrery
