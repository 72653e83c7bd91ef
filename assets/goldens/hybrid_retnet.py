"""Tiny RetNets (Sun et al. 2023) with the names and settings of flash-linear-attention's RetNetForCausalLM.

That package is not needed: the golden is an independent computation in float64 from the paper's equations (recurrent
form, eq. 6, in heads with decays of their own, eq. 8, with rotations in place of xPos and RMS norm in place of
GroupNorm, as flash-linear-attention has them). Layers that `attn` lists are softmax attention.
"""

import numpy as np

import float64_reference as reference
import hybrid_goldens
from hybrid_goldens import Case


def sizes(config):
    key_width, value_width = (int(config["hidden_size"] * config[k]) for k in ("expand_k", "expand_v"))
    heads = config["num_heads"]
    return dict(heads=heads, kv_heads=config.get("num_kv_heads") or heads, width_k=key_width // heads,
                width_v=value_width // heads)


def norm_name(config):
    """Norm and gate are one module where they can be fused, which changes the norm's name alone."""
    return "g_norm_swish_gate" if config.get("fuse_norm", True) and config.get("use_output_gate", True) else "g_norm"


def is_softmax(config, layer):
    return layer in (config.get("attn") or {}).get("layers", [])


def retention_shapes(config, p):
    d, s = config["hidden_size"], sizes(config)
    q, v = s["heads"] * s["width_k"], s["heads"] * s["width_v"]
    shapes = {p + "q_proj.weight": (q, d), p + "k_proj.weight": (s["kv_heads"] * s["width_k"], d),
              p + "v_proj.weight": (s["kv_heads"] * s["width_v"], d), p + "o_proj.weight": (d, v)}
    if config.get("use_output_gate", True):
        shapes[p + "g_proj.weight"] = (v, d)
    if config.get("elementwise_affine", True):
        shapes[f"{p}{norm_name(config)}.weight"] = (s["width_v"],)
    return shapes


def shapes_of(config):
    d, ffn, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    shapes = {"model.embeddings.weight": (vocab, d), "model.norm.weight": (d,)}
    for layer in range(config["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        if is_softmax(config, layer):
            shapes |= reference.attention_shapes(d, config["attn"], p + "attn.")
        else:
            shapes |= retention_shapes(config, p + "attn.")
        shapes |= {p + "attn_norm.weight": (d,), p + "mlp_norm.weight": (d,)} | reference.mlp_shapes(d, ffn, p + "mlp.")
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocab, d)
    return shapes


def retention(model, x, prefix, config):
    """S = gamma S + v k^T, y = S q / sqrt(width), one state per query head; gamma_h = 1 - 2^(-5 - h)."""
    s, length = sizes(config), len(x)
    q = (x @ model[prefix + "q_proj.weight"].T).reshape(length, s["heads"], s["width_k"])
    k = (x @ model[prefix + "k_proj.weight"].T).reshape(length, s["kv_heads"], s["width_k"])
    v = (x @ model[prefix + "v_proj.weight"].T).reshape(length, s["kv_heads"], s["width_v"])
    share = s["heads"] // s["kv_heads"]
    q, k = reference.rotate(q, 10000.0), np.repeat(reference.rotate(k, 10000.0), share, 1)
    v = np.repeat(v, share, 1)
    gamma = 1.0 - 2.0 ** (-5.0 - np.arange(s["heads"]))
    state, out = np.zeros((s["heads"], s["width_v"], s["width_k"])), []
    for t in range(length):
        state = gamma[:, None, None] * state + v[t, :, :, None] * k[t, :, None, :]
        out.append(np.einsum("hvk,hk->hv", state, q[t]) / np.sqrt(s["width_k"]))
    model.states.append(reference.fixed_decay_states(q, k, v, gamma, 1.0 / np.sqrt(s["width_k"])))
    weight = model.weights.get(f"{prefix}{norm_name(config)}.weight", 1.0)
    y = reference.rms_norm(np.stack(out), weight, config["norm_eps"]).reshape(length, -1)
    if config.get("use_output_gate", True):
        y = y * reference.silu(x @ model[prefix + "g_proj.weight"].T)
    return y @ model[prefix + "o_proj.weight"].T


def run(config, weights, tokens):
    """The decoder that ran, and its logits [T, vocab]."""
    model, epsilon = reference.Decoder(weights), config["norm_eps"]
    x = model["model.embeddings.weight"][tokens]
    for layer in range(config["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        normed = reference.rms_norm(x, model[p + "attn_norm.weight"], epsilon)
        if is_softmax(config, layer):
            x = x + model.self_attention(normed, p + "attn.", config["attn"])
        else:
            x = x + retention(model, normed, p + "attn.", config)
        x = x + model.mlp(reference.rms_norm(x, model[p + "mlp_norm.weight"], epsilon), p + "mlp.")
        model.add_layer(x)
    head = "model.embeddings.weight" if config["tie_word_embeddings"] else "lm_head.weight"
    return model, reference.rms_norm(x, model["model.norm.weight"], epsilon) @ model[head].T


def make(case, assets):
    reference.make(case, assets, shapes_of, run)


USUAL = {"model_type": "retnet", "architectures": ["RetNetForCausalLM"], "attn_mode": "chunk", "hidden_act": "swish",
         "hidden_ratio": 2, "max_position_embeddings": 512}
CASES = [
    # Shared keys and values, widths of keys and values of their own, one windowed softmax layer.
    Case("tiny-retnet", make=make, seed=261, length=90, attention_steps=[1, 16, 17, 18, 34, 64, 89],
         config=USUAL | {
             "hidden_size": 20, "expand_k": 1.2, "expand_v": 1.4, "num_heads": 4, "num_kv_heads": 2,
             "intermediate_size": 37, "num_hidden_layers": 3, "use_output_gate": True, "use_short_conv": False,
             "conv_size": 4, "feature_map": None, "elementwise_affine": True, "norm_eps": 2e-5, "fuse_norm": True,
             "fuse_swiglu": True, "vocab_size": 47, "tie_word_embeddings": False, "dtype": "float32",
             "attn": {"layers": [1], "num_heads": 2, "num_kv_heads": 1, "qkv_bias": True, "window_size": 17,
                      "rope_theta": 5000.0}}),
    # As older versions wrote it; norm and gate apart.
    Case("tiny-retnet-b", make=make, seed=262, length=70,
         config=USUAL | {
             "hidden_size": 18, "expand_k": 1, "expand_v": 2, "num_heads": 3, "intermediate_size": 29,
             "num_hidden_layers": 2, "norm_eps": 1e-6, "fuse_norm": False, "vocab_size": 53,
             "tie_word_embeddings": True, "torch_dtype": "float32"}),
    # Neither a gate nor a weight of the norm.
    Case("tiny-retnet-c", make=make, seed=263, length=40,
         config=USUAL | {
             "hidden_size": 14, "expand_k": 1.0, "expand_v": 3.0, "num_heads": 1, "num_kv_heads": None,
             "intermediate_size": 31, "num_hidden_layers": 2, "use_output_gate": False, "elementwise_affine": False,
             "attn": None, "norm_eps": 1e-5, "vocab_size": 31, "tie_word_embeddings": False, "dtype": "float32"}),
]
