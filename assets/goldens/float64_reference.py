"""The parts of a decoder in float64 numpy, written from the papers' equations: what the goldens of architectures are
computed with whose reference classes are not installed. Rows are tokens; weights are [out, in]."""

import json

import numpy as np
import torch
from safetensors.torch import save_file

import hybrid_goldens
import tiny_llama


def rms_norm(x, weight, epsilon):
    """w * x / sqrt(mean(x^2) + epsilon) over the last axis (Zhang & Sennrich 2019)."""
    return weight * x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def softplus(x):
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0.0)


def swiglu(x, gate, up, down):
    """down(silu(gate x) * up x) (Shazeer 2020)."""
    return (silu(x @ gate.T) * (x @ up.T)) @ down.T


def rotate(x, theta):
    """Turns x [T, head, width] at 0 .. T-1: pairs (i, i + width / 2) by t theta^(-2 i / width) (Su et al. 2021)."""
    length, _, width = x.shape
    half = width // 2
    angle = np.arange(length)[:, None] * theta ** (-2.0 * np.arange(half) / width)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def attention(q, k, v, window):
    """Causal softmax attention; q [T, head, width], k and v [T, kv head, width]; keys t - window + 1 .. t, or all.

    Returns the heads' outputs [T, head, width] and the rows [T, head, key].
    """
    length, heads, width = q.shape
    share = heads // k.shape[1]
    k, v = np.repeat(k, share, 1), np.repeat(v, share, 1)
    scores = np.einsum("thd,shd->ths", q, k) / np.sqrt(width)
    distance = np.arange(length)[:, None] - np.arange(length)
    seen = (distance >= 0) & (distance < (window or length))
    scores = np.where(seen[:, None], scores, -np.inf)
    rows = np.exp(scores - scores.max(-1, keepdims=True))
    rows /= rows.sum(-1, keepdims=True)
    return np.einsum("ths,shd->thd", rows, v), rows


def fixed_decay_states(q, k, v, decay, scale):
    """What the states of heads with fixed decays are measured by: norm, keep, write, read and row (README.md).

    q, k [T, head, key], v [T, head, value], decay [head]; S = decay S + v k^T, of which y = scale S q is read.
    """
    length, heads, _ = q.shape
    state, norm, read = np.zeros((heads, v.shape[2], k.shape[2])), [], []
    for t in range(length):
        state = decay[:, None, None] * state + v[t, :, :, None] * k[t, :, None, :]
        norm.append(np.sqrt((state * state).sum((1, 2))))
        read.append(np.linalg.norm(np.einsum("hvk,hk->hv", state, q[t]), axis=-1) / np.linalg.norm(q[t], axis=-1))
    distance = np.arange(length)[:, None] - np.arange(length)
    powers = np.where(distance >= 0, decay[:, None, None] ** np.maximum(distance, 0), 0.0)
    return {"norm": np.stack(norm), "keep": np.tile(decay[None, :, None], (length, 1, 3)),
            "write": np.linalg.norm(v, axis=-1) * np.linalg.norm(k, axis=-1), "read": np.stack(read),
            "row": np.einsum("thd,shd,hts->ths", q, k, powers) * scale}


def loop_arrays(states):
    """loop_step, loop_cosine [T, iteration] of states h_0, h_1, ... [T, d]: |h_i - h_{i-1}| / |h_{i-1}|, and the cosine
    of that change with the one before it."""
    changes = [after - before for before, after in zip(states, states[1:])]
    size = lambda x: np.linalg.norm(x, axis=-1)
    cosines = [(a * b).sum(-1) / (size(a) * size(b)) for a, b in zip(changes, changes[1:])]
    return {"loop_step": np.stack([size(c) / size(h) for c, h in zip(changes, states)], 1),
            "loop_cosine": np.stack([np.full(len(states[0]), np.nan), *cosines], 1)}


class Decoder:
    """Weights by name, and what a golden keeps of a run; of each layer with a state a dict of arrays [T, head, ...]. A
    looped model has its layers once for every iteration, in the order of the visits."""

    def __init__(self, weights):
        self.weights = {name: w.astype(np.float64) for name, w in weights.items()}
        self.residual_norm, self.attention_row, self.states = [], [], []
        self.more = {}  # further arrays of the golden

    def __getitem__(self, name):
        return self.weights[name]

    def self_attention(self, x, prefix, spec):
        """Softmax attention as hybrids have it between their recurrent layers: heads d / num_heads wide, rotated."""
        heads, kv_heads = spec["num_heads"], spec["num_kv_heads"]
        width = x.shape[1] // heads

        def project(name, n):
            bias = self.weights.get(f"{prefix}{name}_proj.bias", 0.0)
            return (x @ self[f"{prefix}{name}_proj.weight"].T + bias).reshape(len(x), n, width)

        q = rotate(project("q", heads), spec["rope_theta"])
        k = rotate(project("k", kv_heads), spec["rope_theta"])
        out, rows = attention(q, k, project("v", kv_heads), spec["window_size"])
        self.attention_row.append(rows)
        return out.reshape(len(x), -1) @ self[f"{prefix}o_proj.weight"].T

    def mlp(self, x, prefix):
        gate, down = self[prefix + "gate_proj.weight"], self[prefix + "down_proj.weight"]
        up = self.weights.get(prefix + "up_proj.weight")
        if up is None:
            gate, up = np.split(gate, 2)
        return swiglu(x, gate, up, down)

    def add_layer(self, x):
        """To be called with the residual stream after every layer."""
        self.residual_norm.append(np.linalg.norm(x, axis=-1))

    def golden(self, tokens, logits, steps):
        state_steps = [len(tokens) // 3, len(tokens) - 1]
        arrays = {"tokens": np.asarray(tokens), "logits": logits, "residual_norm": np.stack(self.residual_norm, 1)}
        if self.states:
            arrays |= {f"state_{name}": np.stack([s[name] for s in self.states], 1) for name in self.states[0]}
            arrays |= {"state_steps": np.asarray(state_steps), "state_row": arrays["state_row"][state_steps]}
        if self.attention_row:
            rows = np.stack(self.attention_row, 1)
            steps = steps or hybrid_goldens.edges(len(tokens))
            arrays |= {"attention_steps": np.asarray(steps), "attention_row": rows[steps]}
        return arrays | self.more


def attention_shapes(d, spec, p):
    kv = d // spec["num_heads"] * spec["num_kv_heads"]
    shapes = {p + "q_proj.weight": (d, d), p + "k_proj.weight": (kv, d), p + "v_proj.weight": (kv, d),
              p + "o_proj.weight": (d, d)}
    if spec["qkv_bias"]:
        shapes |= {p + "q_proj.bias": (d,), p + "k_proj.bias": (kv,), p + "v_proj.bias": (kv,)}
    return shapes


def mlp_shapes(d, ffn, p, joined=False):
    if joined:
        return {p + "gate_proj.weight": (2 * ffn, d), p + "down_proj.weight": (d, ffn)}
    return {p + "gate_proj.weight": (ffn, d), p + "up_proj.weight": (ffn, d), p + "down_proj.weight": (d, ffn)}


def make(case, assets, shapes_of, run, stored=lambda name: name):
    """Folder and golden of a case whose weights have the shapes shapes_of(config), by run(config, weights, tokens).

    stored: what the file calls a weight.
    """
    config = case.config
    dtype = config.get("dtype", config.get("torch_dtype"))
    weights = {name: hybrid_goldens.random_array(name, shape, case.seed, case.rules)
               for name, shape in shapes_of(config).items()}
    weights = tiny_llama.round_to(weights, dtype)
    tokens = hybrid_goldens.random_tokens(case, config.get("padded_vocab_size", config["vocab_size"]))
    model, logits = run(config, weights, tokens)
    arrays = model.golden(tokens, logits, case.attention_steps)
    hybrid_goldens.save_golden(assets, case.name, arrays)
    folder = assets / "models" / case.name
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        stale.unlink()
    written = hybrid_goldens.changed(config, case.written)
    (folder / "config.json").write_text(json.dumps(written, indent=2) + "\n")
    save_file({stored(name): torch.from_numpy(w).to(getattr(torch, dtype)) for name, w in weights.items()},
              folder / "model.safetensors", metadata={"format": "pt"})
    print(f"{case.name}: T {len(tokens)}, largest logit {np.abs(logits).max():.2f}, "
          f"spread {logits.std(-1).mean():.2f}, residual {np.nanmax(model.residual_norm):.1f}, "
          f"state {max([s['norm'].max() for s in model.states], default=0.0):.1f}")
    return arrays
