// llama: pre-norm blocks of grouped-query attention and SwiGLU (Touvron et al. 2023).
// Reference class: transformers LlamaForCausalLM.
#pragma once

#include "engine/config.h"
#include "engine/model_file.h"

namespace orrery {

Result<ModelConfig> read_llama_config(const ModelFile& file);

}  // namespace orrery
