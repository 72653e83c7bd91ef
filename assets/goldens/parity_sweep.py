"""Holds random shapes of every hybrid architecture of transformers against the engine's logits, in batches and in steps.

    python assets/goldens/parity_sweep.py ORRERY [--only NAME,NAME] [--cases 20] [--seed 1000]

Models are made as hybrid_goldens.py makes them, every parameter random, and saved by save_pretrained into a temporary
folder. A case whose logits differ by more than 1e-3 is listed with both sides' distance from float64: where the reference
itself is as far, float32 has no more to give. Needs the packages of make_goldens.py.
"""

import argparse
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile

os.environ["TQDM_DISABLE"] = "1"

import numpy as np
import torch
import transformers as hf

import hybrid_goldens

BOUND = 1e-3

R = random.Random()  # of the case at hand


def pick(*a):
    return R.choice(a)


def whole(a, b):
    """A whole number from a to b."""
    return R.randint(a, b)


# Query heads, key/value heads.
def heads(maxkv=3, maxg=3):
    kv = whole(1, maxkv)
    return kv * whole(1, maxg), kv


def rope():
    return {"rope_type": "default", "rope_theta": float(pick(500.0, 10000.0, 123456.0))}


# What all families have in common; each function below makes the class and the settings of a random model of its own.
def base():
    return dict(
        vocab_size=whole(30, 70),
        hidden_size=whole(9, 40),
        num_hidden_layers=whole(2, 5),
        max_position_embeddings=256,
        tie_word_embeddings=R.random() < 0.5,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )


def lfm2():
    c = base()
    L = c["num_hidden_layers"]
    h, kv = heads()
    c.update(num_attention_heads=h, num_key_value_heads=kv)
    c["hidden_size"] = h * whole(2, 6) * 2
    c.update(
        intermediate_size=whole(11, 60),
        block_multiple_of=pick(1, 4, 7, 16),
        block_ffn_dim_multiplier=pick(1.0, 1.3, 0.7),
        block_auto_adjust_ff_dim=R.random() < 0.5,
        conv_L_cache=whole(2, 6),
        conv_bias=R.random() < 0.5,
        norm_eps=1e-5,
        rope_parameters=rope(),
    )
    c["layer_types"] = [pick("conv", "full_attention") for _ in range(L)]
    c["layer_types"][0] = "conv"
    c["layer_types"][-1] = "full_attention"
    return hf.Lfm2ForCausalLM, c


def lfm2_moe():
    m, c = lfm2()
    E = whole(2, 7)
    k = whole(1, E)
    for x in ("block_multiple_of", "block_ffn_dim_multiplier", "block_auto_adjust_ff_dim"):
        c.pop(x)
    c.update(
        num_experts=E,
        num_experts_per_tok=k,
        moe_intermediate_size=whole(5, 20),
        num_dense_layers=whole(0, 2),
        use_expert_bias=R.random() < 0.6,
        norm_topk_prob=R.random() < 0.6,
        routed_scaling_factor=pick(1.0, 1.7),
    )
    return hf.Lfm2MoeForCausalLM, c


def lfm3():
    c = base()
    L = c["num_hidden_layers"]
    h, kv = heads()
    hd = whole(2, 6) * 2
    c.update(
        num_attention_heads=h,
        num_key_value_heads=kv,
        head_dim=hd,
        intermediate_size=whole(11, 60),
        sliding_window=whole(3, 20),
        conv_L_cache=whole(2, 7),
    )
    c["layer_types"] = [pick("conv", "full_attention", "sliding_attention") for _ in range(L)]
    c["layer_types"][0] = "conv"
    c["layer_types"][-1] = "full_attention"
    return hf.Lfm3ForCausalLM, c


def mamba():
    c = base()
    c.update(
        state_size=whole(2, 17),
        expand=pick(1, 2, 3),
        conv_kernel=whole(2, 5),
        time_step_rank=whole(1, 7),
        use_bias=R.random() < 0.5,
        use_conv_bias=R.random() < 0.5,
    )
    return hf.MambaForCausalLM, c


def falcon_mamba():
    _, c = mamba()
    c["use_bias"] = False
    return hf.FalconMambaForCausalLM, c


def mamba2():
    c = base()
    g = whole(1, 3)
    H = g * whole(1, 3)
    P = whole(2, 9)
    e = pick(1, 2)
    while (H * P) % e:
        P += 1
    c["hidden_size"] = H * P // e
    c.update(
        num_heads=H,
        head_dim=P,
        expand=e,
        n_groups=g,
        state_size=whole(2, 19),
        conv_kernel=whole(2, 5),
        chunk_size=whole(4, 20),
        use_bias=R.random() < 0.5,
        use_conv_bias=R.random() < 0.5,
        rms_norm=True,
    )
    if R.random() < 0.5:
        c["time_step_limit"] = (0.05, 0.7)
    return hf.Mamba2ForCausalLM, c


def jamba():
    c = base()
    h, kv = heads()
    c.update(num_attention_heads=h, num_key_value_heads=kv)
    c["hidden_size"] = h * whole(2, 8)
    E = whole(2, 6)
    c.update(
        num_hidden_layers=whole(4, 6),
        intermediate_size=whole(9, 40),
        num_experts=E,
        num_experts_per_tok=whole(1, E),
        expert_layer_period=pick(1, 2, 3),
        expert_layer_offset=0,
        attn_layer_period=pick(2, 3),
        attn_layer_offset=1,
        mamba_d_state=whole(2, 17),
        mamba_d_conv=whole(2, 5),
        mamba_expand=pick(1, 2),
        mamba_dt_rank=whole(1, 6),
        mamba_conv_bias=R.random() < 0.5,
        mamba_proj_bias=R.random() < 0.5,
        use_mamba_kernels=False,
    )
    return hf.JambaForCausalLM, c


def bamba():
    c = base()
    h, kv = heads()
    g = whole(1, 2)
    H = g * whole(1, 3)
    import math

    unit = H * h // math.gcd(H, h)
    d = unit * 2 * whole(1, max(1, 20 // unit))
    e = pick(1, 2)
    c.update(
        num_attention_heads=h,
        num_key_value_heads=kv,
        hidden_size=d,
        intermediate_size=whole(9, 50),
        mamba_n_heads=H,
        mamba_d_head=e * d // H,
        mamba_n_groups=g,
        mamba_d_state=whole(2, 17),
        mamba_d_conv=whole(2, 5),
        mamba_expand=e,
        mamba_chunk_size=whole(4, 20),
        mamba_conv_bias=R.random() < 0.5,
        mamba_proj_bias=R.random() < 0.5,
    )
    L = c["num_hidden_layers"]
    c["attn_layer_indices"] = sorted(R.sample(range(L), whole(1, L - 1)))
    c["rope_parameters"] = rope() | {"partial_rotary_factor": pick(0.5, 1.0)}
    if int(d // h * c["rope_parameters"]["partial_rotary_factor"]) % 2:
        c["rope_parameters"]["partial_rotary_factor"] = 1.0
    if (d // h) % 2:
        return bamba()
    return hf.BambaForCausalLM, c


def granite():
    m, c = bamba()
    c.pop("attn_layer_indices")
    L = c["num_hidden_layers"]
    c.pop("rope_parameters")
    c["layer_types"] = [pick("mamba", "attention") for _ in range(L)]
    c["layer_types"][0] = "mamba"
    c["layer_types"][-1] = "attention"
    E = pick(0, 0, 3, 5)
    c.update(
        num_local_experts=E,
        num_experts_per_tok=whole(1, E) if E else 0,
        shared_intermediate_size=whole(7, 40),
        embedding_multiplier=pick(1.0, 7.0),
        logits_scaling=pick(1.0, 3.0),
        residual_multiplier=pick(1.0, 0.4),
        attention_multiplier=pick(1.0, 0.2, 0.31),
        position_embedding_type=pick(None, "rope"),
    )
    if c["position_embedding_type"] is None:
        c.pop("position_embedding_type")
    return hf.GraniteMoeHybridForCausalLM, c


def falcon_h1():
    c = base()
    h, kv = heads()
    g = whole(1, 2)
    H = g * whole(1, 3)
    P = whole(2, 9)
    c.update(
        num_attention_heads=h,
        num_key_value_heads=kv,
        head_dim=2 * whole(2, 6),
        intermediate_size=whole(9, 50),
        mamba_n_heads=H,
        mamba_d_head=P,
        mamba_d_ssm=H * P,
        mamba_n_groups=g,
        mamba_d_state=whole(2, 17),
        mamba_d_conv=whole(2, 4),
        mamba_chunk_size=whole(4, 20),
        mamba_conv_bias=R.random() < 0.5,
        mamba_proj_bias=False,
        projectors_bias=R.random() < 0.4,
        mamba_rms_norm=R.random() < 0.6,
        mamba_norm_before_gate=R.random() < 0.5,
        attention_bias=R.random() < 0.3,
        mlp_bias=R.random() < 0.3,
        embedding_multiplier=pick(1.0, 3.0),
        lm_head_multiplier=pick(1.0, 0.4),
        key_multiplier=pick(1.0, 0.6),
        attention_in_multiplier=pick(1.0, 0.8),
        attention_out_multiplier=pick(1.0, 1.3),
        ssm_in_multiplier=pick(1.0, 1.2),
        ssm_out_multiplier=pick(1.0, 0.7),
        ssm_multipliers=[pick(1.0, 0.5, 1.4) for _ in range(5)],
        mlp_multipliers=[pick(1.0, 0.7), pick(1.0, 1.3)],
        rope_parameters=rope(),
    )
    return hf.FalconH1ForCausalLM, c


def nemotron_h():
    c = base()
    h, kv = heads()
    g = whole(1, 2)
    H = g * whole(1, 3)
    P = whole(2, 9)
    E = pick(4, 6, 8)
    ng = pick(1, 2)
    L = whole(4, 7)
    pat = [pick("mamba", "attention", "moe", "mlp") for _ in range(L)]
    pat[0] = "mamba"
    pat[1] = "attention"
    c.pop("num_hidden_layers")
    c.update(
        layers_block_type=pat,
        num_attention_heads=h,
        num_key_value_heads=kv,
        head_dim=2 * whole(2, 6),
        intermediate_size=whole(9, 50),
        mamba_num_heads=H,
        mamba_head_dim=P,
        n_groups=g,
        ssm_state_size=whole(2, 17),
        conv_kernel=whole(2, 5),
        chunk_size=whole(4, 20),
        use_bias=R.random() < 0.4,
        use_conv_bias=R.random() < 0.5,
        mlp_bias=R.random() < 0.3,
        attention_bias=R.random() < 0.3,
        n_routed_experts=E,
        num_experts_per_tok=whole(1, E // ng),
        moe_intermediate_size=whole(5, 15),
        moe_shared_expert_intermediate_size=whole(5, 15),
        n_shared_experts=1,
        n_group=ng,
        topk_group=whole(1, ng),
        routed_scaling_factor=pick(1.0, 2.2),
        norm_topk_prob=R.random() < 0.6,
    )
    if R.random() < 0.4:
        c["moe_latent_size"] = whole(5, 12)
    return hf.NemotronHForCausalLM, c


def qwen3_next():
    c = base()
    h, kv = heads()
    kh = whole(1, 3)
    vh = kh * whole(1, 3)
    L = whole(3, 5)
    E = whole(2, 6)
    hd = 4 * whole(1, 4)
    c.update(
        num_hidden_layers=L,
        num_attention_heads=h,
        num_key_value_heads=kv,
        head_dim=hd,
        intermediate_size=whole(9, 40),
        linear_num_key_heads=kh,
        linear_num_value_heads=vh,
        linear_key_head_dim=whole(3, 9),
        linear_value_head_dim=whole(3, 9),
        linear_conv_kernel_dim=whole(2, 5),
        num_experts=E,
        num_experts_per_tok=whole(1, E),
        moe_intermediate_size=whole(5, 15),
        shared_expert_intermediate_size=whole(5, 15),
        norm_topk_prob=R.random() < 0.6,
        decoder_sparse_step=pick(1, 2),
        mlp_only_layers=pick([], [0]),
        rope_parameters=rope() | {"partial_rotary_factor": pick(0.5, 1.0)},
        attention_bias=R.random() < 0.3,
    )
    c["layer_types"] = [pick("linear_attention", "full_attention") for _ in range(L)]
    c["layer_types"][0] = "linear_attention"
    c["layer_types"][-1] = "full_attention"
    return hf.Qwen3NextForCausalLM, c


def olmo_hybrid():
    c = base()
    h, kv = heads()
    kh = whole(1, 3)
    vh = kh * whole(1, 2)
    L = whole(3, 5)
    hd = 2 * whole(2, 5)
    c["hidden_size"] = h * hd
    c.update(
        num_hidden_layers=L,
        num_attention_heads=h,
        num_key_value_heads=kv,
        intermediate_size=whole(9, 40),
        linear_num_key_heads=kh,
        linear_num_value_heads=vh,
        linear_key_head_dim=whole(3, 9),
        linear_value_head_dim=whole(3, 9),
        linear_conv_kernel_dim=whole(2, 5),
        linear_allow_neg_eigval=R.random() < 0.5,
    )
    c["layer_types"] = [pick("linear_attention", "full_attention") for _ in range(L)]
    c["layer_types"][0] = "linear_attention"
    c["layer_types"][-1] = "full_attention"
    return hf.OlmoHybridForCausalLM, c


def minimax():
    c = base()
    h, kv = heads()
    L = c["num_hidden_layers"]
    E = whole(2, 6)
    hd = 2 * whole(2, 6)
    c.update(
        num_attention_heads=h,
        num_key_value_heads=kv,
        head_dim=hd,
        intermediate_size=whole(9, 30),
        num_local_experts=E,
        num_experts_per_tok=whole(1, E),
        block_size=whole(3, 20),
        rope_parameters=rope(),
        full_attn_alpha_factor=pick(1, 1.3),
        full_attn_beta_factor=pick(1, 0.7),
        linear_attn_alpha_factor=pick(1, 0.8),
        linear_attn_beta_factor=pick(1, 1.2),
        mlp_alpha_factor=pick(1, 0.9),
        mlp_beta_factor=pick(1, 1.1),
    )
    c["layer_types"] = [pick("linear_attention", "full_attention") for _ in range(L)]
    c["layer_types"][0] = "linear_attention"
    c["layer_types"][-1] = "full_attention"
    return hf.MiniMaxForCausalLM, c


def mixtral():
    c = base()
    h, kv = heads()
    E = whole(2, 7)
    c.update(
        num_attention_heads=h,
        num_key_value_heads=kv,
        head_dim=2 * whole(2, 6),
        intermediate_size=whole(9, 30),
        num_local_experts=E,
        num_experts_per_tok=whole(1, E),
        sliding_window=pick(None, 7),
        rope_parameters=rope(),
    )
    return hf.MixtralForCausalLM, c


def qwen3_moe():
    c = base()
    h, kv = heads()
    E = whole(2, 7)
    c.update(
        num_attention_heads=h,
        num_key_value_heads=kv,
        head_dim=2 * whole(2, 6),
        intermediate_size=whole(9, 30),
        moe_intermediate_size=whole(5, 15),
        num_experts=E,
        num_experts_per_tok=whole(1, E),
        norm_topk_prob=R.random() < 0.5,
        decoder_sparse_step=pick(1, 2),
        mlp_only_layers=pick([], [0]),
        attention_bias=R.random() < 0.3,
        rope_parameters=rope(),
    )
    return hf.Qwen3MoeForCausalLM, c


def olmoe():
    c = base()
    h, kv = heads()
    E = whole(2, 7)
    c["hidden_size"] = h * 2 * whole(2, 5)
    c.update(
        num_attention_heads=h,
        num_key_value_heads=kv,
        intermediate_size=whole(9, 30),
        num_experts=E,
        num_experts_per_tok=whole(1, E),
        norm_topk_prob=R.random() < 0.5,
        attention_bias=R.random() < 0.3,
        clip_qkv=pick(None, 0.8),
        rope_parameters=rope(),
    )
    return hf.OlmoeForCausalLM, c


def gpt_oss():
    c = base()
    h, kv = heads()
    E = whole(2, 7)
    c.update(
        num_attention_heads=h,
        num_key_value_heads=kv,
        head_dim=2 * whole(3, 6),
        intermediate_size=whole(9, 30),
        num_local_experts=E,
        num_experts_per_tok=whole(1, E),
        sliding_window=whole(3, 20),
        attention_bias=R.random() < 0.7,
    )
    if R.random() < 0.5:
        c["rope_parameters"] = rope()
    else:
        c["rope_parameters"] = {
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "truncate": False,
            "original_max_position_embeddings": 64,
        }
    return hf.GptOssForCausalLM, c


def zamba2():
    c = base()
    h = whole(1, 3)
    g = whole(1, 2)
    H = g * whole(1, 3)
    hd = 2 * whole(1, 3) * 2
    d = h * hd // 2
    e = 2
    while (e * d) % H:
        H -= 1
    if H % g:
        g = 1
    L = whole(4, 6)
    lt = ["mamba"] * L
    for i in R.sample(range(L), whole(2, 3)):
        lt[i] = "hybrid"
    nb = lt.count("hybrid")
    c.update(
        hidden_size=d,
        num_hidden_layers=L,
        layers_block_type=lt,
        num_attention_heads=h,
        num_key_value_heads=h,
        intermediate_size=whole(9, 40),
        mamba_d_state=whole(2, 17),
        mamba_d_conv=whole(2, 5),
        mamba_expand=e,
        mamba_ngroups=g,
        n_mamba_heads=H,
        num_mem_blocks=whole(1, 2),
        use_shared_attention_adapter=R.random() < 0.5,
        adapter_rank=whole(2, 5),
        use_mem_rope=R.random() < 0.6,
        chunk_size=whole(4, 20),
        use_conv_bias=R.random() < 0.5,
        add_bias_linear=R.random() < 0.3,
    )
    return hf.Zamba2ForCausalLM, c


# Experts in groups beside a shared one; of each group at least two, for its rank is the sum of its best two.
def grouped_experts(names):
    groups = whole(1, 4)
    size = whole(2, 4)
    kept = whole(1, groups)
    values = dict(
        n_group=groups,
        topk_group=kept,
        num_experts=groups * size,
        per_token=whole(1, kept * size),
        n_shared_experts=whole(1, 2),
        norm_topk_prob=R.random() < 0.6,
    )
    return {names.get(key, key): value for key, value in values.items()} | dict(
        moe_intermediate_size=whole(5, 15), routed_scaling_factor=pick(1.0, 1.7), intermediate_size=whole(11, 40)
    )


def latent_attention(even_rope):
    h = whole(1, 5)
    return dict(
        num_attention_heads=h,
        num_key_value_heads=h,
        kv_lora_rank=whole(1, 20),
        q_lora_rank=pick(None, whole(1, 20)),
        qk_rope_head_dim=2 * whole(1, 5) if even_rope else whole(1, 9),
        qk_nope_head_dim=whole(1, 12),
        v_head_dim=whole(1, 12),
        attention_bias=R.random() < 0.4,
    )


def deepseek_v3():
    c = base()
    c.update(grouped_experts({"num_experts": "n_routed_experts", "per_token": "num_experts_per_tok"}))
    c.update(latent_attention(True))
    c.update(
        first_k_dense_replace=whole(0, c["num_hidden_layers"]),
        rope_interleave=R.random() < 0.6,
        num_nextn_predict_layers=0,
        rope_parameters=rope(),
    )
    if R.random() < 0.5:
        c["rope_parameters"] |= {"rope_type": "yarn", "factor": pick(2.0, 8.0), "original_max_position_embeddings": 32}
        c["rope_parameters"] |= pick({}, {"mscale": 1.0, "mscale_all_dim": 0.7}, {"mscale_all_dim": 1.3})
    return hf.DeepseekV3ForCausalLM, c


def deepseek_v2():
    _, c = deepseek_v3()
    for key in ("norm_topk_prob", "rope_interleave", "num_nextn_predict_layers"):
        c.pop(key)
    c["topk_method"] = pick("greedy", "group_limited_greedy")
    c["hidden_size"] = c["num_attention_heads"] * whole(3, 9)
    # The class reads pairs out of rows of these and the rotary width.
    c["kv_lora_rank"] *= 2
    c["qk_nope_head_dim"] *= 2
    return hf.DeepseekV2ForCausalLM, c


def kimi_linear():
    c = base()
    c.update(
        grouped_experts(
            {
                "n_group": "num_expert_group",
                "per_token": "num_experts_per_token",
                "n_shared_experts": "num_shared_experts",
                "norm_topk_prob": "moe_renormalize",
            }
        )
    )
    c.update(latent_attention(False))
    L = c["num_hidden_layers"]
    c.update(
        tie_word_embeddings=False,
        model_max_length=256,
        linear_head_dim=whole(2, 9),
        linear_num_heads=whole(1, 5),
        linear_conv_kernel_dim=whole(2, 5),
        layer_types=[pick("linear_attention", "full_attention") for _ in range(L)],
        mlp_layer_types=[pick("dense", "sparse") for _ in range(L)],
    )
    c.pop("max_position_embeddings")
    return hf.KimiLinearForCausalLM, c
def recurrent_gemma():
    c = base()
    h, kv = heads()
    width = h * whole(2, 9)
    c.update(
        num_attention_heads=h,
        num_key_value_heads=kv,
        hidden_size=h * 4 * whole(1, 3),
        intermediate_size=whole(9, 60),
        lru_width=pick(None, width),
        attention_window_size=whole(3, 20),
        conv1d_width=whole(2, 5),
        logits_soft_cap=pick(30.0, 5.0),
        attention_bias=R.random() < 0.3,
        rope_parameters=rope() | {"partial_rotary_factor": pick(0.5, 1.0)},
        block_types=[pick("recurrent", "attention") for _ in range(whole(1, 4))],
    )
    return hf.RecurrentGemmaForCausalLM, c


FAMILIES = dict(
    lfm2=lfm2,
    lfm2_moe=lfm2_moe,
    lfm3=lfm3,
    mamba=mamba,
    falcon_mamba=falcon_mamba,
    mamba2=mamba2,
    jamba=jamba,
    bamba=bamba,
    granitemoehybrid=granite,
    falcon_h1=falcon_h1,
    nemotron_h=nemotron_h,
    qwen3_next=qwen3_next,
    olmo_hybrid=olmo_hybrid,
    minimax=minimax,
    mixtral=mixtral,
    qwen3_moe=qwen3_moe,
    olmoe=olmoe,
    gpt_oss=gpt_oss,
    zamba2=zamba2,
    deepseek_v2=deepseek_v2,
    deepseek_v3=deepseek_v3,
    kimi_linear=kimi_linear,
    recurrent_gemma=recurrent_gemma,
)


def build(name, seed):
    """(model, tokens), or the sentence of the reference that refuses such a shape."""
    R.seed(f"{name}{seed}")
    model_class, settings = FAMILIES[name]()
    try:
        config = model_class.config_class(**settings)
        config._attn_implementation = "eager"
        config._experts_implementation = "eager"
        model = model_class(config).to(torch.float32).eval()
        # Tables that follow from the settings are saved with the weights, and stay what they are.
        tables = {key: value.clone() for key, value in model.state_dict().items() if "decay" in key or "slope" in key}
        hybrid_goldens.fill_randomly(model, seed)
        for key, value in model.state_dict(keep_vars=True).items():
            if key in tables:
                value.data.copy_(tables[key])
    except (ValueError, RuntimeError, ZeroDivisionError, TypeError) as refusal:
        return str(refusal)
    tokens = np.random.default_rng(seed).integers(0, settings["vocab_size"], R.randint(20, 70))
    return model, tokens


def logits(model, tokens):
    with torch.no_grad():
        return model(torch.tensor(tokens)[None], use_cache=False).logits[0].numpy()


def engine_logits(orrery, folder, tokens, options):
    out = folder / "logits.npy"
    listed = ",".join(map(str, tokens))
    done = subprocess.run(
        [orrery, "logits", "--model", folder, "--tokens", listed, "--out", out, *options],
        capture_output=True,
        text=True,
    )
    return np.load(out) if done.returncode == 0 else done.stderr.strip()


def check(orrery, name, seed, folder):
    """The greatest difference, or None where the reference has no such model."""
    built = build(name, seed)
    if isinstance(built, str):
        return None
    model, tokens = built
    expected = logits(model, tokens)
    if not np.isfinite(expected).all():
        return None
    model.save_pretrained(folder)
    worst = 0.0
    for options in ([], ["--steps"]):
        got = engine_logits(orrery, folder, tokens, options)
        if isinstance(got, str):
            print(f"{name} {seed}: {got}")
            return math.inf
        difference = np.abs(got - expected).max()
        if not difference <= BOUND:
            exact = logits(model.double(), tokens)
            model.float()
            print(
                f"{name} {seed} {options}: {difference:.2e}; from float64: the engine {np.abs(got - exact).max():.2e}, "
                f"transformers {np.abs(expected - exact).max():.2e}"
            )
        worst = max(worst, difference)
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("orrery", help="the program")
    parser.add_argument("--only", help="architectures, separated by commas")
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    hf.utils.logging.set_verbosity_error()
    hf.utils.logging.disable_progress_bar()
    n_beyond = 0
    for name in args.only.split(",") if args.only else FAMILIES:
        found = []
        for seed in range(args.seed, args.seed + args.cases):
            with tempfile.TemporaryDirectory() as folder:
                found.append(check(args.orrery, name, seed, pathlib.Path(folder)))
        there = [difference for difference in found if difference is not None]
        beyond = sum(not difference <= BOUND for difference in there)
        n_beyond += beyond
        print(
            f"{name}: {len(there)} of {len(found)} shapes exist, {beyond} beyond {BOUND}, greatest {max(there, default=0):.1e}",
            flush=True,
        )
    sys.exit(n_beyond > 0)


if __name__ == "__main__":
    main()
