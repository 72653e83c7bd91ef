// OLMo Hybrid: gated delta nets with norms before mixer and feed-forward, and in every few layers attention with norms
// behind both; its heads are normed as one, and mostly do not turn. Reference class OlmoHybridForCausalLM.
#pragma once

#include "engine/model.h"

namespace orrery {

Result<ModelConfig> read_olmo_hybrid_config(const ModelFile& file);
Result<ModelParts> build_olmo_hybrid(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
