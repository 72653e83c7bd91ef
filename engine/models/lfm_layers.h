// What LFM2, its mixture of experts and LFM3 share: names, kinds of layers, gated short convolutions.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/models/decoder_builder.h"

namespace orrery {

// Settings of these models are spelled otherwise than most, and the norm before the unembedding is embedding_norm.
DecoderTraits lfm_traits();

// d_model, vocabulary, epsilon, tied embedding, and as many layers as there are, empty.
Result<ModelConfig> read_lfm_sizes(const ModelFile& file);

// "conv", "full_attention" or, with has_windows, "sliding_attention" for each layer: config.json's layer_types, else
// `usual`; in GGUF a layer without key heads convolves. kInvalidFile for a list of another length, kUnsupported for
// another word.
Result<std::vector<std::string>> lfm_layer_types(const ModelFile& file, int32_t n_layers, bool has_windows,
                                                 std::string_view (*usual)(int32_t layer));

// Sets the mixers of the layers, and the sizes of those that convolve.
Result<void> read_lfm_mixers(const ModelFile& file, const std::vector<std::string>& types, ModelConfig& config);

// The layer's gated convolution, or its attention with these names.
std::unique_ptr<Mixer> lfm_mixer(DecoderBuilder& decoder, int32_t layer, const AttentionNames& attention_names);

inline constexpr AttentionNames kLfm2Attention{
    .output = {"blk.{}.attn_output.weight", "model.layers.{}.self_attn.out_proj.weight"},
    .q_norm = {"blk.{}.attn_q_norm.weight", "model.layers.{}.self_attn.q_layernorm.weight"},
    .k_norm = {"blk.{}.attn_k_norm.weight", "model.layers.{}.self_attn.k_layernorm.weight"}};
inline constexpr FfnNames kLfmFfn{.gate = {"blk.{}.ffn_gate.weight", "model.layers.{}.feed_forward.w1.weight"},
                                  .up = {"blk.{}.ffn_up.weight", "model.layers.{}.feed_forward.w3.weight"},
                                  .down = {"blk.{}.ffn_down.weight", "model.layers.{}.feed_forward.w2.weight"}};
inline constexpr TensorName kLfmMixerNorm{"blk.{}.attn_norm.weight", "model.layers.{}.operator_norm.weight"};
inline constexpr TensorName kLfmFfnNorm{"blk.{}.ffn_norm.weight", "model.layers.{}.ffn_norm.weight"};

}  // namespace orrery
