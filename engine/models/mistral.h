// mistral: llama with one window for all layers (Jiang et al. 2023). mistral3 is the same with a vision tower beside
// it, which is left aside. In GGUF it is stored as llama, or as mistral3.
// Reference class: transformers MistralForCausalLM.
#pragma once

#include "engine/config.h"
#include "engine/model_file.h"

namespace orrery {

Result<ModelConfig> read_mistral_config(const ModelFile& file);

}  // namespace orrery
