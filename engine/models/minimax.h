// minimax: lightning attention (a state with fixed decays) in most layers and softmax attention in the others, experts
// as in mixtral; the stream itself is normed (MiniMax 2025). Reference class: transformers MiniMaxForCausalLM.
#pragma once

#include "engine/config.h"
#include "engine/model.h"
#include "engine/model_file.h"

namespace orrery {

Result<ModelConfig> read_minimax_config(const ModelFile& file);
Result<ModelParts> build_minimax(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
