// Layers with latent attention: their sizes from settings and tensors, their weights. For the architectures that have
// such layers.
#pragma once

#include <memory>

#include "engine/blocks/latent_attention.h"
#include "engine/models/decoder_builder.h"

namespace orrery {

// GGUF files have the matrix that keys and values are made by in two parts, the keys' turned; earlier ones in one.
struct LatentNames {
  TensorName q{"blk.{}.attn_q.weight", "model.layers.{}.self_attn.q_proj.weight"};  // where they have no latent
  TensorName q_down{"blk.{}.attn_q_a.weight", "model.layers.{}.self_attn.q_a_proj.weight"};
  TensorName q_down_bias{"blk.{}.attn_q_a.bias", "model.layers.{}.self_attn.q_a_proj.bias"};
  TensorName q_norm{"blk.{}.attn_q_a_norm.weight", "model.layers.{}.self_attn.q_a_layernorm.weight"};
  TensorName q_up{"blk.{}.attn_q_b.weight", "model.layers.{}.self_attn.q_b_proj.weight"};
  TensorName down{"blk.{}.attn_kv_a_mqa.weight", "model.layers.{}.self_attn.kv_a_proj_with_mqa.weight"};
  TensorName down_bias{"blk.{}.attn_kv_a_mqa.bias", "model.layers.{}.self_attn.kv_a_proj_with_mqa.bias"};
  TensorName norm{"blk.{}.attn_kv_a_norm.weight", "model.layers.{}.self_attn.kv_a_layernorm.weight"};
  TensorName up{"blk.{}.attn_kv_b.weight", "model.layers.{}.self_attn.kv_b_proj.weight"};  // of each head K, then V
  TensorName key_up{"blk.{}.attn_k_b.weight", ""};    // [n_heads, d_latent, d_head_k - d_shared_rope]
  TensorName value_up{"blk.{}.attn_v_b.weight", ""};  // [n_heads, d_head_v, d_latent]
  TensorName output{"blk.{}.attn_output.weight", "model.layers.{}.self_attn.o_proj.weight"};
  TensorName output_bias{"blk.{}.attn_output.bias", "model.layers.{}.self_attn.o_proj.bias"};
};

// Fills `attention` of the layers with attention, but for the rotation; the number of heads is stated, the tensors
// decide the rest, and what is stated must agree. kInvalidFile.
Result<void> read_latent_attention(const ModelFile& file, ModelConfig& config);

// As the reference classes have it, both latents' norms keep the epsilon 1e-6 whatever the model's.
std::unique_ptr<Mixer> latent_attention(DecoderBuilder& decoder, int32_t layer);

}  // namespace orrery
