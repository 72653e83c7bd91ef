// llama: pre-norm blocks of grouped-query attention and SwiGLU. Reference class: transformers LlamaForCausalLM.
#pragma once

#include "engine/model.h"

namespace orrery {

Result<ModelConfig> read_llama_config(const ModelFile& file);
Result<ModelParts> build_llama(const ModelFile& file, ModelConfig config, Backend& backend);

}  // namespace orrery
