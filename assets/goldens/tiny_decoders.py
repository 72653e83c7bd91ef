"""Tiny seeded qwen2, qwen3, mistral, gemma2 and gemma3 models, written as Hugging Face folders and GGUF files.

As with tiny_llama.py: irregular shapes, every weight random (biases and the weights of norms too), rows of attention
peaky. Windows are crossed more than twice, and lie across pages of 64 keys.
"""

import json
import pathlib

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

import tiny_llama

# `config` is what config.json says beside the sizes. `nested` puts it into text_config under a gemma3 with a vision
# tower. `steps` are the positions whose attention rows are kept.
MODELS = {
    # Old spelling; the upper two layers have a window; heads as wide as Qwen2 knows them: d / heads.
    "tiny-qwen2": dict(
        seed=31, d=36, ffn=45, heads=6, kv_heads=2, head_dim=6, layers=3, vocab=61, length=80, bias=("q", "k", "v"),
        config={"model_type": "qwen2", "rms_norm_eps": 1e-6, "rope_theta": 54321.0, "torch_dtype": "float32",
                "use_sliding_window": True, "sliding_window": 17, "max_window_layers": 1, "hidden_act": "silu",
                "tie_word_embeddings": True}),
    # New spelling; windows by layer_types.
    "tiny-qwen3": dict(
        seed=32, d=28, ffn=41, heads=6, kv_heads=3, head_dim=10, layers=3, vocab=59, length=80, qk_norm=True,
        bias=("q", "k", "v", "o"),
        config={"model_type": "qwen3", "head_dim": 10, "rms_norm_eps": 1e-5, "dtype": "float32",
                "rope_parameters": {"rope_type": "default", "rope_theta": 70000.0}, "attention_bias": True,
                "use_sliding_window": True, "sliding_window": 5, "max_window_layers": 3, "hidden_act": "silu",
                "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
                "tie_word_embeddings": False}),
    # What a GGUF file can say: no window. Widths that Q8_0 can hold.
    "tiny-qwen3-b": dict(
        seed=33, d=32, ffn=64, heads=4, kv_heads=2, head_dim=24, layers=2, vocab=67, length=40, qk_norm=True, gguf="qwen3",
        gguf_kinds=["F32", "Q8_0"],
        config={"model_type": "qwen3", "head_dim": 24, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "hidden_act": "silu",
                "tie_word_embeddings": True}),
    # A window that is longer than a page, in all layers.
    "tiny-mistral": dict(
        seed=34, d=30, ffn=37, heads=5, kv_heads=1, head_dim=8, layers=2, vocab=47, length=150,
        config={"model_type": "mistral", "head_dim": 8, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
                "torch_dtype": "float32", "sliding_window": 70, "tie_word_embeddings": False}),
    # Capped scores and logits; a window in every other layer, left to the default.
    "tiny-gemma2": dict(
        seed=37, d=20, ffn=27, heads=4, kv_heads=2, head_dim=6, layers=3, vocab=43, length=80, gemma=True, gguf="gemma2",
        gguf_kinds=["F32"],
        config={"model_type": "gemma2", "head_dim": 6, "rms_norm_eps": 1e-6, "torch_dtype": "float32",
                "rope_theta": 20000.0, "sliding_window": 17, "query_pre_attn_scalar": 9, "attn_logit_softcapping": 1.5,
                "final_logit_softcapping": 5.0, "hidden_activation": "gelu_pytorch_tanh"}),
    # Old spelling, the pattern left to its default (every sixth layer is full), a scaled full rotation, capped logits.
    "tiny-gemma3": dict(
        seed=35, d=18, ffn=26, heads=3, kv_heads=1, head_dim=10, layers=7, vocab=53, length=150, qk_norm=True, gemma=True,
        gguf="gemma3", gguf_kinds=["F32"],
        config={"model_type": "gemma3_text", "head_dim": 10, "rms_norm_eps": 1e-6, "torch_dtype": "float32",
                "rope_theta": 300000.0, "rope_local_base_freq": 5000.0,
                "rope_scaling": {"rope_type": "linear", "factor": 8.0}, "sliding_window": 17,
                "query_pre_attn_scalar": 7, "final_logit_softcapping": 4.0, "hidden_activation": "gelu_pytorch_tanh"}),
    # New spelling, beside a vision tower, in bfloat16.
    "tiny-gemma3-b": dict(
        seed=36, d=32, ffn=32, heads=4, kv_heads=2, head_dim=16, layers=3, vocab=71, length=150, qk_norm=True, gemma=True,
        gguf="gemma3", gguf_kinds=["Q8_0"], dtype="bfloat16", nested=True,
        config={"model_type": "gemma3_text", "head_dim": 16, "rms_norm_eps": 1e-6, "dtype": "bfloat16",
                "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 200000.0},
                                    "sliding_attention": {"rope_type": "default", "rope_theta": 8000.0}},
                "sliding_window": 70, "query_pre_attn_scalar": 16, "hidden_activation": "gelu_pytorch_tanh",
                "layer_types": ["full_attention", "sliding_attention", "sliding_attention"],
                "tie_word_embeddings": False}),
}


def settings(shape):
    """The text model's config.json."""
    sizes = {"vocab_size": shape["vocab"], "hidden_size": shape["d"], "intermediate_size": shape["ffn"],
             "num_hidden_layers": shape["layers"], "num_attention_heads": shape["heads"],
             "num_key_value_heads": shape["kv_heads"], "max_position_embeddings": 512}
    return sizes | shape["config"]


def random_weights(shape):
    """Hugging Face names of the text model -> float32 arrays, [out, in]."""
    rng = np.random.default_rng(shape["seed"])
    d, ffn, hd = shape["d"], shape["ffn"], shape["head_dim"]
    q, kv, gemma = shape["heads"] * hd, shape["kv_heads"] * hd, shape.get("gemma")

    def matrix(rows, cols, gain):
        return (rng.standard_normal((rows, cols)) * gain / np.sqrt(cols)).astype(np.float32)

    def norm_weight(n=d, gain=1.0):
        return (rng.uniform(0.5, 1.6, n) * gain - (1.0 if gemma else 0.0)).astype(np.float32)

    # Gemma multiplies embeddings by sqrt(d).
    weights = {"model.embed_tokens.weight": matrix(shape["vocab"], d, 0.8 if gemma else np.sqrt(d) * 0.8)}
    for layer in range(shape["layers"]):
        p = f"model.layers.{layer}."
        linear = [("self_attn.q_proj", q, d, 1.5), ("self_attn.k_proj", kv, d, 1.5), ("self_attn.v_proj", kv, d, 0.9),
                  ("self_attn.o_proj", d, q, 0.9), ("mlp.gate_proj", ffn, d, 1.2), ("mlp.up_proj", ffn, d, 1.0),
                  ("mlp.down_proj", d, ffn, 0.9)]
        for name, rows, cols, gain in linear:
            weights[p + name + ".weight"] = matrix(rows, cols, gain)
            if name[len("self_attn."):][:1] in shape.get("bias", ()) and name.startswith("self_attn."):
                weights[p + name + ".bias"] = (rng.standard_normal(rows) * 0.4).astype(np.float32)
        norms = ["input_layernorm", "post_attention_layernorm"]
        if gemma:
            norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
        weights |= {p + name + ".weight": norm_weight() for name in norms}
        if shape.get("qk_norm"):
            weights |= {p + f"self_attn.{name}_norm.weight": norm_weight(hd, 1.5) for name in "qk"}
    weights["model.norm.weight"] = norm_weight()
    if not settings(shape).get("tie_word_embeddings", bool(gemma)):
        weights["lm_head.weight"] = matrix(shape["vocab"], d, 2.5)
    return weights


def save_folder(folder, shape, weights):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        stale.unlink()
    config, dtype = settings(shape), shape.get("dtype", "float32")
    stored = {name: torch.from_numpy(w).to(getattr(torch, dtype)) for name, w in weights.items()}
    if shape.get("nested"):
        config = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "dtype": config["dtype"],
                  "tie_word_embeddings": config["tie_word_embeddings"], "image_token_index": 70,
                  "text_config": config, "vision_config": {"hidden_size": 12, "model_type": "siglip_vision_model"}}
        stored = {n.replace("model.", "model.language_model.", 1): w for n, w in stored.items()}
        stored["model.vision_tower.vision_model.post_layernorm.weight"] = torch.ones(12, dtype=getattr(torch, dtype))
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})


GGUF_NAMES = tiny_llama.GGUF_NAMES | {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
# Gemma's norms: post_attention_layernorm comes after the attention, not before the feed-forward.
GEMMA_GGUF_NAMES = GGUF_NAMES | {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
                                 "post_feedforward_layernorm": "post_ffw_norm"}


def gguf_name(shape, name):
    whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
             "lm_head.weight": "output.weight"}
    if name in whole:
        return whole[name]
    _, _, layer, *middle, kind = name.split(".")
    names = GEMMA_GGUF_NAMES if shape.get("gemma") else GGUF_NAMES
    return f"blk.{layer}.{names['.'.join(middle)]}.{kind}"


def save_gguf(path, name, shape, weights, kind):
    """Matrices as `kind`, vectors as F32. Returns the Hugging Face weights as a reader of that file sees them."""
    config = settings(shape)
    writer = gguf.GGUFWriter(path, shape["gguf"])
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_block_count(shape["layers"])
    writer.add_context_length(512)
    writer.add_embedding_length(shape["d"])
    writer.add_feed_forward_length(shape["ffn"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["kv_heads"])
    writer.add_key_length(shape["head_dim"])
    writer.add_value_length(shape["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    rope = config.get("rope_parameters", {})
    writer.add_rope_freq_base(rope.get("full_attention", config).get("rope_theta"))
    if shape.get("gemma"):
        add_gemma_keys(writer, shape, config)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32 if kind == "F32" else gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(2)
    quantization, seen = gguf.GGMLQuantizationType[kind], {}
    for hf, w in weights.items():
        plus = 1.0 if shape.get("gemma") and w.ndim == 1 else 0.0  # every vector of Gemma is the weight of a norm
        stored_kind = quantization if w.ndim == 2 else gguf.GGMLQuantizationType.F32
        stored = gguf.quants.quantize(np.ascontiguousarray(w + np.float32(plus)), stored_kind)
        writer.add_tensor(gguf_name(shape, hf), stored, raw_dtype=stored_kind)
        seen[hf] = gguf.quants.dequantize(stored, stored_kind).astype(np.float32).reshape(w.shape) - np.float32(plus)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return seen


def add_gemma_keys(writer, shape, config):
    if shape["gguf"] == "gemma3":
        sliding = config.get("rope_parameters", {}).get("sliding_attention", {})
        writer.add_rope_freq_base_swa(sliding.get("rope_theta", config.get("rope_local_base_freq")))
    writer.add_sliding_window(config["sliding_window"])
    if "layer_types" in config:
        writer.add_sliding_window_pattern([t == "sliding_attention" for t in config["layer_types"]])
    if config["query_pre_attn_scalar"] != shape["head_dim"]:
        writer.add_attention_scale(config["query_pre_attn_scalar"] ** -0.5)
    if "attn_logit_softcapping" in config:
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
    if "final_logit_softcapping" in config:
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])
    if "rope_scaling" in config:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(config["rope_scaling"]["factor"])
