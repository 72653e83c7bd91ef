"""Tiny seeded llama models, written as Hugging Face folders and GGUF files.

Shapes are irregular on purpose (query heads per key head that are no power of two, widths that fill no vector, a head
width that is not d_model / n_heads), every norm weight is random, and the weights are scaled so that attention rows are
peaky and logits spread over several units: a wrong rotation, scale or head mapping then shows at once.
"""

import json
import pathlib

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

# name -> shape of the model. `old` chooses the spelling of config.json (rope_theta, torch_dtype), else the new one
# (rope_parameters, dtype). `scaling` is the rope_scaling of transformers. `nested` puts the settings into text_config.
SHAPES = {
    "a": dict(d=42, ffn=57, heads=6, kv_heads=2, head_dim=10, layers=3, vocab=97, theta=12345.0, eps=1e-5, seed=11,
              old=True),
    "b": dict(d=34, ffn=47, heads=1, kv_heads=1, head_dim=18, layers=2, vocab=61, theta=10000.0, eps=1e-6, seed=12,
              tied=True, bias=True),
    "c": dict(d=64, ffn=96, heads=4, kv_heads=2, head_dim=16, layers=2, vocab=128, theta=100000.0, eps=1e-5, seed=13),
    "d": dict(d=36, ffn=40, heads=3, kv_heads=3, head_dim=12, layers=2, vocab=53, theta=500000.0, eps=1e-5, seed=14,
              old=True, scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                 "original_max_position_embeddings": 64}),
    "e": dict(d=24, ffn=33, heads=2, kv_heads=1, head_dim=14, layers=2, vocab=45, theta=10000.0, eps=1e-5, seed=15,
              nested=True, scaling={"rope_type": "linear", "factor": 3.0}),
}


def random_weights(shape, seed=None):
    """Hugging Face names -> float32 arrays, [out, in]."""
    rng = np.random.default_rng(shape["seed"] if seed is None else seed)
    d, ffn, hd = shape["d"], shape["ffn"], shape["head_dim"]
    q, kv = shape["heads"] * hd, shape["kv_heads"] * hd

    def matrix(rows, cols, gain):
        return (rng.standard_normal((rows, cols)) * gain / np.sqrt(cols)).astype(np.float32)

    def norm_weight():
        return rng.uniform(0.5, 1.6, d).astype(np.float32)

    def bias(n):
        return (rng.standard_normal(n) * 0.4).astype(np.float32)

    weights = {"model.embed_tokens.weight": matrix(shape["vocab"], d, np.sqrt(d) * 0.8)}
    for layer in range(shape["layers"]):
        p = f"model.layers.{layer}."
        linear = [("self_attn.q_proj", q, d, 1.5), ("self_attn.k_proj", kv, d, 1.5), ("self_attn.v_proj", kv, d, 0.9),
                  ("self_attn.o_proj", d, q, 0.9), ("mlp.gate_proj", ffn, d, 1.2), ("mlp.up_proj", ffn, d, 1.0),
                  ("mlp.down_proj", d, ffn, 0.9)]
        for name, rows, cols, gain in linear:
            weights[p + name + ".weight"] = matrix(rows, cols, gain)
            if shape.get("bias"):
                weights[p + name + ".bias"] = bias(rows)
        weights[p + "input_layernorm.weight"] = norm_weight()
        weights[p + "post_attention_layernorm.weight"] = norm_weight()
    weights["model.norm.weight"] = norm_weight()
    if not shape.get("tied"):
        weights["lm_head.weight"] = matrix(shape["vocab"], d, 2.5)
    return weights


def config_json(shape, dtype, old):
    scaling = shape.get("scaling")
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": shape["vocab"],
        "hidden_size": shape["d"], "intermediate_size": shape["ffn"], "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"], "num_key_value_heads": shape["kv_heads"], "head_dim": shape["head_dim"],
        "hidden_act": "silu", "max_position_embeddings": 512, "rms_norm_eps": shape["eps"],
        "tie_word_embeddings": bool(shape.get("tied")), "attention_bias": bool(shape.get("bias")),
        "mlp_bias": bool(shape.get("bias")), "bos_token_id": 1, "eos_token_id": 2, "use_cache": True,
    }
    if old:
        config |= {"rope_theta": shape["theta"], "rope_scaling": scaling, "torch_dtype": dtype}
    else:
        config |= {"rope_parameters": {"rope_type": "default", "rope_theta": shape["theta"]} | (scaling or {}),
                   "dtype": dtype}
    if shape.get("nested"):
        config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama",
                  "tie_word_embeddings": config["tie_word_embeddings"], "text_config": config}
    return config


def save_folder(folder, shape, weights, dtype, old, shards=1):
    """A Hugging Face folder; dtype is float32, float16 or bfloat16 and the weights are already rounded to it."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        stale.unlink()
    (folder / "config.json").write_text(json.dumps(config_json(shape, dtype, old), indent=2) + "\n")
    stored = {name: torch.from_numpy(w).to(getattr(torch, dtype)) for name, w in weights.items()}
    if shards == 1:
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names, index = sorted(stored), {}
    for part in range(shards):
        chosen = names[part * len(names) // shards:(part + 1) * len(names) // shards]
        file = f"model-{part + 1:05d}-of-{shards:05d}.safetensors"
        save_file({n: stored[n] for n in chosen}, folder / file, metadata={"format": "pt"})
        index |= {n: file for n in chosen}
    total = sum(w.nbytes for w in stored.values())
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": index}, indent=2) + "\n")


def round_to(weights, dtype):
    return {name: torch.from_numpy(w).to(getattr(torch, dtype)).to(torch.float32).numpy() for name, w in weights.items()}


GGUF_NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}


def gguf_name(name):
    whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
             "lm_head.weight": "output.weight"}
    if name in whole:
        return whole[name]
    _, _, layer, *middle, kind = name.split(".")
    return f"blk.{layer}.{GGUF_NAMES['.'.join(middle)]}.{kind}"


def permute(w, heads):
    """Half-split rotary pairs (i, i + hd/2) become adjacent ones (2i, 2i + 1): what GGUF's llama expects of q and k."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def unpermute(w, heads):
    return w.reshape(heads, w.shape[0] // heads // 2, 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def to_gguf(shape, weights):
    """GGUF names -> float32 arrays with the rows of q and k permuted."""
    out = {}
    for name, w in weights.items():
        if ".q_proj." in name or ".k_proj." in name:
            w = permute(w, shape["heads"] if ".q_proj." in name else shape["kv_heads"])
        out[gguf_name(name)] = np.ascontiguousarray(w)
    return out


def llama3_factors(shape):
    """Divisors of the rotary frequencies [head_dim / 2], as the tensor rope_freqs holds them."""
    s = shape["scaling"]
    base = 1.0 / shape["theta"] ** (np.arange(0, shape["head_dim"], 2) / shape["head_dim"])
    wavelength = 2 * np.pi / base
    low = s["original_max_position_embeddings"] / s["low_freq_factor"]
    high = s["original_max_position_embeddings"] / s["high_freq_factor"]
    smooth = (s["original_max_position_embeddings"] / wavelength - s["low_freq_factor"]) / (
        s["high_freq_factor"] - s["low_freq_factor"])
    between = 1.0 / ((1 - smooth) / s["factor"] + smooth)
    return np.where(wavelength < high, 1.0, np.where(wavelength > low, s["factor"], between)).astype(np.float32)


def save_gguf(path, shape, weights, kind="F32", name="tiny", tokenizer=None):
    """Writes a llama GGUF. Matrices are stored as `kind`, vectors as F32. tokenizer: a function that adds its keys.

    Returns the float32 weights under Hugging Face names as a reader of that file sees them (dequantized).
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    file_type = {"F32": gguf.LlamaFileType.ALL_F32, "F16": gguf.LlamaFileType.MOSTLY_F16,
                 "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0, "Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
                 "Q4_1": gguf.LlamaFileType.MOSTLY_Q4_1}[kind]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_block_count(shape["layers"])
    writer.add_context_length(512)
    writer.add_embedding_length(shape["d"])
    writer.add_feed_forward_length(shape["ffn"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["kv_heads"])
    if shape["head_dim"] * shape["heads"] != shape["d"]:
        writer.add_key_length(shape["head_dim"])
        writer.add_value_length(shape["head_dim"])
    writer.add_rope_freq_base(shape["theta"])
    writer.add_rope_dimension_count(shape["head_dim"])
    writer.add_layer_norm_rms_eps(shape["eps"])
    writer.add_vocab_size(shape["vocab"])
    writer.add_file_type(file_type)
    writer.add_quantization_version(2)
    if tokenizer is not None:
        tokenizer(writer)
    scaling = shape.get("scaling", {})
    if scaling.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(scaling["factor"])
    if scaling.get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(shape))
    seen, hf_names = {}, {gguf_name(n): n for n in weights}
    quantization = gguf.GGMLQuantizationType[kind]
    for tensor, w in to_gguf(shape, weights).items():
        stored_kind = quantization if w.ndim == 2 else gguf.GGMLQuantizationType.F32
        stored = gguf.quants.quantize(w, stored_kind)
        writer.add_tensor(tensor, stored, raw_dtype=stored_kind)
        back = gguf.quants.dequantize(stored, stored_kind).astype(np.float32).reshape(w.shape)
        hf = hf_names[tensor]
        if ".q_proj." in hf or ".k_proj." in hf:
            back = unpermute(back, shape["heads"] if ".q_proj." in hf else shape["kv_heads"])
        seen[hf] = back
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return seen
