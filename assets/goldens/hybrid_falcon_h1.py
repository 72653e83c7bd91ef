"""Falcon-H1: attention and Mamba-2 side by side in every layer, with a multiplier on everything."""

import numpy as np
from transformers import FalconH1ForCausalLM

import hybrid_goldens
from hybrid_goldens import Case
from hybrid_granite import MAMBA2_NAMES, mamba2_layout
from hybrid_mamba import scalar_states

MULTIPLIERS = dict(embedding_multiplier=1.3, lm_head_multiplier=0.7, key_multiplier=0.6, attention_in_multiplier=1.2,
                   attention_out_multiplier=0.8, ssm_in_multiplier=1.25, ssm_out_multiplier=0.65,
                   ssm_multipliers=[0.7, 1.4, 0.9, 1.6, 1.1], mlp_multipliers=[0.75, 1.35])


def folded(config, weights):
    """GGUF has no multipliers: they lie in the weights."""
    groups = config.mamba_n_groups * config.mamba_d_state
    parts = [config.mamba_d_ssm, config.mamba_d_ssm, groups, groups, config.mamba_n_heads]  # z, x, B, C, dt
    rows = np.repeat(config.ssm_multipliers, parts)[:, None] * config.ssm_in_multiplier
    factors = {"down_proj": config.mlp_multipliers[1], "gate_proj": config.mlp_multipliers[0],
               "k_proj": config.key_multiplier * config.attention_in_multiplier,
               "q_proj": config.attention_in_multiplier, "v_proj": config.attention_in_multiplier,
               "o_proj": config.attention_out_multiplier, "out_proj": config.ssm_out_multiplier, "in_proj": rows,
               "lm_head": config.lm_head_multiplier, "embed_tokens": config.embedding_multiplier}
    return {name: w * factors.get(name.split(".")[-2], 1.0) for name, w in weights.items()}


def save_twin(case, model, weights, folder):
    config = model.config

    def settings(writer):
        writer.add_vocab_size(config.vocab_size)
        writer.add_block_count(config.num_hidden_layers)
        writer.add_context_length(config.max_position_embeddings)
        writer.add_embedding_length(config.hidden_size)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv(config.num_key_value_heads)
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        writer.add_ssm_conv_kernel(config.mamba_d_conv)
        writer.add_ssm_inner_size(config.mamba_d_ssm)
        writer.add_ssm_state_size(config.mamba_d_state)
        writer.add_ssm_time_step_rank(config.mamba_n_heads)
        writer.add_ssm_group_count(config.mamba_n_groups)

    tensors = hybrid_goldens.gguf_names("falcon-h1", folded(config, weights), MAMBA2_NAMES)
    hybrid_goldens.save_gguf(folder / f"{case.name}.f32.gguf", "falcon-h1", case.name, settings,
                             mamba2_layout(tensors, config.mamba_n_groups))


CASES = [
    # The norm after the gate; a state that is not expand * hidden_size wide; heads of their own width.
    Case("tiny-falcon-h1", FalconH1ForCausalLM, length=70, seed=241, twins=save_twin,
         state_norms=hybrid_goldens.norms_per_head, more=scalar_states,
         config=MULTIPLIERS | dict(
             vocab_size=53, hidden_size=22, intermediate_size=29, num_hidden_layers=3, num_attention_heads=3,
             num_key_value_heads=1, head_dim=10, max_position_embeddings=512, rms_norm_eps=2e-5, mamba_d_ssm=42,
             mamba_n_heads=6, mamba_d_head=7, mamba_n_groups=3, mamba_d_state=5, mamba_d_conv=4, mamba_chunk_size=16,
             mamba_rms_norm=True, mamba_norm_before_gate=False,
             rope_parameters={"rope_type": "default", "rope_theta": 100000.0}),
         written={"rope_parameters": None, "rope_theta": 100000.0, "rope_scaling": None, "time_step_limit": None,
                  "dtype": None, "torch_dtype": "float32"}),
    # The norm before the gate, biases everywhere, limits of the time step, the width left to expand.
    Case("tiny-falcon-h1-b", FalconH1ForCausalLM, length=50, seed=242, state_norms=hybrid_goldens.norms_per_head,
         states_by_prefixes=True, more=scalar_states,
         config=MULTIPLIERS | dict(
             vocab_size=47, hidden_size=18, intermediate_size=25, num_hidden_layers=2, num_attention_heads=3,
             num_key_value_heads=3, max_position_embeddings=512, rms_norm_eps=1e-5, mamba_d_ssm=None, mamba_expand=3,
             mamba_n_heads=6, mamba_n_groups=2, mamba_d_state=7, mamba_d_conv=3, mamba_chunk_size=8,
             mamba_rms_norm=True, mamba_norm_before_gate=True, mamba_proj_bias=True, projectors_bias=True,
             attention_bias=True, mlp_bias=True, time_step_limit=[0.1, 0.9], tie_word_embeddings=True)),
    # No norm of the state's output, no bias of the convolution.
    Case("tiny-falcon-h1-c", FalconH1ForCausalLM, length=40, seed=243, twins=save_twin,
         state_norms=hybrid_goldens.norms_per_head, more=scalar_states,
         config=MULTIPLIERS | dict(
             vocab_size=41, hidden_size=20, intermediate_size=27, num_hidden_layers=2, num_attention_heads=5,
             num_key_value_heads=1, max_position_embeddings=512, rms_norm_eps=1e-5, mamba_d_ssm=33, mamba_n_heads=3,
             mamba_d_head="auto", mamba_n_groups=1, mamba_d_state=9, mamba_d_conv=5, mamba_chunk_size=32,
             mamba_rms_norm=False, mamba_conv_bias=False)),
]
