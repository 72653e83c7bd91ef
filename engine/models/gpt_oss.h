// gpt_oss: attention with sinks, windowed in every other layer, and experts with biases whose gates and ups are clipped
// (OpenAI 2025). Reference class: transformers GptOssForCausalLM.
#pragma once

#include "engine/config.h"
#include "engine/model.h"
#include "engine/model_file.h"

namespace orrery {

Result<ModelConfig> read_gpt_oss_config(const ModelFile& file);
Result<ModelParts> build_gpt_oss(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
