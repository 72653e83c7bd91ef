// Granite 4.0 H: x += r mixer(norm(x)), x += r (experts(n) + shared(n)), n = norm(x); the mixer Mamba-2 or attention,
// mostly without rotation; r, the embedding, the scores and the logits have factors of their own; without experts the
// shared feed-forward is alone. Bamba: the same without factors and experts, its attention turning half of every head;
// a GGUF file calls both granitehybrid. Reference classes GraniteMoeHybridForCausalLM, BambaForCausalLM.
#pragma once

#include "engine/model.h"

namespace orrery {

Result<ModelConfig> read_granite_hybrid_config(const ModelFile& file);
Result<ModelParts> build_granite_hybrid(const ModelFile& file, ModelConfig config, const Placement& placement);

Result<ModelConfig> read_bamba_config(const ModelFile& file);
Result<ModelParts> build_bamba(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
