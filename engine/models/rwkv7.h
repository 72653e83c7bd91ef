// RWKV-7 (Peng et al. 2025, "Goose"): a matrix state that decays by channel and erases what a key of its own recalls,
// in place of attention; token shifts in both parts of a layer; layer norms. References: llama.cpp's rwkv7 for GGUF,
// flash-linear-attention's RWKV7ForCausalLM for folders.
#pragma once

#include "engine/config.h"
#include "engine/model.h"
#include "engine/model_file.h"

namespace orrery {

Result<ModelConfig> read_rwkv7_config(const ModelFile& file);
Result<ModelParts> build_rwkv7(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
