// What architectures of flash-linear-attention share: names, the softmax layers that config.json lists under `attn`,
// blocks.
#pragma once

#include <memory>

#include "engine/models/decoder_builder.h"

namespace orrery {

// Sizes, and layers that have a matrix state and a SwiGLU. kUnsupported for settings that are not computed.
Result<ModelConfig> read_fla_sizes(const ModelFile& file, const DecoderTraits& traits, const FfnNames& ffn);

// A layer's SwiGLU; the first versions have gates and ups in one matrix, gates first, named as the gates.
std::unique_ptr<FeedForward> fla_ffn(DecoderBuilder& decoder, int32_t layer, const FfnNames& names);

// The layers that `attn` lists become softmax attention: one description {"layers", "num_heads", "num_kv_heads",
// "window_size", "rope_theta"}, or a list of such. Heads are d_model / num_heads wide. kInvalidFile for layers that are
// not there or listed twice, and for heads that do not fit.
Result<void> read_listed_attention(const ModelFile& file, ModelConfig& config);

// Softmax attention in every other layer, from the second on, by settings outside of `attn`: the first versions' way.
struct UsualAttention {
  int64_t n_heads = 0;  // also of keys and values
  int64_t window = 0;
};
Result<void> read_alternating_attention(const ModelFile& file, const UsualAttention& usual, ModelConfig& config);

}  // namespace orrery
