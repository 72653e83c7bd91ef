// What architectures of flash-linear-attention share: names, the softmax layers that config.json lists under `attn`,
// blocks.
#pragma once

#include "engine/models/decoder_builder.h"

namespace orrery {

// Sizes, and layers that have a matrix state and a SwiGLU. kUnsupported for settings that are not computed.
Result<ModelConfig> read_fla_sizes(const ModelFile& file, const DecoderTraits& traits, const FfnNames& ffn);

// The layers that `attn` lists become softmax attention: one description {"layers", "num_heads", "num_kv_heads",
// "window_size", "rope_theta"}, or a list of such. Heads are d_model / num_heads wide. kInvalidFile for layers that are
// not there or listed twice, and for heads that do not fit.
Result<void> read_listed_attention(const ModelFile& file, ModelConfig& config);

}  // namespace orrery
