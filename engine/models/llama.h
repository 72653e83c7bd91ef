// llama: pre-norm blocks of grouped-query attention and SwiGLU (Touvron et al. 2023).
// Reference class: transformers LlamaForCausalLM.
#pragma once

#include "engine/config.h"
#include "engine/model.h"
#include "engine/model_file.h"

namespace orrery {

// A GGUF file with experts is a mixtral.
Result<ModelConfig> read_llama_config(const ModelFile& file);
Result<ModelParts> build_llama(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
