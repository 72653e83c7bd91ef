// LFM2: x += operator(norm(x)), a gated short convolution or attention over normed queries and keys; x +=
// SwiGLU(norm(x)). Source: Liquid AI 2025, reference class Lfm2ForCausalLM.
#pragma once

#include "engine/model.h"

namespace orrery {

Result<ModelConfig> read_lfm2_config(const ModelFile& file);
Result<ModelParts> build_lfm2(const ModelFile& file, ModelConfig config, const Placement& placement);

// All but the feed-forwards, whose kinds must be set: for LFM2 and its mixture of experts.
Result<void> read_lfm2_operators(const ModelFile& file, ModelConfig& config);

}  // namespace orrery
