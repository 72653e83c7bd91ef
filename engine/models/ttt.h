// TTT: test-time training layers in place of attention, TTT-Linear or TTT-MLP (Sun et al. 2024). Reference class:
// TTTForCausalLM of the authors' ttt-lm-pytorch.
#pragma once

#include "engine/config.h"
#include "engine/model.h"
#include "engine/model_file.h"

namespace orrery {

Result<ModelConfig> read_ttt_config(const ModelFile& file);
Result<ModelParts> build_ttt(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
