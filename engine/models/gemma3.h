// gemma3: five windowed layers to a full one, each kind with its own rotation; norms before and after every part and on
// queries and keys; GeGLU; scaled embeddings (Gemma Team 2025). A vision tower beside it is left aside.
// Reference class: transformers Gemma3ForCausalLM.
#pragma once

#include "engine/model.h"

namespace orrery {

Result<ModelConfig> read_gemma3_config(const ModelFile& file);
Result<ModelParts> build_gemma3(const ModelFile& file, ModelConfig config, Backend& backend);

}  // namespace orrery
