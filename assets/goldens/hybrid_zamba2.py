"""Zamba2: Mamba-2, and before some of its layers one of a few shared transformer blocks."""

from transformers import Zamba2ForCausalLM

import hybrid_goldens
from hybrid_goldens import Case, matrix, uniform
from hybrid_mamba import scalar_states

CASES = [
    # Two shared blocks in three places, adapters on attention and feed-forward, rotations.
    Case("tiny-zamba2", Zamba2ForCausalLM, length=60, seed=273, state_norms=hybrid_goldens.norms_per_head,
         states_by_prefixes=True, more=scalar_states,
         config=dict(vocab_size=41, hidden_size=15, intermediate_size=19, num_hidden_layers=5, num_attention_heads=3,
                     num_key_value_heads=3, max_position_embeddings=512, rms_norm_eps=3e-4, n_mamba_heads=6,
                     mamba_ngroups=2, mamba_d_state=5, mamba_d_conv=4, mamba_expand=2, chunk_size=16, num_mem_blocks=2,
                     adapter_rank=3, use_shared_attention_adapter=True, use_mem_rope=True, time_step_min=0.1,
                     rope_parameters={"rope_type": "default", "rope_theta": 4000.0},
                     layers_block_type=["linear_attention", "hybrid", "hybrid", "linear_attention", "hybrid"]),
         rules=[(r"adapter_list", matrix(0.7)), (r"[qk]_proj\.weight$", matrix(0.8)), (r"A_log$", uniform(-1.0, 1.0))]),
    # Older spelling: one shared block, adapters on the feed-forward alone, grouped keys, no rotation, biases.
    Case("tiny-zamba2-b", Zamba2ForCausalLM, length=40, seed=272, state_norms=hybrid_goldens.norms_per_head,
         more=scalar_states,
         config=dict(vocab_size=37, hidden_size=14, intermediate_size=17, num_hidden_layers=4, num_attention_heads=2,
                     num_key_value_heads=1, max_position_embeddings=512, rms_norm_eps=1e-5, n_mamba_heads=6,
                     mamba_ngroups=1, mamba_d_state=7, mamba_d_conv=3, mamba_expand=3, chunk_size=32, num_mem_blocks=1,
                     adapter_rank=5, add_bias_linear=True, hidden_act="gelu", time_step_min=1e-9,
                     layers_block_type=["mamba", "hybrid", "mamba", "hybrid"], tie_word_embeddings=False),
         written={"layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"], "rope_parameters": None,
                  "rope_theta": 10000, "dtype": None, "torch_dtype": "float32"}),
]
