// What the settings of decoders have in common: sizes, heads, rotations, windows, in both formats' spellings. The file
// of an architecture calls the pieces that its model has and adds what is its own.
#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/config.h"
#include "engine/model_file.h"
#include "engine/models/rope_reader.h"

namespace orrery {

// Tensors of a decoder, as most of them are called. Hugging Face names begin with the decoder's place, "model.", which
// ModelFile puts right where it stands elsewhere.
inline constexpr TensorName kEmbedding{"token_embd.weight", "model.embed_tokens.weight"};
inline constexpr TensorName kOutputNorm{"output_norm.weight", "model.norm.weight"};
inline constexpr TensorName kOutput{"output.weight", "lm_head.weight"};

// Those outside the layers, and what the layers' names begin with.
struct DecoderNames {
  TensorName embedding = kEmbedding;
  TensorName output_norm = kOutputNorm;
  TensorName output = kOutput;
  TensorName layers{"blk.", "model.layers."};
};

struct AttentionNames {
  TensorName q{"blk.{}.attn_q.weight", "model.layers.{}.self_attn.q_proj.weight"};
  TensorName k{"blk.{}.attn_k.weight", "model.layers.{}.self_attn.k_proj.weight"};
  TensorName v{"blk.{}.attn_v.weight", "model.layers.{}.self_attn.v_proj.weight"};
  TensorName output{"blk.{}.attn_output.weight", "model.layers.{}.self_attn.o_proj.weight"};
  TensorName q_bias{"blk.{}.attn_q.bias", "model.layers.{}.self_attn.q_proj.bias"};
  TensorName k_bias{"blk.{}.attn_k.bias", "model.layers.{}.self_attn.k_proj.bias"};
  TensorName v_bias{"blk.{}.attn_v.bias", "model.layers.{}.self_attn.v_proj.bias"};
  TensorName output_bias{"blk.{}.attn_output.bias", "model.layers.{}.self_attn.o_proj.bias"};
  TensorName q_norm{"blk.{}.attn_q_norm.weight", "model.layers.{}.self_attn.q_norm.weight"};
  TensorName k_norm{"blk.{}.attn_k_norm.weight", "model.layers.{}.self_attn.k_norm.weight"};
  TensorName sinks{"blk.{}.attn_sinks.weight", "model.layers.{}.self_attn.sinks"};
  TensorName gate{"", "model.layers.{}.self_attn.gate_proj.weight"};  // an output gate's projection
};

struct FfnNames {
  TensorName gate{"blk.{}.ffn_gate.weight", "model.layers.{}.mlp.gate_proj.weight"};
  TensorName up{"blk.{}.ffn_up.weight", "model.layers.{}.mlp.up_proj.weight"};
  TensorName down{"blk.{}.ffn_down.weight", "model.layers.{}.mlp.down_proj.weight"};
  TensorName gate_bias{"blk.{}.ffn_gate.bias", "model.layers.{}.mlp.gate_proj.bias"};
  TensorName up_bias{"blk.{}.ffn_up.bias", "model.layers.{}.mlp.up_proj.bias"};
  TensorName down_bias{"blk.{}.ffn_down.bias", "model.layers.{}.mlp.down_proj.bias"};
};

// What files leave to their architecture.
struct DecoderTraits {
  RopePairing gguf_pairing = RopePairing::kHalfSplit;  // in a GGUF file; Hugging Face always splits halves
  bool qk_norm = false;                                // queries and keys are normed, head by head
  bool whole_qk_norm = false;                          // or all heads as one
  bool tied_embedding = false;                         // a folder without tie_word_embeddings ties
  std::string_view activation_key = "hidden_act";      // config.json's; GGUF states none
  Activation activation = Activation::kSilu;           // where none is stated
  ConfigKey epsilon_key{"attention.layer_norm_rms_epsilon", "rms_norm_eps"};
  double usual_epsilon = 1e-6;           // where none is stated
  std::optional<int64_t> n_layers = {};  // where the file does not state their number
  DecoderNames names = {};
};

// All but rotation and windows, for a decoder whose layers all are attention and a dense feed-forward. The functions
// below are its pieces. kInvalidFile for sizes that are missing or contradict the tensors, kUnsupported as refuse_*.
Result<ModelConfig> read_decoder(const ModelFile& file, const DecoderTraits& traits);

// d_model, vocabulary, epsilon, tied embedding, and as many layers as there are, empty.
Result<ModelConfig> read_sizes(const ModelFile& file, const DecoderTraits& traits);
// Heads, their widths and the scale 1 / sqrt(d_head_k) of the layers with attention; what is not stated, from tensors.
Result<void> read_attention(const ModelFile& file, const DecoderTraits& traits, const AttentionNames& names,
                            ModelConfig& config);
// The stated activation, or the usual one; kUnsupported names another.
Result<Activation> read_activation(const ModelFile& file, const DecoderTraits& traits);
// As config.json names it; kUnsupported for another than those that there are.
Result<Activation> read_activation(const ModelFile& file, const DecoderTraits& traits);
// Width and activation of the layers with a dense feed-forward.
Result<void> read_dense_ffn(const ModelFile& file, const DecoderTraits& traits, const FfnNames& names,
                            ModelConfig& config);

// The rotation of every layer with attention, and config.context_length. Windowed layers turn by `windowed`, the
// others by `full`; windows must be set.
Result<void> read_rotation(const ModelFile& file, const RopeKind& full, const RopeKind& windowed, ModelConfig& config);
inline Result<void> read_rotation(const ModelFile& file, const RopeKind& kind, ModelConfig& config) {
  return read_rotation(file, kind, kind, config);
}

// Gives `window` to the layers that config.json's layer_types, or GGUF's attention.sliding_window_pattern as a list,
// call sliding; where there is no list, to those of which `usual` says so. A window of 0 with such layers is
// kInvalidFile.
Result<void> set_windows(const ModelFile& file, int64_t window, const std::function<bool(int32_t)>& usual,
                         ModelConfig& config);
// The stated window; 0 where it is null or 0, `fallback` where nothing is said.
Result<int64_t> read_window(const ModelFile& file, int64_t fallback);

// kUnsupported naming the setting: weights that another program quantized, experts where only dense feed-forwards are
// read.
Result<void> refuse_foreign_quantization(const ModelFile& file);
Result<void> refuse_experts(const ModelFile& file);
// kUnsupported where the file has the key with a value other than false, 0 or null.
Result<void> refuse_setting(const ModelFile& file, ConfigKey key);

}  // namespace orrery
