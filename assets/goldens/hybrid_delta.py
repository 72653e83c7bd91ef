"""Qwen3-Next and OLMo Hybrid: gated delta nets, and attention in every few layers."""

import numpy as np
import torch
from transformers import OlmoHybridForCausalLM, Qwen3NextForCausalLM

import hybrid_goldens
from hybrid_goldens import Case, centred_norm_weight, matrix, norm_weight, normal
from hybrid_mamba import put_away


def unit(x):
    return x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6)


@torch.no_grad()
def keep_write_and_taps(case, model, tokens):
    """state_keep [T, layer, head, 3], state_write [T, layer, head] (norm of beta v k^T), conv_taps."""
    with hybrid_goldens.recorded_calls(hybrid_goldens.code_of(model), "torch_chunk_gated_delta_rule") as calls:
        taps = hybrid_goldens.conv_taps(case, model, tokens)
    keep, write = [], []
    for call in calls:
        _, key, value = call.args[:3]  # [1, T, head, width]
        key = unit(key.repeat_interleave(value.shape[2] // key.shape[2], dim=2))
        write.append(call.kwargs["beta"][0] * value[0].norm(dim=-1) * key[0].norm(dim=-1))
        keep.append(hybrid_goldens.keep_of(call.kwargs["g"][0].exp()[..., None]))
    return taps | {"state_keep": torch.stack(keep, 1).numpy(), "state_write": torch.stack(write, 1).numpy()}


# Norms of Qwen3-Next multiply by 1 + weight, but for the gated one.
QWEN_RULES = [(r"linear_attn\.norm\.weight$", norm_weight), (r"norm\.weight$", centred_norm_weight),
              (r"mlp\.gate\.weight$", matrix(2.0)), (r"shared_expert_gate\.weight$", matrix(2.0))]


def save_twin(case, model, weights, folder):
    config = model.config
    key, value = config.linear_key_head_dim, config.linear_value_head_dim
    per_key = config.linear_num_value_heads // config.linear_num_key_heads

    def settings(writer):
        writer.add_block_count(config.num_hidden_layers)
        writer.add_context_length(config.max_position_embeddings)
        writer.add_embedding_length(config.hidden_size)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        writer.add_rope_dimension_count(int(config.head_dim * config.rope_parameters["partial_rotary_factor"]))
        writer.add_expert_count(config.num_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
        writer.add_expert_shared_feed_forward_length(config.shared_expert_intermediate_size)
        writer.add_ssm_conv_kernel(config.linear_conv_kernel_dim)
        writer.add_ssm_state_size(key)
        writer.add_ssm_group_count(config.linear_num_key_heads)
        writer.add_ssm_time_step_rank(config.linear_num_value_heads)
        writer.add_ssm_inner_size(value * config.linear_num_value_heads)
        writer.add_full_attention_interval(config.layer_types.index("full_attention") + 1)

    converted = {}
    for name, w in hybrid_goldens.stacked_experts(weights).items():
        if name.endswith("norm.weight") and "linear_attn" not in name:
            w = w + np.float32(1)
        if "in_proj_qkvz" not in name:
            converted[name] = w
            continue
        # q, k, v, z of every key head, one head after the other -> all q, all k, all v; all z
        heads = w.reshape(config.linear_num_key_heads, -1, w.shape[1])
        q, k, v, z = (part.reshape(-1, w.shape[1]) for part in
                      np.split(heads, np.cumsum([key, key, per_key * value]), axis=1))
        converted[name.replace("linear_attn.in_proj_qkvz", "self_attn.qkv_proj")] = np.concatenate([q, k, v])
        gate = name.replace("linear_attn.in_proj_qkvz", "linear_attn.in_proj_z")
        converted[gate] = z
    tensors = hybrid_goldens.gguf_names("qwen3next", converted, [(r"\.dt_bias$", ".dt_proj.bias")])
    hybrid_goldens.save_gguf(folder / f"{case.name}.f32.gguf", "qwen3next", case.name, settings,
                             {name: put_away(name, w) for name, w in tensors.items()})


CASES = [
    # Older spelling: full_attention_interval, rope_theta and partial_rotary_factor at the top.
    Case("tiny-qwen3-next", Qwen3NextForCausalLM, length=80, seed=261, state_norms=hybrid_goldens.norms_per_head,
         more=keep_write_and_taps, rules=QWEN_RULES, twins=save_twin,
         config=dict(vocab_size=53, hidden_size=20, intermediate_size=7, num_hidden_layers=3, num_attention_heads=3,
                     num_key_value_heads=1, head_dim=8, max_position_embeddings=512, rms_norm_eps=2e-5,
                     linear_conv_kernel_dim=4, linear_key_head_dim=7, linear_value_head_dim=7, linear_num_key_heads=2,
                     linear_num_value_heads=6, moe_intermediate_size=5, shared_expert_intermediate_size=9,
                     num_experts=5, num_experts_per_tok=2,
                     rope_parameters={"rope_type": "default", "rope_theta": 7000.0, "partial_rotary_factor": 0.5},
                     layer_types=["linear_attention", "full_attention", "linear_attention"]),
         written={"layer_types": None, "full_attention_interval": 2, "rope_parameters": None, "rope_theta": 7000.0,
                  "rope_scaling": None, "partial_rotary_factor": 0.5, "mlp_only_layers": [], "dtype": None,
                  "torch_dtype": "float32"}),
    # Newer spelling: dense feed-forwards in layers 0 and 3, raw weights, biases of attention, wider values than keys.
    Case("tiny-qwen3-next-b", Qwen3NextForCausalLM, length=70, seed=262, state_norms=hybrid_goldens.norms_per_head,
         more=keep_write_and_taps, rules=QWEN_RULES,
         config=dict(vocab_size=47, hidden_size=18, intermediate_size=17, num_hidden_layers=4, num_attention_heads=4,
                     num_key_value_heads=2, head_dim=8, max_position_embeddings=512, rms_norm_eps=1e-5,
                     linear_conv_kernel_dim=3, linear_key_head_dim=5, linear_value_head_dim=9, linear_num_key_heads=2,
                     linear_num_value_heads=4, moe_intermediate_size=6, shared_expert_intermediate_size=8,
                     num_experts=4, num_experts_per_tok=3, norm_topk_prob=False, decoder_sparse_step=1,
                     mlp_only_layers=[0, 3], attention_bias=True, tie_word_embeddings=True,
                     rope_parameters={"rope_type": "default", "rope_theta": 2000.0, "partial_rotary_factor": 0.25},
                     layer_types=["linear_attention", "full_attention", "full_attention", "linear_attention"])),
    # As transformers writes it, which cuts the convolution in three anywhere; rotations; steps up to 2.
    Case("tiny-olmo-hybrid", OlmoHybridForCausalLM, length=80, seed=263, state_norms=hybrid_goldens.norms_per_head,
         more=keep_write_and_taps,
         config=dict(vocab_size=53, hidden_size=20, intermediate_size=27, num_hidden_layers=4, num_attention_heads=5,
                     num_key_value_heads=1, max_position_embeddings=512, rms_norm_eps=2e-5, linear_num_key_heads=2,
                     linear_num_value_heads=6, linear_key_head_dim=5, linear_value_head_dim=7, linear_conv_kernel_dim=4,
                     rope_parameters={"rope_type": "default", "rope_theta": 9000.0}, pad_token_id=None, eos_token_id=2,
                     layer_types=["linear_attention", "full_attention", "linear_attention", "full_attention"])),
    # No rotation, as the published model has none; sizes and layers left to the class; steps up to 1.
    Case("tiny-olmo-hybrid-b", OlmoHybridForCausalLM, length=50, seed=264, state_norms=hybrid_goldens.norms_per_head,
         more=keep_write_and_taps,
         config=dict(vocab_size=43, hidden_size=24, intermediate_size=19, num_hidden_layers=3, num_attention_heads=3,
                     max_position_embeddings=512, rms_norm_eps=1e-6, linear_conv_kernel_dim=3, attention_bias=True,
                     linear_allow_neg_eigval=False, rope_parameters={"rope_type": "default", "rope_theta": None},
                     pad_token_id=None, eos_token_id=2, tie_word_embeddings=True),
         rules=[(r"dt_bias$", normal(-0.5, 1.0))],
         written={"layer_types": None, "linear_num_key_heads": None, "linear_num_value_heads": None,
                  "linear_key_head_dim": None, "linear_value_head_dim": None, "num_key_value_heads": None,
                  "dtype": None, "torch_dtype": "float32"}),
]
