"""orrery_hybrid: Mamba-2, attention and experts as layers of their own, some of them in a loop with input injection and
a learned exit that freezes a token.

The golden is an independent computation in float64 from the papers' equations, token by token.
"""

import json
import random
import sys

import numpy as np
import torch
from safetensors.torch import load_file

import float64_reference as reference
import hybrid_ttt
import loop_reference
from hybrid_goldens import Case, matrix, normal, save_golden, uniform


def mamba_sizes(config):
    inner = config["mamba_num_heads"] * config["mamba_head_dim"]
    return inner, inner + 2 * config["n_groups"] * config["state_size"]


def shapes_of(config):
    d, vocab = config["hidden_size"], config["vocab_size"]
    shapes = {"model.embed_tokens.weight": (vocab, d), "model.norm.weight": (d,)}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocab, d)
    for layer, kind in enumerate(config["layer_types"]):
        p = f"model.layers.{layer}.mixer."
        shapes[f"model.layers.{layer}.norm.weight"] = (d,)
        if kind == "mamba2":
            inner, channels = mamba_sizes(config)
            heads = config["mamba_num_heads"]
            shapes |= {p + "in_proj.weight": (inner + channels + heads, d), p + "conv1d.weight": (channels, 1, config["conv_kernel"]),
                       p + "conv1d.bias": (channels,), p + "dt_bias": (heads,), p + "A_log": (heads,), p + "D": (heads,),
                       p + "norm.weight": (inner,), p + "out_proj.weight": (d, inner)}
        elif kind.endswith("attention"):
            width = config["head_dim"]
            q, kv = config["num_attention_heads"] * width, config["num_key_value_heads"] * width
            shapes |= {p + "q_proj.weight": (q, d), p + "k_proj.weight": (kv, d), p + "v_proj.weight": (kv, d),
                       p + "o_proj.weight": (d, q), p + "q_norm.weight": (width,), p + "k_norm.weight": (width,)}
        elif kind == "ttt_linear":
            heads = config["ttt_num_heads"]
            width = d // heads
            shapes |= {p + f"{name}_proj.weight": (d, d) for name in "qkvgo"}
            shapes |= {p + "learnable_ttt_lr_weight": (heads, 1, d), p + "learnable_ttt_lr_bias": (heads, 1),
                       p + "learnable_token_idx": (config["ttt_mini_batch_size"],), p + "W1": (heads, width, width),
                       p + "b1": (heads, 1, width), p + "ttt_norm_weight": (heads, width), p + "ttt_norm_bias": (heads, width),
                       p + "post_norm.weight": (d,), p + "post_norm.bias": (d,)}
        elif kind == "moe":
            n, f = config["num_experts"], config["moe_intermediate_size"]
            shapes |= {p + "router.weight": (n, d), p + "experts.gate_up_proj": (n, 2 * f, d), p + "experts.down_proj": (n, d, f)}
        else:
            shapes |= reference.mlp_shapes(d, config["intermediate_size"], p)
    if config.get("num_loops", 1) > 1:
        shapes |= {"model.loop.keep": (d,), "model.loop.inject": (d,)}
        if "gate_width" in config:
            width = config["gate_width"]
            shapes |= {"model.loop.gate.norm.weight": (d,), "model.loop.gate.up_proj.weight": (width, d),
                       "model.loop.gate.up_proj.bias": (width,), "model.loop.gate.down_proj.weight": (1, width),
                       "model.loop.gate.down_proj.bias": (1,)}
    return shapes


class Hybrid(loop_reference.LoopedDecoder):
    """What every visit remembers, by its number: keys and values, or the state and the last inputs of the convolution."""

    def __init__(self, config, weights):
        super().__init__(weights)
        self.config, self.kept = config, {}

    def mamba(self, x, p, visit, seen):
        """Dao and Gu 2024, section 7.1: convolution, S <- exp(dt A) S + dt x B^T, y = S C + D x, gated norm."""
        config = self.config
        inner, channels = mamba_sizes(config)
        heads, width, n, groups = (config[k] for k in ("mamba_num_heads", "mamba_head_dim", "state_size", "n_groups"))
        z, new, dt = np.split(self[p + "in_proj.weight"] @ x, [inner, inner + channels])
        before, state = self.kept.get(visit, (np.zeros((config["conv_kernel"] - 1, channels)), np.zeros((heads, width, n))))
        window = np.concatenate([before, new[None]])
        mixed = reference.silu((window * self[p + "conv1d.weight"][:, 0].T).sum(0) + self[p + "conv1d.bias"])
        v, b, c = np.split(mixed, [inner, inner + groups * n])
        b, c = (np.repeat(y.reshape(groups, n), heads // groups, 0) for y in (b, c))
        dt = reference.softplus(dt + self[p + "dt_bias"])
        decay, written = np.exp(-np.exp(self[p + "A_log"]) * dt), dt[:, None] * v.reshape(heads, width)
        state = decay[:, None, None] * state + written[:, :, None] * b[:, None]
        self.kept[visit] = (window[1:], state)
        y = np.einsum("hpn,hn->hp", state, c) + self[p + "D"][:, None] * v.reshape(heads, width)
        seen["state_norm"] = np.sqrt((state * state).sum((1, 2)))
        gated = y.reshape(-1) * reference.silu(z)
        normed = reference.rms_norm(gated.reshape(groups, -1), 1.0, config["rms_norm_eps"]).reshape(-1) * self[p + "norm.weight"]
        return self[p + "out_proj.weight"] @ normed

    def keys_of(self, x, p, t):
        config = self.config
        k = (self[p + "k_proj.weight"] @ x).reshape(config["num_key_value_heads"], -1)
        v = (self[p + "v_proj.weight"] @ x).reshape(config["num_key_value_heads"], -1)
        return self.turned(reference.rms_norm(k, self[p + "k_norm.weight"], config["rms_norm_eps"]), t), v

    def turned(self, y, t):
        """The first n_rot dimensions turn, in pairs (i, i + n_rot / 2)."""
        n_rot = int(y.shape[1] * self.config["partial_rotary_factor"])
        half = n_rot // 2
        angle = t * self.config["rope_theta"] ** (-np.arange(half) / half)
        cos, sin = np.cos(angle), np.sin(angle)
        a, b, rest = y[:, :half], y[:, half:n_rot], y[:, n_rot:]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin, rest], -1)

    def attention(self, x, p, visit, t, window, seen):
        config = self.config
        cache = self.kept.setdefault(visit, [])
        cache.append(self.keys_of(x, p, t))
        q = (self[p + "q_proj.weight"] @ x).reshape(config["num_attention_heads"], -1)
        q = self.turned(reference.rms_norm(q, self[p + "q_norm.weight"], config["rms_norm_eps"]), t)
        share = len(q) // config["num_key_value_heads"]
        k = np.repeat(np.stack([k for k, _ in cache]), share, 1)
        v = np.repeat(np.stack([v for _, v in cache]), share, 1)
        scores = np.einsum("hd,shd->hs", q, k) * config["attention_scale"]
        if window is not None:
            scores[:, : max(0, t + 1 - window)] = -np.inf
        row = np.exp(scores - scores.max(-1, keepdims=True))
        row /= row.sum(-1, keepdims=True)
        seen["attention_row"] = row
        return self[p + "o_proj.weight"] @ np.einsum("hs,shd->hd", row, v).reshape(-1)

    def ttt(self, x, p, visit, t, seen):
        """One token of hybrid_ttt's layer: what is learned is kept by visit."""
        config = self.config
        heads, batch = config["ttt_num_heads"], config["ttt_mini_batch_size"]
        place, width = t % batch, len(x) // heads
        if visit not in self.kept:
            self.kept[visit] = hybrid_ttt.FastLearner([self[p + "W1"], self[p + "b1"]], self[p + "ttt_norm_weight"],
                                                      self[p + "ttt_norm_bias"])
        learner = self.kept[visit]
        q, k, v = ((self[p + f"{name}_proj.weight"] @ x).reshape(1, heads, width) for name in "qkv")
        q, k = (hybrid_ttt.rotate_neighbours(y, np.array([place]), config["ttt_rope_theta"]) for y in (q, k))
        q, k, v = (torch.tensor(y[0])[:, None] for y in (q, k, v))
        rate = reference.sigmoid(self[p + "learnable_ttt_lr_weight"][:, 0] @ x + self[p + "learnable_ttt_lr_bias"][:, 0])
        share = max(1.0 / (place + 1) + self[p + "learnable_token_idx"][place], 0.0)
        learned = learner.learn(k, v, torch.tensor(config["ttt_base_lr"] * rate / width), share)
        seen |= {f"fast_{name}": value.numpy() for name, value in learned.items()}
        out = (q + learner.f(learner.now, q)).reshape(-1).numpy()
        if place == batch - 1:
            learner.end_mini_batch()
        out = hybrid_ttt.layer_norm(out, self[p + "post_norm.weight"], self[p + "post_norm.bias"])
        return self[p + "o_proj.weight"] @ (hybrid_ttt.gelu(self[p + "g_proj.weight"] @ x) * out)

    def experts(self, x, p, seen):
        k = self.config["num_experts_per_tok"]
        logits = self[p + "router.weight"] @ x
        share = np.exp(logits - logits.max())
        share /= share.sum()
        order = np.argsort(-share, kind="stable")
        chosen, weights = order[:k], share[order[:k]] / share[order[:k]].sum()
        seen |= {"moe_experts": chosen.astype(np.int32), "moe_weights": weights,
                 "moe_margin": share[order[k - 1]] - share[order[k]], "moe_entropy": -(share * np.log(share)).sum()}
        out = 0.0
        for e, w in zip(chosen, weights):
            gate, up = np.split(self[p + "experts.gate_up_proj"][e], 2)
            out = out + w * reference.swiglu(x, gate, up, self[p + "experts.down_proj"][e])
        return out

    def layer(self, x, layer, visit, t):
        """(x + part(norm(x)), what was seen)"""
        kind, p, seen = self.config["layer_types"][layer], f"model.layers.{layer}.mixer.", {}
        n = reference.rms_norm(x, self[f"model.layers.{layer}.norm.weight"], self.config["rms_norm_eps"])
        if kind == "mamba2":
            y = self.mamba(n, p, visit, seen)
        elif kind == "ttt_linear":
            y = self.ttt(n, p, visit, t, seen)
        elif kind.endswith("attention"):
            window = self.config["sliding_window"] if kind == "sliding_attention" else None
            y = self.attention(n, p, visit, t, window, seen)
        else:
            y = self.experts(n, p, seen) if kind == "moe" else self.mlp(n, p)
        seen["residual_norm"] = np.linalg.norm(x + y)
        return x + y, seen

    def gate(self, h):
        p = "model.loop.gate."
        n = reference.rms_norm(h, self[p + "norm.weight"], self.config["rms_norm_eps"])
        inner = reference.silu(self[p + "up_proj.weight"] @ n + self[p + "up_proj.bias"])
        return reference.sigmoid(self[p + "down_proj.weight"][0] @ inner + self[p + "down_proj.bias"][0])

    def token(self, token, t):
        """(logits, states of the loop, what each visit saw or None, depth, probabilities of stopping)"""
        config, visits = self.config, []
        begin, end = config.get("loop_layers", (0, 0))
        x = self["model.embed_tokens.weight"][token] * config["embedding_multiplier"]

        def go(x, layer, is_in=True):
            y, seen = self.layer(x, layer, len(visits), t)
            visits.append(seen if is_in else None)
            return y

        loops = config.get("num_loops", 1)
        for layer in range(begin if loops > 1 else len(config["layer_types"])):
            x = go(x, layer)
        states, stops, depth, stays = [x], np.full(loops, np.nan), loops, 1.0
        if loops > 1:
            entry, stopped = x, False
            for iteration in range(loops):
                h = states[-1]
                if stopped:
                    # every deeper layer finds the token as it stopped
                    for layer in range(begin, end):
                        go(h, layer, False)
                    states.append(h)
                    continue
                h = self["model.loop.keep"] * h + self["model.loop.inject"] * entry
                for layer in range(begin, end):
                    h = go(h, layer)
                states.append(h)
                if "gate_width" not in config:
                    continue
                hazard = self.gate(h)
                stops[iteration] = stays * hazard
                stays *= 1.0 - hazard
                if iteration + 1 == loops or 1.0 - stays >= config["exit_threshold"]:
                    stopped, depth = True, iteration + 1
                    stops[iteration] = 1.0 - np.nansum(stops[:iteration])
            x = states[-1]
            for layer in range(end, len(config["layer_types"])):
                x = go(x, layer)
        h = reference.rms_norm(x, self["model.norm.weight"], config["rms_norm_eps"])
        head = "model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"
        return self[head] @ h, states, visits, depth, stops


def stack_visits(done, name):
    """[T, visit that has it, ...]; NaN where a token was not in."""
    length, n_visits = len(done), len(done[0][2])
    columns = []
    for visit in range(n_visits):
        first = next((d[2][visit] for d in done if d[2][visit] is not None), None)
        if first is None or name not in first:
            continue
        rows = []
        for d in done:
            seen = d[2][visit]
            value = np.full_like(np.asarray(first[name], dtype=float), np.nan) if seen is None else seen[name]
            rows.append(np.pad(value, [(0, 0)] * (np.ndim(value) - 1) + [(0, length - np.shape(value)[-1])])
                        if name == "attention_row" else value)
        columns.append(np.stack(rows))
    return columns


SEEN = ["moe_experts", "moe_weights", "moe_margin", "moe_entropy", "state_norm"] + [f"fast_{name}" for name in hybrid_ttt.FAST]


def run(config, weights, tokens):
    model = Hybrid(config, weights)
    done = [model.token(token, t) for t, token in enumerate(tokens)]
    model.residual_norm = stack_visits(done, "residual_norm")
    model.loop_states = [np.stack([d[1][i] for d in done]) for i in range(len(done[0][1]))]
    model.depth = np.array([d[3] for d in done])
    everywhere = (model.depth == config.get("num_loops", 1)).all()
    if everywhere:  # arrays that have no sign for "was not there"
        model.attention_row = stack_visits(done, "attention_row")
        arrays = {name: stack_visits(done, name) for name in SEEN}
        model.seen = {name: np.stack(value, 1) for name, value in arrays.items() if value}
    else:
        model.seen = {}
    if "gate_width" in config:
        model.seen["loop_exit"] = np.stack([d[4] for d in done])
    return model, np.stack([d[0] for d in done])


class Kept:
    """The arrays of a run, for reference.make."""

    def __init__(self, model, config):
        self.model, self.config = model, config
        self.residual_norm, self.states = model.residual_norm, []

    def golden(self, tokens, logits, steps):
        if self.config.get("num_loops", 1) > 1:
            arrays = self.model.golden(tokens, logits, steps)
        else:
            arrays = reference.Decoder.golden(self.model, tokens, logits, steps)
        return arrays | self.model.seen


def make(case, assets):
    def kept(config, weights, tokens):
        model, logits = run(config, weights, tokens)
        return Kept(model, config), logits
    reference.make(case, assets, shapes_of, kept)


def make_trained(case, assets):
    """Of the model that comes with the program, over lines of its tasks."""
    folder = assets / "models" / "orrery-hybrid"
    weights = {name: w.double().numpy() for name, w in load_file(folder / "model.safetensors").items()}
    config = json.loads((folder / "config.json").read_text()) | case.config
    config["gate_width"] = len(weights["model.loop.gate.up_proj.weight"])
    sys.path.insert(0, str(assets / "train"))
    import tasks

    tokens = tasks.lines(random.Random(case.seed), case.length).ids
    model, logits = run(config, weights, tokens)
    save_golden(assets, case.name, Kept(model, config).golden(tokens, logits, case.attention_steps))
    print(f"{case.name}: T {len(tokens)}, depths {np.unique(model.depth, return_counts=True)}")


RULES = hybrid_ttt.RULES + [(r"loop\.keep$", uniform(0.4, 0.9)), (r"loop\.inject$", uniform(0.2, 0.7)), (r"gate\.down_proj\.weight$", matrix(2.5)),
         (r"gate\.down_proj\.bias$", normal(-0.6, 0.1)), (r"experts\.", matrix(1.0))]
USUAL = {"architectures": ["OrreryHybridForCausalLM"], "model_type": "orrery_hybrid", "torch_dtype": "float32"}
MAMBA = {"mamba_num_heads": 6, "mamba_head_dim": 5, "state_size": 7, "n_groups": 2, "conv_kernel": 3}
ATTENTION = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 10, "attention_scale": 0.47,
             "rope_theta": 53.0, "partial_rotary_factor": 0.4}
CASES = [
    # Every kind of layer, a loop in the middle, all tokens all the way.
    Case("tiny-orrery-hybrid", make=make, seed=401, length=70, rules=RULES,
         config=USUAL | MAMBA | ATTENTION | {
             "hidden_size": 22, "vocab_size": 43, "num_hidden_layers": 6, "rms_norm_eps": 2e-5, "tie_word_embeddings": True,
             "layer_types": ["mamba2", "full_attention", "mamba2", "sliding_attention", "moe", "mlp"],
             "loop_layers": [2, 5], "num_loops": 3, "sliding_window": 9, "num_experts": 5, "num_experts_per_tok": 2,
             "moe_intermediate_size": 11, "intermediate_size": 19, "embedding_multiplier": 3.5}),
    # Tokens leave when the gate says so, and deeper iterations find them frozen.
    Case("tiny-orrery-hybrid-exits", make=make, seed=402, length=60, rules=RULES,
         config=USUAL | MAMBA | ATTENTION | {
             "hidden_size": 18, "vocab_size": 37, "num_hidden_layers": 5, "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
             "layer_types": ["full_attention", "mamba2", "sliding_attention", "moe", "mamba2"],
             "loop_layers": [1, 4], "num_loops": 4, "gate_width": 7, "exit_threshold": 0.6, "sliding_window": 12,
             "num_experts": 4, "num_experts_per_tok": 1, "moe_intermediate_size": 9, "embedding_multiplier": 2.0}),
    # No loop, no attention, no experts.
    Case("tiny-orrery-hybrid-plain", make=make, seed=403, length=50, rules=RULES,
         config=USUAL | MAMBA | {
             "hidden_size": 14, "vocab_size": 31, "num_hidden_layers": 3, "rms_norm_eps": 1e-6, "tie_word_embeddings": True,
             "layer_types": ["mamba2", "mlp", "mamba2"], "intermediate_size": 13, "embedding_multiplier": 1.0}),
    # Fast weights: learned once, within the loop, and after it.
    Case("tiny-orrery-hybrid-fast", make=make, seed=404, length=50, rules=RULES,
         config=USUAL | MAMBA | {
             "hidden_size": 18, "vocab_size": 29, "num_hidden_layers": 5, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
             "layer_types": ["ttt_linear", "mamba2", "ttt_linear", "mlp", "ttt_linear"], "loop_layers": [1, 4], "num_loops": 2,
             "ttt_num_heads": 3, "ttt_mini_batch_size": 5, "ttt_base_lr": 0.8, "ttt_rope_theta": 300.0,
             "intermediate_size": 15, "embedding_multiplier": 1.5}),
    # Trained weights, with the exits that they ask for, at every depth, and without any.
    Case("orrery-hybrid", make=make_trained, seed=13, length=96),
    Case("orrery-hybrid-whole", make=make_trained, seed=13, length=96, config={"exit_threshold": 2.0}),
]
