// What Gemma 2 and 3 share: norms before and after every part that multiply by 1 + w, GeGLU, scaled embeddings, a scale
// of scores and caps of their own.
#pragma once

#include "engine/model.h"
#include "engine/models/decoder_config.h"

namespace orrery {

// Scale of embeddings and scores. n_layers_27b: of the family's model whose scores are scaled otherwise, which a GGUF
// file does not say.
Result<void> read_gemma_scales(const ModelFile& file, int32_t n_layers_27b, ModelConfig& config);
// The cap of scores or logits; 0: none. `fallback` where nothing is said; null says that there is none.
Result<float> read_cap(const ModelFile& file, ConfigKey key, double fallback);

inline constexpr ConfigKey kScoreCap{"attn_logit_softcapping", "attn_logit_softcapping"};
inline constexpr ConfigKey kLogitCap{"final_logit_softcapping", "final_logit_softcapping"};

Result<ModelParts> build_gemma(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
