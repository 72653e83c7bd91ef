// olmoe: experts in every layer; queries and keys are normed over all heads as one, and may be clipped (Muennighoff et
// al. 2024). Reference class: transformers OlmoeForCausalLM.
#pragma once

#include "engine/config.h"
#include "engine/model.h"
#include "engine/model_file.h"

namespace orrery {

Result<ModelConfig> read_olmoe_config(const ModelFile& file);
Result<ModelParts> build_olmoe(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
