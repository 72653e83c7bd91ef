"""Tiny LoopFormers (Jeddi et al. 2026, arXiv 2602.11451) with the names and settings of the authors' code.

The golden is an independent computation in float64 from the paper: blocks that are repeated, told by their gates and
scales how far the loop is (t) and how long the step is (dt); M equal steps. Files are spelled in the ways that the
authors' from_pretrained reads.
"""

import math

import numpy as np

import float64_reference as reference
import loop_reference
from hybrid_goldens import Case, matrix, normal

EPSILON = np.finfo(np.float32).eps  # torch's, where RMSNorm is given none
SINUSOIDS = 256


def size(config, *names, usual=None):
    return next((config[name] for name in names if name in config), usual)


def sizes(config):
    d = size(config, "n_embd", "hidden_size")
    return dict(d=d, heads=size(config, "n_head", "num_attention_heads"),
                layers=size(config, "n_layer", "num_hidden_layers"), bias=config.get("bias", False),
                positions=size(config, "block_size", "n_positions", "max_position_embeddings"),
                ffn=size(config, "intermediate_dim", "n_inner", usual=4 * d), steps=config.get("max_model_loops", 8))


def linear_shapes(name, n_out, n_in, bias):
    return {name + ".weight": (n_out, n_in)} | ({name + ".bias": (n_out,)} if bias else {})


def shapes_of(config):
    s = sizes(config)
    d = s["d"]
    shapes = {"transformer.wte.weight": (config["vocab_size"], d), "transformer.wpe.weight": (s["positions"], d),
              "transformer.norm_f.weight": (d,)}
    for embedder in ["time_embedder", "dt_embedder"]:
        shapes |= linear_shapes(embedder + ".mlp.0", d, SINUSOIDS, True)
        shapes |= linear_shapes(embedder + ".mlp.2", d, d, True)
    for layer in range(s["layers"]):
        p = f"transformer.h.blocks.{layer}."
        for name, n_out, n_in in [("attn.c_attn", 3 * d, d), ("attn.c_proj", d, d), ("mlp.c_fc", s["ffn"], d),
                                  ("mlp.c_proj", d, s["ffn"])]:
            shapes |= linear_shapes(p + name, n_out, n_in, s["bias"])
        shapes |= linear_shapes(p + "adaLN_modulation.1", 4 * d, d, True)
    return shapes


def gelu(x):
    return x * 0.5 * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))


class LoopFormer(loop_reference.LoopedDecoder):
    def __init__(self, config, weights):
        super().__init__(weights)
        self.sizes = sizes(config)

    def linear(self, x, name):
        return x @ self[name + ".weight"].T + self.weights.get(name + ".bias", 0.0)

    def embedded(self, x, name):
        """linear(silu(linear(sinusoids of x))): cosines, then sines, of x 10000^(-i / 128)."""
        half = SINUSOIDS // 2
        angle = x * 10000.0 ** (-np.arange(half) / half)
        sinusoids = np.concatenate([np.cos(angle), np.sin(angle)])
        return self.linear(reference.silu(self.linear(sinusoids, name + ".mlp.0")), name + ".mlp.2")

    def block(self, x, prefix, condition):
        gate_mixer, gate_ffn, scale_mixer, scale_ffn = np.split(
            self.linear(reference.silu(condition), prefix + "adaLN_modulation.1"), 4)
        y = reference.rms_norm(x, 1.0, EPSILON) * (1.0 + scale_mixer)
        qkv = self.linear(y, prefix + "attn.c_attn").reshape(len(x), 3, self.sizes["heads"], -1)
        out, rows = reference.attention(qkv[:, 0], qkv[:, 1], qkv[:, 2], None)
        self.attention_row.append(rows)
        x = x + gate_mixer * self.linear(out.reshape(len(x), -1), prefix + "attn.c_proj")
        y = reference.rms_norm(x, 1.0, EPSILON) * (1.0 + scale_ffn)
        x = x + gate_ffn * self.linear(gelu(self.linear(y, prefix + "mlp.c_fc")), prefix + "mlp.c_proj")
        self.add_layer(x)
        return x


def run(config, weights, tokens, n_steps=None):
    """The decoder that ran, and its logits [T, vocab]."""
    model = LoopFormer(config, weights)
    n_steps = n_steps or model.sizes["steps"]
    x = model["transformer.wte.weight"][tokens] + model["transformer.wpe.weight"][:len(tokens)]
    model.loop_states.append(x)
    for i in range(n_steps):
        condition = model.embedded(i / n_steps, "time_embedder") + model.embedded(1.0 / n_steps, "dt_embedder")
        for layer in range(model.sizes["layers"]):
            x = model.block(x, f"transformer.h.blocks.{layer}.", condition)
        model.loop_states.append(x)
    x = reference.rms_norm(x, model["transformer.norm_f.weight"], EPSILON)
    return model, x @ model["transformer.wte.weight"].T


def make(case, assets):
    """With what some checkpoints have before their names, or with the head instead of the embedding, which it is."""
    prefix = {"tiny-loopformer-b": "gpt.", "tiny-loopformer-c": "module.model."}.get(case.name, "")
    head = {"transformer.wte.weight": "lm_head.weight"} if case.name == "tiny-loopformer-c" else {}
    reference.make(case, assets, shapes_of, run, lambda name: prefix + head.get(name, name))


RULES = [(r"c_attn\.weight$", matrix(1.5)), (r"wte\.weight$", normal(0.0, 0.6)), (r"wpe\.weight$", normal(0.0, 0.4)),
         (r"adaLN_modulation\.1\.weight$", matrix(0.6)), (r"_embedder\.mlp\.0\.weight$", matrix(2.0))]
USUAL = {"model_type": "loopformer", "architectures": ["LoopFormerForCausalLM"], "dropout": 0.0,
         "torch_dtype": "float32"}
CASES = [
    # 8 steps, which is what is left to the class.
    Case("tiny-loopformer", make=make, seed=311, length=45, rules=RULES,
         config=USUAL | {"n_embd": 18, "n_head": 3, "n_layer": 2, "intermediate_dim": 29, "block_size": 50,
                         "vocab_size": 47, "bias": False}),
    # Biases; the other names of sizes, and a feed-forward of 4 times the width.
    Case("tiny-loopformer-b", make=make, seed=312, length=35, rules=RULES,
         config=USUAL | {"hidden_size": 14, "num_attention_heads": 2, "num_hidden_layers": 3, "n_positions": 40,
                         "vocab_size": 41, "bias": True, "max_model_loops": 3}),
    # One step.
    Case("tiny-loopformer-c", make=make, seed=313, length=30, rules=RULES,
         config=USUAL | {"n_embd": 15, "n_head": 5, "n_layer": 1, "n_inner": 17, "max_position_embeddings": 33,
                         "vocab_size": 37, "max_model_loops": 1}),
]
