"""Nemotron-H: one mixer per layer, which is Mamba-2, attention, a feed-forward or experts."""

from transformers import NemotronHForCausalLM

import hybrid_goldens
from hybrid_goldens import Case, matrix, normal
from hybrid_granite import MAMBA2_NAMES, mamba2_layout
from hybrid_mamba import scalar_states


def save_twin(case, model, weights, folder):
    config = model.config
    has_experts = "moe" in config.layers_block_type
    architecture = "nemotron_h_moe" if has_experts else "nemotron_h"
    feed_forward, width = ("moe", config.moe_intermediate_size) if has_experts else ("mlp", config.intermediate_size)

    def per_layer(kind, value):
        return [value if k == kind else 0 for k in config.layers_block_type]

    def settings(writer):
        writer.add_block_count(config.num_hidden_layers)
        writer.add_context_length(2**20)
        writer.add_embedding_length(config.hidden_size)
        writer.add_feed_forward_length(per_layer(feed_forward, width))
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv(per_layer("full_attention", config.num_key_value_heads))
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        writer.add_layer_norm_rms_eps(config.layer_norm_epsilon)
        writer.add_vocab_size(config.vocab_size)
        writer.add_rope_scaling_finetuned(False)
        writer.add_ssm_conv_kernel(config.conv_kernel)
        writer.add_ssm_inner_size(config.mamba_num_heads * config.mamba_head_dim)
        writer.add_ssm_state_size(config.ssm_state_size)
        writer.add_ssm_time_step_rank(config.mamba_num_heads)
        writer.add_ssm_group_count(config.n_groups)
        if has_experts:
            writer.add_expert_count(config.n_routed_experts)
            writer.add_expert_used_count(config.num_experts_per_tok)
            writer.add_expert_feed_forward_length(config.moe_intermediate_size)
            writer.add_expert_shared_feed_forward_length(config.moe_shared_expert_intermediate_size)
            writer.add_expert_shared_count(config.n_shared_experts)
            writer.add_expert_weights_norm(config.norm_topk_prob)
            writer.add_expert_weights_scale(config.routed_scaling_factor)
            writer.add_expert_group_count(config.n_group)
            writer.add_expert_group_used_count(config.topk_group)
            if config.moe_latent_size is not None:
                writer.add_moe_latent_size(config.moe_latent_size)

    renamed = MAMBA2_NAMES + [(r"^backbone\.layers\.(\d+)\.mixer\.experts", r"model.layers.\1.mlp.experts"),
                              (r"e_score_correction_bias$", "e_score_correction.bias"),
                              (r"mixer\.dt_proj\.bias$", "mixer.dt.bias")]
    tensors = hybrid_goldens.gguf_names(architecture, hybrid_goldens.stacked_experts(weights), renamed)
    hybrid_goldens.save_gguf(folder / f"{case.name}.f32.gguf", architecture, case.name, settings,
                             mamba2_layout(tensors, config.n_groups))


CASES = [
    # Older spelling, by hybrid_override_pattern; time steps with a lower limit that bites; all biases.
    Case("tiny-nemotron-h", NemotronHForCausalLM, length=70, seed=251, state_norms=hybrid_goldens.norms_per_head,
         states_by_prefixes=True, more=scalar_states,
         config=dict(vocab_size=53, hidden_size=22, intermediate_size=41, num_attention_heads=4, num_key_value_heads=2,
                     head_dim=9, max_position_embeddings=512, mamba_num_heads=6, mamba_head_dim=7, n_groups=3,
                     ssm_state_size=5, conv_kernel=4, chunk_size=16, layer_norm_epsilon=2e-5, time_step_min=0.2,
                     use_bias=True, mlp_bias=True,
                     layers_block_type=["linear_attention", "mlp", "linear_attention", "full_attention", "mlp",
                                        "full_attention"]),
         written={"layers_block_type": None, "hybrid_override_pattern": "M-M*-*", "num_hidden_layers": 6,
                  "time_step_limit": None, "mtp_layers_block_type": None, "n_routed_experts": None,
                  "num_experts_per_tok": None, "rms_norm_eps": 0.5, "dtype": None, "torch_dtype": "float32"}),
    # Newer spelling: experts in a narrower space, chosen from the best groups; all biases.
    Case("tiny-nemotron-h-moe", NemotronHForCausalLM, length=60, seed=252, state_norms=hybrid_goldens.norms_per_head,
         more=scalar_states,
         config=dict(vocab_size=47, hidden_size=20, intermediate_size=27, num_attention_heads=3, num_key_value_heads=1,
                     head_dim=8, max_position_embeddings=512, mamba_num_heads=4, mamba_head_dim=9, n_groups=2,
                     ssm_state_size=7, conv_kernel=3, chunk_size=32, layer_norm_epsilon=1e-5, time_step_min=1e-9,
                     use_bias=True, mlp_bias=True, n_routed_experts=12, num_experts_per_tok=3, n_group=4, topk_group=2,
                     norm_topk_prob=True, routed_scaling_factor=1.7, moe_intermediate_size=6,
                     moe_shared_expert_intermediate_size=11, moe_latent_size=13,
                     layers_block_type=["linear_attention", "moe", "full_attention", "mlp", "moe"]),
         rules=[(r"gate\.weight$", matrix(2.0)), (r"correction_bias$", normal(0.0, 0.4))]),
    # Experts on the full width, raw weights, one group; no bias, what the GGUF format holds.
    Case("tiny-nemotron-h-moe-b", NemotronHForCausalLM, length=50, seed=253, state_norms=hybrid_goldens.norms_per_head,
         more=scalar_states,
         config=dict(vocab_size=43, hidden_size=24, intermediate_size=24, num_attention_heads=2, num_key_value_heads=1,
                     head_dim=14, max_position_embeddings=512, mamba_num_heads=3, mamba_head_dim=10, n_groups=1,
                     ssm_state_size=6, conv_kernel=4, chunk_size=8, layer_norm_epsilon=1e-5, time_step_min=1e-9,
                     n_routed_experts=5, num_experts_per_tok=2, norm_topk_prob=False,
                     routed_scaling_factor=2.5, moe_intermediate_size=8, moe_shared_expert_intermediate_size=13,
                     layers_block_type=["linear_attention", "moe", "full_attention", "moe"]),
         rules=[(r"gate\.weight$", matrix(2.0))], twins=save_twin),
    # The same with a narrower space and groups.
    Case("tiny-nemotron-h-moe-c", NemotronHForCausalLM, length=40, seed=255, state_norms=hybrid_goldens.norms_per_head,
         more=scalar_states,
         config=dict(vocab_size=41, hidden_size=16, intermediate_size=24, num_attention_heads=2, num_key_value_heads=1,
                     head_dim=6, max_position_embeddings=512, mamba_num_heads=2, mamba_head_dim=11, n_groups=1,
                     ssm_state_size=5, conv_kernel=4, chunk_size=8, layer_norm_epsilon=1e-5, time_step_min=1e-9,
                     n_routed_experts=6, num_experts_per_tok=3, n_group=3, topk_group=2, routed_scaling_factor=1.3,
                     moe_intermediate_size=7, moe_shared_expert_intermediate_size=9, moe_latent_size=13,
                     layers_block_type=["moe", "linear_attention", "full_attention"]),
         rules=[(r"gate\.weight$", matrix(2.0)), (r"correction_bias$", normal(0.0, 0.4))], twins=save_twin),
    # No experts and no biases.
    Case("tiny-nemotron-h-b", NemotronHForCausalLM, length=40, seed=254, state_norms=hybrid_goldens.norms_per_head,
         more=scalar_states,
         config=dict(vocab_size=41, hidden_size=18, intermediate_size=31, num_attention_heads=3, num_key_value_heads=1,
                     head_dim=7, max_position_embeddings=512, mamba_num_heads=4, mamba_head_dim=8, n_groups=2,
                     ssm_state_size=5, conv_kernel=5, chunk_size=16, layer_norm_epsilon=1e-5, time_step_min=1e-9,
                     layers_block_type=["full_attention", "linear_attention", "mlp"]), twins=save_twin),
]
