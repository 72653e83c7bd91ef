// huginn_raven: layers before a loop, layers that are repeated from a random state with the stream put in again every
// time, and layers behind it (Geiping et al. 2025). Reference class: RavenForCausalLM, of the authors' repository
// seal-rg/recurrent-pretraining.
#pragma once

#include "engine/config.h"
#include "engine/model.h"
#include "engine/model_file.h"

namespace orrery {

Result<ModelConfig> read_huginn_config(const ModelFile& file);
Result<ModelParts> build_huginn(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
