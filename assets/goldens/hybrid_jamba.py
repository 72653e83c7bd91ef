"""Jamba: Mamba with normed inputs, attention without positions, experts in some layers."""

from transformers import JambaForCausalLM

import hybrid_goldens
from hybrid_goldens import Case
from hybrid_mamba import X_PROJ, selective_keep_and_taps

CASES = [
    # Attention in layers 1 and 4, experts in layers 1 and 3.
    Case("tiny-jamba", JambaForCausalLM, length=60, seed=221, state_norms=hybrid_goldens.norms_per_sixteenth,
         more=selective_keep_and_taps, rules=X_PROJ,
         config=dict(vocab_size=53, hidden_size=20, intermediate_size=19, num_hidden_layers=5, num_attention_heads=4,
                     num_key_value_heads=2, rms_norm_eps=2e-5, num_experts=5, num_experts_per_tok=2,
                     expert_layer_period=2, expert_layer_offset=1, attn_layer_period=3, attn_layer_offset=1,
                     mamba_d_state=5, mamba_d_conv=4, mamba_expand=2, mamba_dt_rank=3, mamba_conv_bias=True,
                     mamba_proj_bias=False, max_position_embeddings=512)),
    # One expert: every layer is dense; biases of the projections and none of the convolution.
    Case("tiny-jamba-b", JambaForCausalLM, length=40, seed=222, state_norms=hybrid_goldens.norms_per_sixteenth,
         more=selective_keep_and_taps, rules=X_PROJ,
         config=dict(vocab_size=41, hidden_size=18, intermediate_size=23, num_hidden_layers=3, num_attention_heads=3,
                     num_key_value_heads=1, rms_norm_eps=1e-6, num_experts=1, num_experts_per_tok=1,
                     attn_layer_period=2, attn_layer_offset=0, mamba_d_state=7, mamba_d_conv=3, mamba_expand=3,
                     mamba_conv_bias=False, mamba_proj_bias=True, max_position_embeddings=512,
                     tie_word_embeddings=True),
         written={"mamba_dt_rank": "auto", "dtype": None, "torch_dtype": "float32"}),
]
