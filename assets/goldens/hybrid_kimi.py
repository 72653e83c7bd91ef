"""Kimi Linear: delta nets whose decays differ by channel, and latent attention without positions."""

import gguf
import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import KimiLinearForCausalLM

import hybrid_goldens
from hybrid_deepseek import RULES, latent_and_groups, latent_settings, split_kv_b
from hybrid_delta import unit
from hybrid_goldens import Case


def implied_rows(query, key, decay, beta, steps):
    """[steps, head, T] of float64 [T, head, width] and beta [T, head]: what is left of every write's key at a step,
    read by its query. A key decays and is erased as the state's rows are."""
    length, heads, width = key.shape
    left = torch.zeros(length, heads, width, dtype=torch.float64)  # of the keys written so far
    rows = torch.zeros(len(steps), heads, length, dtype=torch.float64)
    for t in range(length):
        left = left * decay[t]
        left = left - beta[t][..., None] * (left * key[t]).sum(-1, keepdim=True) * key[t]
        left[t] = key[t]
        if t in steps:
            rows[steps.index(t)] = (left * query[t]).sum(-1).T / width**0.5
    return rows


@torch.no_grad()
def states_and_groups(case, model, tokens):
    """state_keep, state_write, state_read, state_row, conv_taps, and what latent attention and experts have."""
    with hybrid_goldens.recorded_calls(hybrid_goldens.code_of(model), "chunk_kimi_delta_attention") as calls:
        taps = hybrid_goldens.conv_taps(case, model, tokens)
    steps = hybrid_goldens.edges(len(tokens))
    keep, write, read, rows = [], [], [], []
    for call in calls:
        query, key, value = (x[0].double() for x in call.args[:3])  # [T, head, width]
        query, key, beta = unit(query), unit(key), call.kwargs["beta"][0].double()
        decay = call.kwargs["g"][0].double().exp()
        write.append(beta * value.norm(dim=-1) * key.norm(dim=-1))
        keep.append(hybrid_goldens.keep_of(decay))
        read.append(call.result[0][0].double().norm(dim=-1) * query.shape[-1]**0.5 / query.norm(dim=-1))
        rows.append(implied_rows(query, key, decay, beta, steps))
    return taps | latent_and_groups(case, model, tokens) | {
        "state_keep": torch.stack(keep, 1).numpy(), "state_write": torch.stack(write, 1).numpy(),
        "state_read": torch.stack(read, 1).numpy(), "state_row": torch.stack(rows, 1).numpy(),
        "state_steps": np.asarray(steps)}


def save_twins(case, model, weights, folder):
    """The tensors as the class holds them, under its own names; and as llama.cpp's converter writes them."""
    config = model.config
    whole = folder / f"{case.name}-whole"
    whole.mkdir(exist_ok=True)
    (whole / "config.json").write_text((folder / case.name / "config.json").read_text())
    save_file({name: np.ascontiguousarray(w.detach().numpy()) for name, w in model.state_dict().items()},
              whole / "model.safetensors", metadata={"format": "pt"})

    def settings(writer):
        latent_settings(writer, config, True)
        writer.add_head_count_kv([int(kind == "full_attention") for kind in config.layer_types])
        writer.add_ssm_conv_kernel(config.linear_conv_kernel_dim)
        writer.add_kda_head_dim(config.linear_head_dim)
        writer.add_expert_count(config.num_experts)
        writer.add_expert_used_count(config.num_experts_per_token)
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
        writer.add_expert_shared_count(config.num_shared_experts)
        writer.add_leading_dense_block_count(config.mlp_layer_types.count("dense"))
        writer.add_expert_weights_scale(config.routed_scaling_factor)
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)

    tensors = {}
    for name, w in hybrid_goldens.stacked_experts(weights).items():
        dense = int(name.split(".")[2]) < config.mlp_layer_types.count("dense") if ".layers." in name else False
        if dense:
            name = name.replace("block_sparse_moe", "mlp")
        if "conv1d" in name:
            w = w.reshape(1, w.shape[0], 1, w.shape[-1])
        if name.endswith("A_log"):
            w = -np.exp(w)
        tensors |= split_kv_b(name, w, config) if "kv_b_proj" in name else {name: w}
    renamed = [(r"e_score_correction_bias$", "e_score_correction.bias"), (r"\.dt_bias$", ".dt_proj.bias")]
    hybrid_goldens.save_gguf(folder / f"{case.name}.f32.gguf", "kimi-linear", case.name, settings,
                             hybrid_goldens.gguf_names("kimi-linear", tensors, renamed))


CASES = [
    # As published: layers named by their numbers from 1, settings of the delta nets in an object of their own.
    Case("tiny-kimi-linear", KimiLinearForCausalLM, length=80, seed=281, state_norms=hybrid_goldens.norms_per_head,
         more=states_and_groups, rules=RULES,
         config=dict(vocab_size=53, hidden_size=22, intermediate_size=31, moe_intermediate_size=7, num_hidden_layers=4,
                     num_attention_heads=3, num_key_value_heads=3, num_shared_experts=2, num_experts=8,
                     routed_scaling_factor=1.7, kv_lora_rank=9, q_lora_rank=None, qk_rope_head_dim=5, v_head_dim=5,
                     qk_nope_head_dim=7, num_expert_group=4, topk_group=2, num_experts_per_token=3,
                     moe_renormalize=False, model_max_length=512, rms_norm_eps=3e-5, pad_token_id=None, bos_token_id=1,
                     eos_token_id=2, first_k_dense_replace=1,
                     linear_attn_config=dict(head_dim=7, num_heads=5, short_conv_kernel_size=4, full_attn_layers=[4, 2],
                                             kda_layers=[1, 3])),
         written={"layer_types": None, "mlp_layer_types": None, "linear_head_dim": None, "linear_num_heads": None,
                  "linear_conv_kernel_dim": None, "dtype": None, "torch_dtype": "float32", "mla_use_nope": True,
                  "use_grouped_topk": True, "moe_router_activation_func": "sigmoid", "rope_theta": 10000.0}),
    # As transformers writes it: kinds of layers by name, queries of a latent, one group; and what GGUF can say.
    Case("tiny-kimi-linear-b", KimiLinearForCausalLM, length=60, seed=282, state_norms=hybrid_goldens.norms_per_head,
         more=states_and_groups, rules=RULES, twins=save_twins,
         config=dict(vocab_size=47, hidden_size=20, intermediate_size=27, moe_intermediate_size=9, num_hidden_layers=4,
                     num_attention_heads=4, num_key_value_heads=4, num_shared_experts=1, num_experts=5,
                     routed_scaling_factor=2.2, kv_lora_rank=8, q_lora_rank=6, qk_rope_head_dim=4, v_head_dim=7,
                     qk_nope_head_dim=6, num_experts_per_token=2, model_max_length=256, rms_norm_eps=1e-5,
                     pad_token_id=None, bos_token_id=1, eos_token_id=2, linear_head_dim=6, linear_num_heads=4,
                     linear_conv_kernel_dim=3,
                     layer_types=["full_attention", "linear_attention", "linear_attention", "full_attention"],
                     mlp_layer_types=["dense", "dense", "sparse", "sparse"])),
]
