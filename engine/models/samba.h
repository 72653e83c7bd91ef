// Samba: layers of Mamba and of windowed attention, each with a SwiGLU (Ren et al. 2024).
// Reference class: flash-linear-attention's SambaForCausalLM.
#pragma once

#include "engine/config.h"
#include "engine/model.h"
#include "engine/model_file.h"

namespace orrery {

Result<ModelConfig> read_samba_config(const ModelFile& file);
Result<ModelParts> build_samba(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
