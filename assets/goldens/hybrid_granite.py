"""Granite 4.0 H and Bamba: Mamba-2 and attention in turn; Granite with experts beside a feed-forward that all share."""

import numpy as np
from transformers import BambaForCausalLM, GraniteMoeHybridForCausalLM

import hybrid_goldens
from hybrid_goldens import Case, matrix, normal
from hybrid_mamba import put_away, scalar_states

MAMBA2_NAMES = [(r"\.dt_bias$", ".dt_proj.bias")]


def mamba2_layout(tensors, n_groups):
    """As GGUF holds a Mamba-2: -exp(A_log) and D as columns, the convolution's middle axis gone, a norm per group."""
    def laid_out(name, w):
        w = put_away(name, w)
        if name.endswith(("ssm_a", "ssm_d")):
            return w.reshape(-1, 1)
        return w.reshape(n_groups, -1) if "ssm_norm" in name else w

    return {name: laid_out(name, w) for name, w in tensors.items()}


def permuted(w, heads, n_rot):
    """Rows of q or k whose first n_rot of every head turn: pairs (i, i + n_rot / 2) become (2 i, 2 i + 1)."""
    heads_of = w.reshape(heads, -1, *w.shape[1:]).copy()
    heads_of[:, :n_rot] = (heads_of[:, :n_rot].reshape(heads, 2, n_rot // 2, *w.shape[1:]).swapaxes(1, 2)
                           .reshape(heads, n_rot, *w.shape[1:]))
    return heads_of.reshape(w.shape)


def split_gates(weights):
    """input_linear holds gates, then ups: of all experts, and of the feed-forward that all share."""
    out = {}
    for name, w in weights.items():
        if not name.endswith("input_linear.weight"):
            out[name] = w
            continue
        for part, half in zip(("gate", "up"), np.split(w, 2, axis=-2)):
            out[name.replace("input_linear", f"{part}_proj")] = half
    return out


def save_twin(case, model, weights, folder):
    config = model.config
    is_bamba = config.model_type == "bamba"
    n_experts = 0 if is_bamba else config.num_local_experts
    n_rot = 0
    if is_bamba or config.position_embedding_type == "rope":
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        n_rot = int(head_dim * config.rope_parameters.get("partial_rotary_factor", 1.0))

    def settings(writer):
        writer.add_block_count(config.num_hidden_layers)
        writer.add_context_length(config.max_position_embeddings if n_rot else 2**20)
        writer.add_embedding_length(config.hidden_size)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv([config.num_key_value_heads if kind == "full_attention" else 0
                                  for kind in config.layers_block_type])
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_vocab_size(config.vocab_size)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        writer.add_rope_scaling_finetuned(n_rot > 0)
        if n_rot:
            writer.add_rope_dimension_count(n_rot)
        if not is_bamba:
            writer.add_attention_scale(config.attention_multiplier)
            writer.add_embedding_scale(config.embedding_multiplier)
            writer.add_residual_scale(config.residual_multiplier)
            writer.add_logit_scale(config.logits_scaling)
            writer.add_expert_shared_feed_forward_length(config.shared_intermediate_size)
            writer.add_expert_count(n_experts)
            writer.add_expert_used_count(config.num_experts_per_tok)
        writer.add_ssm_conv_kernel(config.mamba_d_conv)
        writer.add_ssm_inner_size(config.mamba_expand * config.hidden_size)
        writer.add_ssm_state_size(config.mamba_d_state)
        writer.add_ssm_time_step_rank(config.mamba_n_heads)
        writer.add_ssm_group_count(config.mamba_n_groups)

    renamed = MAMBA2_NAMES + [(r"block_sparse_moe\.(gate_proj|up_proj|output_linear)", r"mlp.experts.\1"),
                              (r"experts\.output_linear", "experts.down_proj"),
                              (r"shared_mlp\.(gate_proj|up_proj|output_linear)",
                               r"mlp.shared_expert.\1" if n_experts else r"mlp.\1"),
                              (r"mlp\.(shared_expert\.)?output_linear", r"mlp.\1down_proj")]
    tensors = hybrid_goldens.gguf_names("granitehybrid", split_gates(weights), renamed)
    for name, w in tensors.items():
        if n_rot and ("attn_q." in name or "attn_k." in name):
            heads = config.num_attention_heads if "attn_q." in name else config.num_key_value_heads
            tensors[name] = permuted(w, heads, n_rot)
    hybrid_goldens.save_gguf(folder / f"{case.name}.f32.gguf", "granitehybrid", case.name, settings,
                             mamba2_layout(tensors, config.mamba_n_groups))


CASES = [
    # Older spelling, as the published models have it: layer_types of mamba and attention, no rotation.
    Case("tiny-granite-hybrid", GraniteMoeHybridForCausalLM, length=70, seed=231, twins=save_twin,
         state_norms=hybrid_goldens.norms_per_head, more=scalar_states,
         config=dict(vocab_size=53, hidden_size=21, intermediate_size=6, num_hidden_layers=4, num_attention_heads=3,
                     num_key_value_heads=1, max_position_embeddings=512, rms_norm_eps=2e-5, attention_multiplier=0.31,
                     embedding_multiplier=1.7, residual_multiplier=0.43, logits_scaling=2.3, num_local_experts=5,
                     num_experts_per_tok=2, shared_intermediate_size=9, mamba_n_heads=6, mamba_n_groups=3,
                     mamba_d_state=5, mamba_d_conv=4, mamba_expand=2, mamba_chunk_size=16,
                     layer_types=["mamba", "attention", "mamba", "attention"], tie_word_embeddings=True),
         rules=[(r"router\.weight$", matrix(2.0))],
         written={"layer_types": ["mamba", "attention", "mamba", "attention"], "position_embedding_type": "nope",
                  "rope_parameters": None, "rope_theta": 10000, "rope_scaling": None, "mamba_d_head": "auto",
                  "time_step_limit": None, "dtype": None, "torch_dtype": "float32"}),
    # Newer spelling: no experts, rotations, biases but in the convolution, an own unembedding, time steps with limits.
    Case("tiny-granite-hybrid-dense", GraniteMoeHybridForCausalLM, length=60, seed=232,
         state_norms=hybrid_goldens.norms_per_head, states_by_prefixes=True, more=scalar_states,
         config=dict(vocab_size=47, hidden_size=20, intermediate_size=7, num_hidden_layers=3, num_attention_heads=5,
                     num_key_value_heads=1, max_position_embeddings=512, rms_norm_eps=1e-5, attention_multiplier=0.4,
                     embedding_multiplier=0.7, residual_multiplier=1.3, logits_scaling=1.9, num_local_experts=0,
                     num_experts_per_tok=0, shared_intermediate_size=33, mamba_n_heads=4, mamba_n_groups=1,
                     mamba_d_state=7, mamba_d_conv=3, mamba_expand=3, mamba_chunk_size=32, mamba_conv_bias=False,
                     mamba_proj_bias=True, attention_bias=True, position_embedding_type="rope",
                     rope_parameters={"rope_type": "default", "rope_theta": 5000.0}, time_step_limit=[0.1, 0.9],
                     layer_types=["linear_attention", "full_attention", "linear_attention"])),
    # Half of every head turns; layers with attention by attn_layer_indices.
    # (The class' steps know no positions by themselves.)
    Case("tiny-bamba", BambaForCausalLM, length=70, seed=233, twins=save_twin,
         state_norms=hybrid_goldens.norms_per_head, states_by_prefixes=True, more=scalar_states,
         config=dict(vocab_size=59, hidden_size=24, intermediate_size=31, num_hidden_layers=4, num_attention_heads=3,
                     num_key_value_heads=1, max_position_embeddings=512, rms_norm_eps=2e-5, attn_layer_indices=[1, 2],
                     mamba_n_heads=4, mamba_n_groups=2, mamba_d_state=5, mamba_d_conv=4, mamba_expand=2,
                     mamba_chunk_size=16, rope_parameters={"rope_type": "default", "rope_theta": 3000.0}),
         written={"rope_parameters": None, "rope_theta": 3000.0, "mamba_d_head": "auto", "attn_rotary_emb": 4,
                  "time_step_limit": None, "dtype": None, "torch_dtype": "float32"}),
    # Newer spelling, all biases, heads that are not hidden_size / heads wide, an expansion of 3.
    Case("tiny-bamba-b", BambaForCausalLM, length=40, seed=234, state_norms=hybrid_goldens.norms_per_head,
         states_by_prefixes=True, more=scalar_states,
         config=dict(vocab_size=43, hidden_size=18, intermediate_size=23, num_hidden_layers=3, num_attention_heads=4,
                     num_key_value_heads=2, head_dim=12, max_position_embeddings=512, rms_norm_eps=1e-5,
                     attn_layer_indices=[0], mamba_n_heads=6, mamba_n_groups=1, mamba_d_state=9, mamba_d_conv=3,
                     mamba_expand=3, mamba_chunk_size=8, mamba_conv_bias=False, mamba_proj_bias=True,
                     attention_bias=True, mlp_bias=True, time_step_limit=[0.05, 0.8], tie_word_embeddings=True),
         rules=[(r"dt_bias$", normal(-0.5, 1.0))]),
]
