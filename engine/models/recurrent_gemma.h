// recurrent_gemma (Griffin): gated linear recurrences, windowed attention in between. Sources: De et al. 2024
// (Griffin); Botev et al. 2024 (RecurrentGemma); reference class RecurrentGemmaForCausalLM.
#pragma once

#include "engine/config.h"
#include "engine/model.h"
#include "engine/model_file.h"

namespace orrery {

Result<ModelConfig> read_recurrent_gemma_config(const ModelFile& file);
Result<ModelParts> build_recurrent_gemma(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
