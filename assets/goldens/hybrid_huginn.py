"""Tiny Huginns (Geiping et al. 2025, arXiv 2502.05171) with the names and settings of the authors' RavenForCausalLM.

The golden is an independent computation in float64 from the paper: a prelude, a core that is repeated from a random
state with the prelude's output put in again every time, and a coda; sandwich norms; adjacent pairs turned. Tokens go
one by one: of one that left the loop early, later tokens find the keys and values of the last iteration that it was in
(section 6.1).
"""

import numpy as np

import float64_reference as reference
import loop_reference
from hybrid_goldens import Case, matrix, norm_weight, normal

# ||h_i - h_{i-1}|| / ||h_{i-1}|| below which a token of tiny-huginn-exits leaves; loop_models_test.cpp has the same.
EXIT_BELOW = 0.05


def layer_names(config):
    return [f"transformer.{part}.{i}." for part, n in [("prelude", "n_layers_in_prelude"),
                                                       ("core_block", "n_layers_in_recurrent_block"),
                                                       ("coda", "n_layers_in_coda")] for i in range(config[n])]


def vocabulary(config):
    return config.get("padded_vocab_size", config["vocab_size"])


def shapes_of(config):
    d, ffn, heads = config["n_embd"], config["intermediate_size"], config["num_attention_heads"]
    shapes = {"transformer.wte.weight": (vocabulary(config), d), "transformer.ln_f.weight": (d,),
              "transformer.adapter.weight": (d, 2 * d), "freqs_cis": (1, config["block_size"], 1, d // heads // 2, 2)}
    if config["bias"]:
        shapes["transformer.adapter.bias"] = (d,)
    if not config["tie_embeddings"]:
        shapes["lm_head.weight"] = (vocabulary(config), d)
    for p in layer_names(config):
        shapes |= {f"{p}norm_{i}.weight": (d,) for i in range(1, 5)}
        shapes |= {p + "attn.Wqkv.weight": (3 * d, d), p + "attn.proj.weight": (d, d),
                   p + "mlp.fc.weight": (2 * ffn, d), p + "mlp.proj.weight": (d, ffn)}
        if config["qk_bias"]:
            shapes[p + "attn.qk_bias"] = (2, 1, heads, d // heads)
    return shapes


class Huginn(loop_reference.LoopedDecoder):
    """Keys and values by (layer, iteration), one for each token that was there."""

    def __init__(self, config, weights):
        super().__init__(weights)
        self.config, self.cache = config, {}

    def found(self, layer, iteration, t):
        """What a visit finds of token t: its keys and values there, else of the last iteration that it was in."""
        return next(self.cache[layer, i][t] for i in range(iteration, -1, -1) if t in self.cache.get((layer, i), {}))

    def attend(self, x, prefix, layer, iteration, t):
        """(heads' outputs [d], row [head, t + 1]) of token t."""
        heads = self.config["num_attention_heads"]
        q, k, v = (self[prefix + "Wqkv.weight"] @ x).reshape(3, heads, -1)
        if self.config["qk_bias"]:
            bias_q, bias_k = self[prefix + "qk_bias"][:, 0]
            q, k = q + bias_q, k + bias_k
        width = q.shape[1]
        angle = t * self.config["rope_base"] ** (-np.arange(0, width, 2) / width)
        turn = np.exp(1j * angle)  # adjacent pairs as complex numbers

        def turned(y):
            z = (y[:, 0::2] + 1j * y[:, 1::2]) * turn
            return np.stack([z.real, z.imag], -1).reshape(y.shape)

        q, k = turned(q), turned(k)
        self.cache.setdefault((layer, iteration), {})[t] = (k, v)
        past = [self.found(layer, iteration, s) for s in range(t + 1)]
        scores = np.einsum("hd,shd->hs", q, np.stack([k for k, _ in past])) / np.sqrt(width)
        row = np.exp(scores - scores.max(-1, keepdims=True))
        row /= row.sum(-1, keepdims=True)
        out = np.einsum("hs,shd->hd", row, np.stack([v for _, v in past]))
        return self[prefix + "proj.weight"] @ out.reshape(-1), row

    def block(self, x, prefix, layer, iteration, t, seen):
        def norm(y, i):
            return reference.rms_norm(y, self[f"{prefix}norm_{i}.weight"], self.config["norm_eps"])

        mixed, row = self.attend(norm(x, 1), prefix + "attn.", layer, iteration, t)
        x = norm(mixed + x, 2)
        gate, up = np.split(self[prefix + "mlp.fc.weight"] @ norm(x, 3), 2)
        x = norm(self[prefix + "mlp.proj.weight"] @ (reference.silu(gate) * up) + x, 4)
        seen.append((np.linalg.norm(x), row))
        return x

    def token(self, token, t, state, exit_below):
        """(logits, states of the loop, (residual norm, row) of every visit, iterations used) of the next token."""
        names, config, seen = layer_names(self.config), self.config, []
        n_prelude, n_core = config["n_layers_in_prelude"], config["n_layers_in_recurrent_block"]
        x = self["transformer.wte.weight"][token] * np.sqrt(config["n_embd"])
        for layer in range(n_prelude):
            x = self.block(x, names[layer], layer, 0, t, seen)
        states, depth = [state], config["mean_recurrence"]
        for iteration in range(config["mean_recurrence"]):
            h = self["transformer.adapter.weight"] @ np.concatenate([states[-1], x])
            h = h + self.weights.get("transformer.adapter.bias", 0.0)
            for layer in range(n_prelude, n_prelude + n_core):
                h = self.block(h, names[layer], layer, iteration, t, seen)
            states.append(h)
            if np.linalg.norm(h - states[-2]) < exit_below * np.linalg.norm(states[-2]):
                depth = iteration + 1
                break
        states += [states[-1]] * (config["mean_recurrence"] + 1 - len(states))
        missing = (config["mean_recurrence"] - depth) * n_core
        seen += [(np.nan, np.full((config["num_attention_heads"], t + 1), np.nan))] * missing
        h = reference.rms_norm(states[-1], self["transformer.ln_f.weight"], config["norm_eps"])
        for layer in range(n_prelude + n_core, len(names)):
            h = self.block(h, names[layer], layer, 0, t, seen)
        h = reference.rms_norm(h, self["transformer.ln_f.weight"], config["norm_eps"])
        head = "transformer.wte.weight" if config["tie_embeddings"] else "lm_head.weight"
        return self[head] @ h, states, seen, depth


def initial_states(config, length):
    """As the authors draw it: deviation sqrt(2 / (5 d)), cut at 3 of them, times the embeddings' factor sqrt(d)."""
    d = config["n_embd"]
    return loop_reference.truncated_normal(0, range(length), d) * np.sqrt(2.0 / (5.0 * d)) * np.sqrt(d)


def run(config, weights, tokens, exit_below=0.0, states=None):
    """The decoder that ran, and its logits [T, vocab]."""
    model, length = Huginn(config, weights), len(tokens)
    begin = initial_states(config, length) if states is None else states
    done = [model.token(token, t, begin[t], exit_below) for t, token in enumerate(tokens)]
    model.loop_states = [np.stack([states[i] for _, states, _, _ in done]) for i in range(len(done[0][1]))]
    for visit in range(len(done[0][2])):
        model.residual_norm.append(np.stack([seen[visit][0] for _, _, seen, _ in done]))
        model.attention_row.append(np.stack([np.pad(seen[visit][1], ((0, 0), (0, length - 1 - t)))
                                             for t, (_, _, seen, _) in enumerate(done)]))
    model.depth = np.array([depth for _, _, _, depth in done])
    return model, np.stack([logits for logits, _, _, _ in done])


def make(case, assets):
    reference.make(case, assets, shapes_of, run)


def make_exits(case, assets):
    arrays = reference.make(case, assets, shapes_of, lambda c, w, t: run(c, w, t, EXIT_BELOW))
    steps = arrays["loop_step"]
    print(f"  depths {np.bincount(arrays['loop_depth'])}, nearest step to the bound "
          f"{np.nanmin(np.abs(steps / EXIT_BELOW - 1)):.3f} of it")


def weak_feedback(shape, rng):
    """An adapter [d, 2 d] that takes less of the state than of what is put in again, so that the loop settles."""
    return matrix(1.0)(shape, rng) * np.repeat([0.3, 1.5], shape[1] // 2)


RULES = [(r"ln_f\.weight$", norm_weight), (r"Wqkv\.weight$", matrix(1.4)), (r"wte\.weight$", normal(0.0, 0.6)),
         (r"lm_head\.weight$", matrix(2.0))]
USUAL = {"model_type": "huginn_raven", "architectures": ["RavenForCausalLM"], "injection_type": "linear",
         "state_init": "like-init", "mlp_class_name": "GatedMLP", "nonlin_name": "SiLU",
         "norm_class_name": "RMSNorm_llama", "block_class_name": "SandwichBlock", "test_time_noise": 0}
CASES = [
    Case("tiny-huginn", make=make, seed=301, length=50, rules=RULES,
         config=USUAL | {
             "n_embd": 18, "n_heads": 3, "num_attention_heads": 3, "num_key_value_heads": 3, "intermediate_size": 23,
             "n_layers_in_prelude": 2, "n_layers_in_recurrent_block": 3, "n_layers_in_coda": 1, "mean_recurrence": 5,
             "block_size": 64, "vocab_size": 47, "padded_vocab_size": 53, "tie_embeddings": True, "bias": False,
             "qk_bias": True, "norm_eps": 1e-5, "rope_base": 50000.0, "torch_dtype": "float32"}),
    # Untied, a bias of the adapter and none of queries and keys; the head's sizes left to the class.
    Case("tiny-huginn-b", make=make, seed=302, length=40, rules=RULES,
         written={"n_heads": 5, "num_attention_heads": None},
         config=USUAL | {
             "n_embd": 20, "num_attention_heads": 5, "intermediate_size": 17,
             "n_layers_in_prelude": 1, "n_layers_in_recurrent_block": 2, "n_layers_in_coda": 2, "mean_recurrence": 3,
             "block_size": 48, "vocab_size": 43, "tie_embeddings": False, "bias": True, "qk_bias": False,
             "norm_eps": 1e-6, "rope_base": 700, "torch_dtype": "float32"}),
    # The core once.
    Case("tiny-huginn-c", make=make, seed=303, length=30, rules=RULES,
         config=USUAL | {
             "n_embd": 12, "num_attention_heads": 2, "intermediate_size": 19,
             "n_layers_in_prelude": 1, "n_layers_in_recurrent_block": 1, "n_layers_in_coda": 1, "mean_recurrence": 1,
             "block_size": 32, "vocab_size": 37, "tie_embeddings": True, "bias": False, "qk_bias": True,
             "norm_eps": 1e-6, "rope_base": 10000, "torch_dtype": "float32"}),
    # Tokens leave where their state hardly moves any more.
    Case("tiny-huginn-exits", make=make_exits, seed=311, length=40,
         rules=[(r"adapter\.weight$", weak_feedback), *RULES],
         config=USUAL | {
             "n_embd": 18, "num_attention_heads": 3, "intermediate_size": 21,
             "n_layers_in_prelude": 2, "n_layers_in_recurrent_block": 4, "n_layers_in_coda": 1, "mean_recurrence": 7,
             "block_size": 64, "vocab_size": 41, "tie_embeddings": True, "bias": False, "qk_bias": True,
             "norm_eps": 1e-6, "rope_base": 50000, "torch_dtype": "float32"}),
]
