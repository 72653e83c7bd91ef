"""Jamba: Mamba with normed inputs, attention without positions, experts in some layers."""

from transformers import JambaForCausalLM

import hybrid_goldens
from hybrid_goldens import Case
from hybrid_mamba import X_PROJ, put_away, selective_states

def states_and_margins(case, model, tokens):
    """With moe_margin and moe_entropy of the probabilities."""
    return selective_states(case, model, tokens) | hybrid_goldens.router_statistics(
        model, tokens, lambda _args, result: result[0].softmax(-1), False)


def save_twin(case, model, weights, folder):
    config = model.config

    def settings(writer):
        writer.add_block_count(config.num_hidden_layers)
        writer.add_context_length(config.max_position_embeddings)
        writer.add_embedding_length(config.hidden_size)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv([config.num_key_value_heads if kind == "attention" else 0
                                  for kind in config.layers_block_type])
        writer.add_ssm_conv_kernel(config.mamba_d_conv)
        writer.add_ssm_inner_size(config.mamba_expand * config.hidden_size)
        writer.add_ssm_state_size(config.mamba_d_state)
        writer.add_ssm_time_step_rank(config.mamba_dt_rank)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_expert_count(config.num_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)

    renamed = [(r"feed_forward\.experts", "mlp.experts")]
    tensors = hybrid_goldens.gguf_names("jamba", hybrid_goldens.stacked_experts(weights), renamed)
    tensors = {name: put_away(name, w) for name, w in tensors.items()}
    hybrid_goldens.save_gguf(folder / f"{case.name}.f32.gguf", "jamba", case.name, settings, tensors)


CASES = [
    # Attention in layers 1 and 4, experts in layers 1 and 3.
    Case("tiny-jamba", JambaForCausalLM, length=60, seed=221, state_norms=hybrid_goldens.norms_per_sixteenth,
         more=states_and_margins, rules=X_PROJ, twins=save_twin,
         config=dict(vocab_size=53, hidden_size=20, intermediate_size=19, num_hidden_layers=5, num_attention_heads=4,
                     num_key_value_heads=2, rms_norm_eps=2e-5, num_experts=5, num_experts_per_tok=2,
                     expert_layer_period=2, expert_layer_offset=1, attn_layer_period=3, attn_layer_offset=1,
                     mamba_d_state=5, mamba_d_conv=4, mamba_expand=2, mamba_dt_rank=3, mamba_conv_bias=True,
                     mamba_proj_bias=False, max_position_embeddings=512)),
    # One expert: every layer is dense; biases of the projections and none of the convolution.
    Case("tiny-jamba-b", JambaForCausalLM, length=40, seed=222, state_norms=hybrid_goldens.norms_per_sixteenth,
         more=selective_states, rules=X_PROJ,
         config=dict(vocab_size=41, hidden_size=18, intermediate_size=23, num_hidden_layers=3, num_attention_heads=3,
                     num_key_value_heads=1, rms_norm_eps=1e-6, num_experts=1, num_experts_per_tok=1,
                     attn_layer_period=2, attn_layer_offset=0, mamba_d_state=7, mamba_d_conv=3, mamba_expand=3,
                     mamba_conv_bias=False, mamba_proj_bias=True, max_position_embeddings=512,
                     tie_word_embeddings=True),
         written={"mamba_dt_rank": "auto", "dtype": None, "torch_dtype": "float32"}),
]
