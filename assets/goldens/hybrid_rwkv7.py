"""Tiny RWKV-7 models (Peng et al. 2025, "Goose") with the names and settings of flash-linear-attention's
RWKV7ForCausalLM, and a GGUF file under llama.cpp's names.

That package is not needed: the golden is an independent computation in float64 from the paper's equations, token by
token. What only the class says: the epsilon of the norm per head is head_dim * norm_eps, and with `fuse_norm` keys are
divided by sqrt(sum of squares + 1e-6), else by their length.
"""

import numpy as np

import float64_reference as reference
import hybrid_goldens
from float64_reference import sigmoid
from hybrid_goldens import Case, matrix, normal, uniform

MIXTURES = "rwkvag"
USUAL_RANK = {"w": "decay", "a": "a", "v": "v", "g": "gate"}


def sizes(config):
    d = config["hidden_size"]
    heads = d // config["head_dim"] if config.get("head_dim") else config["num_heads"]
    value_width = config.get("value_dim") or d
    if isinstance(value_width, list):
        value_width = value_width[0]
    return d, heads, d // heads, value_width // heads


def shapes_of(config, first_names=False):
    """first_names: all mixtures of the time mix as one parameter, as the first version had them."""
    d, heads, width_k, width_v = sizes(config)
    value, ffn, vocab = heads * width_v, config["intermediate_size"], config["vocab_size"]

    def norm(name, n=d):
        return {name + ".weight": (n,)} | ({name + ".bias": (n,)} if config.get("norm_bias", True) else {})

    shapes = {"model.embeddings.weight": (vocab, d)} | norm("model.norm")
    for layer in range(config["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        if layer == 0 and config.get("norm_first", True):
            shapes |= norm(p + "pre_norm")
        shapes |= norm(p + "attn_norm") | norm(p + "ffn_norm")
        if first_names:
            shapes[p + "attn.x_x"] = (6, d)
        else:
            shapes |= {f"{p}attn.x_{c}": (1, 1, d) for c in MIXTURES}
        shapes |= {p + "attn.k_k": (d,), p + "attn.k_a": (d,), p + "attn.r_k": (heads, width_k),
                   p + "attn.r_proj.weight": (d, d), p + "attn.k_proj.weight": (d, d),
                   p + "attn.v_proj.weight": (value, d), p + "attn.o_proj.weight": (d, value),
                   p + "attn.g_norm.weight": (value,), p + "attn.g_norm.bias": (value,)}
        for part, out in (("w", d), ("a", d), ("v", value), ("g", value)):
            if part == "v" and layer == 0:
                continue
            rank = config[f"{USUAL_RANK[part]}_low_rank_dim"]
            shapes |= {f"{p}attn.{part}_lora.lora.0.weight": (rank, d),
                       f"{p}attn.{part}_lora.lora.2.weight": (out, rank)}
            if part != "g":
                shapes[f"{p}attn.{part}_lora.lora.2.bias"] = (out,)
        shapes |= {p + "ffn.x_k": (d,), p + "ffn.key.weight": (ffn, d), p + "ffn.value.weight": (d, ffn)}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocab, d)
    return shapes


def layer_norm(x, weight, bias, epsilon):
    """Ba et al. 2016, over the last axis."""
    centred = x - x.mean(-1, keepdims=True)
    return weight * centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + epsilon) + bias


def norm_of(model, x, name, epsilon):
    return layer_norm(x, model[name + ".weight"], model.weights.get(name + ".bias", 0.0), epsilon)


def shifted(x):
    """The row before, 0 before the first."""
    return np.concatenate([np.zeros_like(x[:1]), x[:-1]])


def low_rank(model, x, name, between=lambda h: h):
    up = between(x @ model[name + ".lora.0.weight"].T) @ model[name + ".lora.2.weight"].T
    return up + model.weights.get(name + ".lora.2.bias", 0.0)


def recurrence(r, w, k, v, e, b):
    """S = S diag(w) - (S e) b^T + v k^T, y = S r; rows [T, head, ..]. What is read, and what states are measured by."""
    length, heads, _ = k.shape
    state = np.zeros((heads, v.shape[2], k.shape[2]))
    out, norm, erase = [], [], []
    for t in range(length):
        recalled = np.einsum("hvk,hk->hv", state, e[t])
        state = state * w[t, :, None, :] - recalled[:, :, None] * b[t, :, None, :] + v[t, :, :, None] * k[t, :, None, :]
        out.append(np.einsum("hvk,hk->hv", state, r[t]))
        norm.append(np.sqrt((state * state).sum((1, 2))))
        erase.append(np.linalg.norm(recalled, axis=-1) * np.linalg.norm(b[t], axis=-1))
    out, rows = np.stack(out), np.zeros((length, heads, length))
    for t in range(length):
        x = r[t]
        for s in range(t, -1, -1):
            rows[t, :, s] = (k[s] * x).sum(-1)
            x = w[s] * x - e[s] * (b[s] * x).sum(-1, keepdims=True)
    assert np.abs(np.einsum("ths,shv->thv", rows, v) - out).max() < 1e-9
    keep = np.stack([np.exp(np.log(w).mean(-1)), w.min(-1), w.max(-1)], -1)
    return out, {"norm": np.stack(norm), "write": np.linalg.norm(v, axis=-1) * np.linalg.norm(k, axis=-1),
                 "erase": np.stack(erase), "read": np.linalg.norm(out, axis=-1) / np.linalg.norm(r, axis=-1),
                 "keep": keep, "row": rows}


def time_mix(model, x, p, config, first_values):
    """What is added to the stream, and the values that later layers mix in."""
    d, heads, width_k, width_v = sizes(config)
    length, before = len(x), shifted(x)
    if p + "x_x" in model.weights:
        mix = dict(zip(MIXTURES, model[p + "x_x"]))
    else:
        mix = {c: model[f"{p}x_{c}"].reshape(d) for c in MIXTURES}
    xs = {c: x + mix[c] * (before - x) for c in MIXTURES}
    r, k, v = (xs[c] @ model[f"{p}{c}_proj.weight"].T for c in "rkv")
    w = np.exp(-np.exp(-0.5) * sigmoid(low_rank(model, xs["w"], p + "w_lora", np.tanh)))
    a = sigmoid(low_rank(model, xs["a"], p + "a_lora"))
    g = low_rank(model, xs["g"], p + "g_lora", sigmoid)
    if first_values is None:
        first_values = v
    else:
        v = v + (first_values - v) * sigmoid(low_rank(model, xs["v"], p + "v_lora"))

    def by_head(y, width=width_k):
        return y.reshape(length, heads, width)

    e = by_head(k * model[p + "k_k"])
    length_of = np.sqrt((e * e).sum(-1, keepdims=True) + (1e-6 if config.get("fuse_norm", True) else 0.0))
    e = e / length_of
    k = by_head(k * (1.0 + (a - 1.0) * model[p + "k_a"]))
    r, v = by_head(r), by_head(v, width_v)
    y, measured = recurrence(r, by_head(w), k, v, e, e * by_head(a))
    model.states.append(measured)
    y = layer_norm(y, of_heads(model, p + "g_norm.weight", heads), of_heads(model, p + "g_norm.bias", heads),
                   config.get("group_norm_eps", width_k * config["norm_eps"]))
    y = y + (r * k * model[p + "r_k"].reshape(heads, width_k)).sum(-1, keepdims=True) * v
    return (y.reshape(length, -1) * g) @ model[p + "o_proj.weight"].T, first_values


def of_heads(model, name, heads):
    """A weight over all channels, [head, channel of it]."""
    return model[name].reshape(heads, -1)


def channel_mix(model, x, p):
    mixed = x + model[p + "x_k"].reshape(-1) * (shifted(x) - x)
    return np.maximum(mixed @ model[p + "key.weight"].T, 0.0) ** 2 @ model[p + "value.weight"].T


def run(config, weights, tokens):
    """The decoder that ran, and its logits [T, vocab]."""
    model, epsilon = reference.Decoder(weights), config["norm_eps"]
    x, first_values = model["model.embeddings.weight"][tokens], None
    for layer in range(config["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        if p + "pre_norm.weight" in weights:
            x = norm_of(model, x, p + "pre_norm", epsilon)
        mixed, first_values = time_mix(model, norm_of(model, x, p + "attn_norm", epsilon), p + "attn.", config,
                                       first_values)
        x = x + mixed
        x = x + channel_mix(model, norm_of(model, x, p + "ffn_norm", epsilon), p + "ffn.")
        model.add_layer(x)
    head = "model.embeddings.weight" if config["tie_word_embeddings"] else "lm_head.weight"
    return model, norm_of(model, x, "model.norm", epsilon) @ model[head].T


def gguf_tensors(weights):
    """Names and forms as llama.cpp's converter makes them; the first layer has dummies for v0, v1, v2."""
    names = {"model.embeddings.weight": "token_embd.weight", "lm_head.weight": "output.weight"}
    parts = {"attn.k_k": "time_mix_k_k", "attn.k_a": "time_mix_k_a", "attn.r_k": "time_mix_r_k",
             "attn.r_proj": "time_mix_receptance", "attn.k_proj": "time_mix_key", "attn.v_proj": "time_mix_value",
             "attn.o_proj": "time_mix_output", "attn.g_norm": "time_mix_ln", "attn_norm": "attn_norm",
             "ffn_norm": "attn_norm_2", "ffn.x_k": "channel_mix_lerp_k", "ffn.key": "channel_mix_key",
             "ffn.value": "channel_mix_value"}
    out = {}
    for name, w in weights.items():
        if name in names:
            out[names[name]] = w
        elif name.startswith("model.norm"):
            out[name.replace("model.norm", "output_norm")] = w
        elif ".pre_norm." in name:
            out["token_embd_norm." + name.rsplit(".", 1)[1]] = w
        else:
            _, _, layer, rest = name.split(".", 3)
            p = f"blk.{layer}."
            if rest.startswith("attn.x_"):
                continue
            if "_lora." in rest:
                part, piece = rest[5], {"lora.0.weight": 1, "lora.2.weight": 2, "lora.2.bias": 0}[rest.split(".", 2)[2]]
                out[f"{p}time_mix_{part}{piece}.weight"] = w
                if layer == "0" and part == "a":
                    out[f"{p}time_mix_v{piece}.weight"] = w
            elif rest in parts:
                out[f"{p}{parts[rest]}.weight"] = w.reshape(-1)
            else:
                stem, suffix = rest.rsplit(".", 1)
                out[f"{p}{parts[stem]}.{suffix}"] = w
    layers = {name.split(".")[2] for name in weights if name.startswith("model.layers.")}
    for layer in layers:
        mix = [weights[f"model.layers.{layer}.attn.x_{c}"].reshape(1, 1, -1) for c in MIXTURES]
        out[f"blk.{layer}.time_mix_lerp_fused.weight"] = np.stack(mix)
    return out


def save_twin(case, weights, models):
    config = case.config

    def settings(writer):
        writer.add_context_length(1048576)
        writer.add_embedding_length(config["hidden_size"])
        writer.add_block_count(config["num_hidden_layers"])
        writer.add_layer_norm_eps(config["norm_eps"])
        writer.add_wkv_head_size(config["head_dim"])
        writer.add_decay_lora_rank(config["decay_low_rank_dim"])
        writer.add_iclr_lora_rank(config["a_low_rank_dim"])
        writer.add_value_residual_mix_lora_rank(config["v_low_rank_dim"])
        writer.add_gate_lora_rank(config["gate_low_rank_dim"])
        writer.add_feed_forward_length(config["intermediate_size"])
        writer.add_head_count(0)

    hybrid_goldens.save_gguf(models / f"{case.name}.f32.gguf", "rwkv7", case.name, settings, gguf_tensors(weights))


def make(case, assets):
    reference.make(case, assets, shapes_of, run)


def make_with_first_names(case, assets):
    reference.make(case, assets, lambda config: shapes_of(config, True), run)


def make_with_twin(case, assets):
    reference.make(case, assets, shapes_of, run)
    weights = {name: hybrid_goldens.random_array(name, shape, case.seed, case.rules)
               for name, shape in shapes_of(case.config).items()}
    save_twin(case, weights, assets / "models")


RULES = [(r"attn\.x_|ffn\.x_k$", uniform(0.0, 1.0)), (r"k_k$", normal(0.9, 0.4)), (r"k_a$", normal(0.9, 0.4)),
         (r"r_k$", normal(0.1, 0.4)), (r"w_lora\.lora\.2\.bias$", normal(-1.5, 2.0)),
         (r"a_lora\.lora\.2\.bias$", normal(0.3, 1.0)), (r"ffn\.key\.weight$", matrix(0.7)),
         (r"(r|k)_proj\.weight$", matrix(1.3))]
USUAL = {"model_type": "rwkv7", "architectures": ["RWKV7ForCausalLM"], "attn_mode": "chunk", "hidden_act": "sqrelu",
         "max_position_embeddings": 512}
CASES = [
    # Values of a width of their own; norms as the fused kernels compute them.
    Case("tiny-rwkv7", make=make, seed=281, length=70, rules=RULES,
         config=USUAL | {
             "hidden_size": 33, "head_dim": 11, "num_heads": None, "value_dim": [39, 39, 39], "hidden_ratio": 4,
             "intermediate_size": 47, "num_hidden_layers": 3, "decay_low_rank_dim": 5, "gate_low_rank_dim": 9,
             "a_low_rank_dim": 7, "v_low_rank_dim": 3, "norm_first": True, "norm_bias": True, "norm_eps": 2e-5,
             "attn": None, "fuse_norm": True, "vocab_size": 47, "tie_word_embeddings": False, "dtype": "float32"}),
    # Also as GGUF, where the norm per head always has 64e-5.
    Case("tiny-rwkv7-b", make=make_with_twin, seed=282, length=90, rules=RULES,
         config=USUAL | {
             "hidden_size": 35, "head_dim": 5, "intermediate_size": 61, "num_hidden_layers": 2,
             "decay_low_rank_dim": 6, "gate_low_rank_dim": 10, "a_low_rank_dim": 4, "v_low_rank_dim": 3,
             "norm_first": True, "norm_bias": True, "norm_eps": 1.28e-4, "fuse_norm": False, "vocab_size": 53,
             "tie_word_embeddings": False, "torch_dtype": "float32"}),
    # The first names of the mixtures; heads by their number, no biases of norms, none before the first layer.
    Case("tiny-rwkv7-c", make=make_with_first_names, seed=283, length=40, rules=RULES,
         config=USUAL | {
             "hidden_size": 26, "head_dim": None, "num_heads": 2, "intermediate_size": 31,
             "num_hidden_layers": 2, "decay_low_rank_dim": 5, "gate_low_rank_dim": 6, "a_low_rank_dim": 3,
             "v_low_rank_dim": 2, "norm_first": False, "norm_bias": False, "norm_eps": 1e-5, "fuse_norm": False,
             "vocab_size": 31, "tie_word_embeddings": True, "dtype": "float32"}),
]
