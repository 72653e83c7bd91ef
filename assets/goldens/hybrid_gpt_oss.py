"""gpt_oss: sinks, windows in every other layer, experts with biases and a clipped activation, a stretched rotation."""

import json

import gguf
import numpy as np
from safetensors.numpy import save_file
from transformers import GptOssForCausalLM

import hybrid_goldens
from hybrid_experts import GGUF_NAMES, add_decoder_settings, stacked
from hybrid_goldens import Case, matrix, normal

# Experts are stored [in, out] here. Gates reach the limit.
RULES = [(r"experts\.gate_up_proj$", lambda shape, rng: 2.5 * rng.standard_normal(shape) / np.sqrt(shape[-2])),
         (r"experts\.down_proj$", lambda shape, rng: rng.standard_normal(shape) / np.sqrt(shape[-2])),
         (r"router\.weight$", matrix(1.5)), (r"sinks$", normal(1.0, 1.5))]

NAMES = GGUF_NAMES | {"mlp.router": "ffn_gate_inp", "post_attention_layernorm": "post_attention_norm"}


def to_gguf(weights):
    """Gate and up apart (they alternate), rows of outputs."""
    out = {}
    for name, w in weights.items():
        whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
                 "lm_head.weight": "output.weight"}
        if name in whole:
            out[whole[name]] = w
            continue
        _, _, layer, *middle, kind = name.split(".")
        p = f"blk.{layer}."
        if kind == "sinks":
            out[p + "attn_sinks.weight"] = w
        elif kind == "gate_up_proj":
            rows = w.swapaxes(1, 2)
            out |= {p + "ffn_gate_exps.weight": rows[:, ::2], p + "ffn_up_exps.weight": rows[:, 1::2]}
        elif kind == "gate_up_proj_bias":
            out |= {p + "ffn_gate_exps.bias": w[:, ::2], p + "ffn_up_exps.bias": w[:, 1::2]}
        elif kind == "down_proj":
            out[p + "ffn_down_exps.weight"] = w.swapaxes(1, 2)
        elif kind == "down_proj_bias":
            out[p + "ffn_down_exps.bias"] = w
        else:
            out[f"{p}{NAMES['.'.join(middle)]}.{kind}"] = w
    return out


def twins(case, model, _weights, models):
    config = model.config.to_dict()

    def settings(writer):
        add_decoder_settings(writer, config)
        writer.add_expert_feed_forward_length(config["intermediate_size"])
        writer.add_sliding_window(config["sliding_window"])
        rope = config["rope_parameters"]
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])

    hybrid_goldens.save_gguf(models / f"{case.name}.f32.gguf", "gpt-oss", case.name, settings, to_gguf(stacked(model)))


# The 16 numbers that 4 bits stand for (Open Compute Project 2023, MX formats, E2M1); blocks of 32 share an exponent.
FOUR_BITS = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], dtype=np.float32)


def packed(rng, shape, exponents):
    """Random experts as published: nibbles (of element 2 i the lower one) and exponents; and what they stand for.

    shape [expert, out, in] -> blocks [expert, out, in / 32, 16], scales [expert, out, in / 32] and values [expert, in,
    out], as the class has them.
    """
    experts, rows, cols = shape
    blocks = rng.integers(0, 256, (experts, rows, cols // 32, 16), dtype=np.uint8)
    scales = rng.integers(*exponents, (experts, rows, cols // 32), dtype=np.uint8)
    nibbles = np.stack([blocks & 15, blocks >> 4], -1).reshape(experts, rows, cols // 32, 32)
    values = FOUR_BITS[nibbles] * np.exp2(scales.astype(np.float32) - 127)[..., None]
    return blocks, scales, np.ascontiguousarray(values.reshape(shape).swapaxes(1, 2))


def make_packed(case, assets):
    """A folder whose experts are packed as the published models' are, and what the class computes with their values."""
    import torch
    model = hybrid_goldens.build(case)
    rng, stored = np.random.default_rng(case.seed), {n: np.ascontiguousarray(w) for n, w in stacked(model).items()}
    for name in [n for n in stored if n.endswith("experts.gate_up_proj") or n.endswith("experts.down_proj")]:
        experts, cols, rows = stored.pop(name).shape
        blocks, scales, values = packed(rng, (experts, rows, cols), (123, 126))
        stored |= {name + "_blocks": blocks, name + "_scales": scales}
        with torch.no_grad():
            model.get_parameter(name).copy_(torch.from_numpy(values))
    tokens = hybrid_goldens.random_tokens(case, model.config.vocab_size)
    hybrid_goldens.save_golden(assets, case.name, hybrid_goldens.golden(case, model, tokens))
    folder = assets / "models" / case.name
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        stale.unlink()
    config = json.loads(model.config.to_json_string(use_diff=False)) | {
        "architectures": ["GptOssForCausalLM"],
        "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn",
                                "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]}}
    (folder / "config.json").write_text(json.dumps(hybrid_goldens.changed(config, case.written), indent=2) + "\n")
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})


CASES = [
    Case("tiny-gpt-oss", GptOssForCausalLM, length=70, seed=241, rules=RULES, twins=twins,
         attention_steps=[1, 12, 13, 14, 27, 64, 69],
         config=dict(vocab_size=53, hidden_size=18, intermediate_size=11, num_hidden_layers=3, num_attention_heads=4,
                     num_key_value_heads=2, head_dim=10, rms_norm_eps=2e-5, num_local_experts=5, num_experts_per_tok=3,
                     sliding_window=13, max_position_embeddings=512, swiglu_limit=7.0,
                     rope_parameters={"rope_type": "yarn", "rope_theta": 15000.0, "factor": 4.0, "beta_fast": 32.0,
                                      "beta_slow": 1.0, "truncate": False, "original_max_position_embeddings": 128})),
    # The older spelling; layer types of its own, a limit that is reached everywhere, one expert a token, no biases.
    Case("tiny-gpt-oss-b", GptOssForCausalLM, length=40, seed=242, rules=RULES, attention_steps=[1, 6, 7, 8, 21, 39],
         written={"rope_parameters": None, "dtype": None, "torch_dtype": "float32", "rope_theta": 30000.0,
                  "rope_scaling": {"rope_type": "yarn", "factor": 3.0, "beta_fast": 16.0, "beta_slow": 2.0,
                                   "truncate": True, "original_max_position_embeddings": 64}},
         config=dict(vocab_size=41, hidden_size=14, intermediate_size=9, num_hidden_layers=3, num_attention_heads=3,
                     num_key_value_heads=1, head_dim=8, rms_norm_eps=1e-5, num_local_experts=4, num_experts_per_tok=1,
                     sliding_window=7, max_position_embeddings=192, swiglu_limit=0.9, swiglu_alpha=1.3,
                     attention_bias=False, layer_types=["full_attention", "sliding_attention", "full_attention"],
                     rope_parameters={"rope_type": "yarn", "rope_theta": 30000.0, "factor": 3.0, "beta_fast": 16.0,
                                      "beta_slow": 2.0, "truncate": True, "original_max_position_embeddings": 64})),
    # Experts of 4 bits.
    Case("tiny-gpt-oss-packed", GptOssForCausalLM, length=40, seed=243, rules=RULES, make=make_packed,
         attention_steps=[1, 8, 9, 10, 39], written={"dtype": None, "torch_dtype": "float32"},
         config=dict(vocab_size=37, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
                     num_key_value_heads=1, head_dim=12, rms_norm_eps=1e-5, num_local_experts=5, num_experts_per_tok=2,
                     sliding_window=9, max_position_embeddings=512,
                     rope_parameters={"rope_type": "yarn", "rope_theta": 150000.0, "factor": 4.0, "beta_fast": 32.0,
                                      "beta_slow": 1.0, "truncate": False, "original_max_position_embeddings": 128})),
]
