"""A tiny Samba (Ren et al. 2024) with the names and settings of flash-linear-attention's SambaForCausalLM.

That package is not needed: the golden is an independent computation in float64 from the equations of Mamba (Gu & Dao
2023, algorithm 2 with the exponential for A and dt B for B) and of windowed attention. Layers that `attn` lists are
windowed attention, the others Mamba; a SwiGLU follows each.
"""

import numpy as np

import float64_reference as reference
from hybrid_goldens import Case, matrix


def attention_of(config):
    """What `attn` says; the first versions had it outside, and attention in every other layer."""
    if "attn" in config:
        return config["attn"]
    return {"layers": range(1, config["num_hidden_layers"], 2), "qkv_bias": False, "rope_theta": 10000.0,
            **{key: config[key] for key in ("num_heads", "num_kv_heads", "window_size")}}


def is_softmax(config, layer):
    return layer in attention_of(config)["layers"]


def mamba_shapes(config, p):
    d, inner, n, rank = (config[k] for k in ("hidden_size", "intermediate_size", "state_size", "time_step_rank"))
    shapes = {p + "in_proj.weight": (2 * inner, d), p + "conv1d.weight": (inner, 1, config["conv_kernel"]),
              p + "conv1d.bias": (inner,), p + "x_proj.weight": (rank + 2 * n, inner),
              p + "dt_proj.weight": (inner, rank), p + "dt_proj.bias": (inner,), p + "A_log": (inner, n),
              p + "D": (inner,), p + "out_proj.weight": (d, inner)}
    if config["use_bias"]:
        shapes |= {p + "in_proj.bias": (2 * inner,), p + "out_proj.bias": (d,)}
    return shapes


def shapes_of(config):
    d, vocab = config["hidden_size"], config["vocab_size"]
    ffn = -(-int(d * config["hidden_ratio"] * 2 / 3) // 256) * 256  # the class rounds it up
    shapes = {"backbone.embeddings.weight": (vocab, d), "backbone.norm_f.weight": (d,)}
    for layer in range(config["num_hidden_layers"]):
        p = f"backbone.layers.{layer}."
        if is_softmax(config, layer):
            shapes |= reference.attention_shapes(d, attention_of(config), p + "mixer.")
        else:
            shapes |= mamba_shapes(config, p + "mixer.")
        shapes |= reference.mlp_shapes(d, ffn, p + "mlp.", joined="attn" not in config)
        shapes |= {p + "mixer_norm.weight": (d,), p + "mlp_norm.weight": (d,)}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocab, d)
    return shapes


GROUPS = 16  # channel c of n belongs to group floor(16 c / n): the norm of a state is kept per group


def grouped_decays(logs, b, c, group):
    """keep [T, group, 3] and row [T, group, T] from logarithms of decays [T, channel, N]: means over channels."""
    length, total = len(logs), np.cumsum(logs, 0)
    distance = total[:, None] - total[None]  # [t, s, channel, N]
    distance[np.arange(length)[None] > np.arange(length)[:, None]] = -np.inf
    rows = np.einsum("tsin,tn,sn->tsi", np.exp(distance), c, b)
    parts = [logs[:, group == g].reshape(length, -1) for g in range(GROUPS)]
    keep = np.stack([np.exp(np.stack([part.mean(-1), part.min(-1), part.max(-1)], -1)) for part in parts], 1)
    return {"keep": keep, "row": np.stack([rows[:, :, group == g].mean(-1) for g in range(GROUPS)], 1)}


def mamba(model, x, prefix, config):
    """h = exp(dt A) h + (dt u) B^T, y = h C + D u; u a causal convolution's SiLU, dt = softplus(W x + b)."""
    length, inner, n = len(x), config["intermediate_size"], config["state_size"]
    kernel, rank = config["conv_kernel"], config["time_step_rank"]
    projected = x @ model[prefix + "in_proj.weight"].T + model.weights.get(prefix + "in_proj.bias", 0.0)
    u, gate = projected[:, :inner], projected[:, inner:]
    taps, padded = model[prefix + "conv1d.weight"][:, 0], np.concatenate([np.zeros((kernel - 1, inner)), u])
    u = reference.silu(sum(taps[:, i] * padded[i:i + length] for i in range(kernel)) + model[prefix + "conv1d.bias"])
    delta, b, c = np.split(u @ model[prefix + "x_proj.weight"].T, [rank, rank + n], -1)
    dt = reference.softplus(delta @ model[prefix + "dt_proj.weight"].T + model[prefix + "dt_proj.bias"])
    a, skip = -np.exp(model[prefix + "A_log"]), model[prefix + "D"]
    state, out, norms, reads = np.zeros((inner, n)), [], [], []
    group = GROUPS * np.arange(inner) // inner
    group_norm = lambda squares: np.sqrt(np.bincount(group, squares, GROUPS))
    for t in range(length):
        state = np.exp(dt[t, :, None] * a) * state + (dt[t] * u[t])[:, None] * b[t]
        out.append(state @ c[t] + skip * u[t])
        norms.append(group_norm((state * state).sum(-1)))
        reads.append(group_norm((state @ c[t]) ** 2) / np.linalg.norm(c[t]))
    write = np.stack([group_norm((dt[t] * u[t]) ** 2) * np.linalg.norm(b[t]) for t in range(length)])
    model.states.append({"norm": np.stack(norms), "read": np.stack(reads), "write": write}
                        | grouped_decays(dt[:, :, None] * a, b, c, group))
    y = np.stack(out) * reference.silu(gate)
    return y @ model[prefix + "out_proj.weight"].T + model.weights.get(prefix + "out_proj.bias", 0.0)


def run(config, weights, tokens):
    """The decoder that ran, and its logits [T, vocab]."""
    model, epsilon = reference.Decoder(weights), config["norm_eps"]
    x = model["backbone.embeddings.weight"][tokens]
    for layer in range(config["num_hidden_layers"]):
        p = f"backbone.layers.{layer}."
        normed = reference.rms_norm(x, model[p + "mixer_norm.weight"], epsilon)
        if is_softmax(config, layer):
            x = x + model.self_attention(normed, p + "mixer.", attention_of(config))
        else:
            x = x + mamba(model, normed, p + "mixer.", config)
        x = x + model.mlp(reference.rms_norm(x, model[p + "mlp_norm.weight"], epsilon), p + "mlp.")
        model.add_layer(x)
    head = "backbone.embeddings.weight" if config["tie_word_embeddings"] else "lm_head.weight"
    return model, reference.rms_norm(x, model["backbone.norm_f.weight"], epsilon) @ model[head].T


def make(case, assets):
    reference.make(case, assets, shapes_of, run)


CASES = [
    # Weights in bfloat16, as such models are published: the SwiGLU is 256 wide whatever the model's width.
    Case("tiny-samba", make=make, seed=271, length=70, attention_steps=[1, 12, 13, 14, 26, 64, 69],
         rules=[(r"x_proj\.weight$", matrix(0.7))],
         config={"model_type": "samba", "architectures": ["SambaForCausalLM"], "hidden_size": 12, "state_size": 5,
                 "num_hidden_layers": 4, "norm_eps": 3e-5, "expand": 2, "conv_kernel": 3, "use_bias": True,
                 "use_conv_bias": True, "hidden_act": "swish", "time_step_rank": 3, "residual_in_fp32": False,
                 "max_position_embeddings": 2048, "hidden_ratio": 4, "fuse_norm": True, "fuse_swiglu": True,
                 "intermediate_size": 24, "vocab_size": 43, "tie_word_embeddings": False, "dtype": "bfloat16",
                 "attn": {"layers": [1, 3], "num_heads": 2, "num_kv_heads": 1, "qkv_bias": False, "window_size": 13,
                          "rope_theta": 10000.0}}),
    # As the first version wrote it: settings of the attention at the top, gates and ups in one matrix.
    Case("tiny-samba-b", make=make, seed=272, length=40, attention_steps=[1, 8, 9, 10, 39],
         rules=[(r"x_proj\.weight$", matrix(0.7))],
         config={"model_type": "samba", "architectures": ["SambaForCausalLM"], "hidden_size": 18, "state_size": 3,
                 "num_hidden_layers": 2, "norm_eps": 1e-5, "expand": 2, "conv_kernel": 4, "use_bias": False,
                 "use_conv_bias": True, "hidden_act": "silu", "time_step_rank": 2, "num_heads": 3, "num_kv_heads": 1,
                 "window_size": 9, "max_position_embeddings": 2048, "hidden_ratio": 4, "intermediate_size": 36,
                 "vocab_size": 37, "tie_word_embeddings": True, "torch_dtype": "float16"}),
]
