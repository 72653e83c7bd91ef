// Qwen3-Next: gated delta nets, and in every few layers attention whose output is gated element by element; experts
// with a gated shared one, or a feed-forward. Norms multiply by 1 + weight, but for the delta nets' own. Reference
// class Qwen3NextForCausalLM.
#pragma once

#include "engine/model.h"

namespace orrery {

Result<ModelConfig> read_qwen3_next_config(const ModelFile& file);
Result<ModelParts> build_qwen3_next(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
