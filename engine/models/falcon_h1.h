// Falcon-H1: in every layer attention and Mamba-2 read the same norm(x) and their outputs are summed, then SwiGLU;
// every product has a factor (muP), which a GGUF file has in its weights. Reference class FalconH1ForCausalLM.
#pragma once

#include "engine/model.h"

namespace orrery {

Result<ModelConfig> read_falcon_h1_config(const ModelFile& file);
Result<ModelParts> build_falcon_h1(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
