// LFM3: LFM2 with windows, a gate per head, norms behind its parts too, and in full layers a rotation of some pairs
// only. Reference class Lfm3ForCausalLM.
#pragma once

#include "engine/model.h"

namespace orrery {

Result<ModelConfig> read_lfm3_config(const ModelFile& file);
Result<ModelParts> build_lfm3(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
