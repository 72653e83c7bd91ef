// loopformer: all layers are repeated, and are told how far the loop is and how long its steps are (Jeddi et al. 2026).
// Reference: models/loopformer.py of the authors' repository armenjeddi/loopformer; settings and names as its
// from_pretrained takes them.
#pragma once

#include "engine/config.h"
#include "engine/model.h"
#include "engine/model_file.h"

namespace orrery {

Result<ModelConfig> read_loopformer_config(const ModelFile& file);
Result<ModelParts> build_loopformer(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
