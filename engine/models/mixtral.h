// mixtral: llama with experts in every layer, the chosen ones' probabilities renormalised (Jiang et al. 2024). In GGUF
// it is stored as llama. Reference class: transformers MixtralForCausalLM.
#pragma once

#include "engine/models/moe_layers.h"

namespace orrery {

// Where a file has the experts; minimax has them there too.
MoeNames mixtral_names(const ModelFile& file);

Result<ModelConfig> read_mixtral_config(const ModelFile& file);
Result<ModelParts> build_mixtral(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
