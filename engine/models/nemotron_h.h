// Nemotron-H and Nemotron 3: x += mixer(norm(x)), the mixer of a layer being Mamba-2, attention without rotation, a
// feed-forward of squared ReLU, or experts of the same (sigmoid scores, groups, a latent space around them, a shared
// expert). Reference class NemotronHForCausalLM.
#pragma once

#include "engine/model.h"

namespace orrery {

Result<ModelConfig> read_nemotron_h_config(const ModelFile& file);
Result<ModelParts> build_nemotron_h(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
