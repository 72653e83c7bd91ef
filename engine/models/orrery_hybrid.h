// orrery_hybrid: small hybrids of our own. A list of residual layers of one part each (Mamba-2, attention with or
// without a window, TTT-Linear, experts, a feed-forward), of which a run may be a loop with input injection and a
// learned exit; what is read out at any depth is the final norm, then the embedding.
//
// config.json: layer_types names every layer's part (mamba2, full_attention, sliding_attention, ttt_linear, moe, mlp);
// loop_layers [begin, end) and num_loops make the loop, exit_threshold says where to stop. A part that is not named
// needs no settings: sliding_window; num_attention_heads, num_key_value_heads, head_dim, attention_scale, rope_theta,
// partial_rotary_factor; mamba_num_heads, mamba_head_dim, state_size, n_groups, conv_kernel; ttt_num_heads,
// ttt_mini_batch_size, ttt_base_lr, ttt_rope_theta (base of the rotation within a mini-batch); num_experts,
// num_experts_per_tok, moe_intermediate_size; intermediate_size. embedding_multiplier multiplies the embeddings.
#pragma once

#include "engine/model.h"
#include "engine/model_file.h"

namespace orrery {

Result<ModelConfig> read_orrery_hybrid_config(const ModelFile& file);
Result<ModelParts> build_orrery_hybrid(const ModelFile& file, ModelConfig config, const Placement& placement);

}  // namespace orrery
