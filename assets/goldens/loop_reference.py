"""Loops in float64 numpy: what goldens of looped models keep, and the random state that Huginn's loop begins with."""

import json

import numpy as np
import torch
from safetensors.torch import save_file

import float64_reference as reference
import hybrid_goldens
import tiny_llama

MASK = (1 << 64) - 1


def hashed(x):
    """SplitMix64's output function (Steele, Lea and Flood 2014) of a 64-bit counter."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def normal_quantile(q):
    """The standard normal's value at probability 1/2 + q, |q| < 1/2 - e^-25: algorithm AS 241, PPND7 (Wichura 1988)."""
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        return q * (((59.109374720 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179) / (
            ((67.187563600 * r + 78.757757664) * r + 17.895169469) * r + 1.0)
    r = np.sqrt(-np.log(0.5 - abs(q))) - 1.6
    value = (((0.17023821103 * r + 1.3067284816) * r + 2.7568153900) * r + 1.4234372777) / (
        (0.12021132975 * r + 0.73700164250) * r + 1.0)
    return np.copysign(value, q)


def truncated_normal(seed, positions, columns):
    """[position, column], normal but for what is beyond 3 deviations; a number depends on its own place alone."""
    golden, inside = 0x9E3779B97F4A7C15, 0.99730020393673981  # of the normal distribution's mass within 3 deviations
    out = np.zeros((len(positions), columns))
    for r, position in enumerate(positions):
        stream = hashed((seed + golden * (int(position) + 1)) & MASK)
        for column in range(columns):
            bits = hashed((stream + golden * (column + 1)) & MASK) >> 41
            out[r, column] = normal_quantile(((2 * bits + 1) / 2.0 ** 24 - 0.5) * inside)
    return out


class LoopedDecoder(reference.Decoder):
    """With the states that a loop goes through, [T, d] each: the one that it begins with first."""

    def __init__(self, weights):
        super().__init__(weights)
        self.loop_states = []

    def loop_arrays(self, depth=None):
        """loop_step, loop_cosine [T, iteration] and loop_depth [T]; iterations that a token was not in are NaN."""
        states = np.stack(self.loop_states, 1)
        steps = np.diff(states, axis=1)
        size = np.linalg.norm(steps, axis=-1)
        step, cosine = size / np.linalg.norm(states[:, :-1], axis=-1), np.full(size.shape, np.nan)
        with np.errstate(invalid="ignore"):  # steps of nothing, once a token has left
            cosine[:, 1:] = (steps[:, 1:] * steps[:, :-1]).sum(-1) / (size[:, 1:] * size[:, :-1])
        depth = np.full(len(states), size.shape[1]) if depth is None else depth
        gone = np.arange(size.shape[1]) >= depth[:, None]
        step[gone] = cosine[gone] = np.nan
        return {"loop_step": step, "loop_cosine": cosine, "loop_depth": depth}

    def golden(self, tokens, logits, steps, depth=None):
        """Attention rows are kept of steps that went through the whole loop."""
        whole = np.arange(len(tokens)) if depth is None else np.flatnonzero(depth == depth.max())
        steps = steps or list(whole[hybrid_goldens.edges(len(whole))])
        return {"tokens": np.asarray(tokens), "logits": logits, "residual_norm": np.stack(self.residual_norm, 1),
                "attention_steps": np.asarray(steps), "attention_row": np.stack(self.attention_row, 1)[steps],
                **self.loop_arrays(depth)}


def make(case, assets, shapes_of, run, stored=lambda name: name):
    """Folder and golden of a case whose weights have the shapes shapes_of(config), by run(config, weights, tokens).

    run gives the decoder, the logits and the depth of every token, or None where all go through the whole loop.
    stored: how the file calls a weight.
    """
    config = case.config
    weights = {name: hybrid_goldens.random_array(name, shape, case.seed, case.rules)
               for name, shape in shapes_of(config).items()}
    dtype = config.get("torch_dtype", "float32")
    weights = tiny_llama.round_to(weights, dtype)
    vocab = config.get("padded_vocab_size", config["vocab_size"])
    tokens = hybrid_goldens.random_tokens(case, vocab)
    model, logits, depth = run(config, weights, tokens)
    arrays = model.golden(tokens, logits, case.attention_steps, depth)
    hybrid_goldens.save_golden(assets, case.name, arrays)
    folder = assets / "models" / case.name
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        stale.unlink()
    written = hybrid_goldens.changed(config, case.written)
    (folder / "config.json").write_text(json.dumps(written, indent=2) + "\n")
    save_file({stored(name): torch.from_numpy(w).to(getattr(torch, dtype)) for name, w in weights.items()},
              folder / "model.safetensors", metadata={"format": "pt"})
    rows = np.stack(model.attention_row, 1)[-20:]
    print(f"{case.name}: T {len(tokens)}, largest logit {np.abs(logits).max():.2f}, "
          f"spread {logits.std(-1).mean():.2f}, residual {np.nanmax(model.residual_norm):.1f}, "
          f"mean largest weight of the last 20 rows {np.nanmean(rows.max(-1)):.2f}, "
          f"steps {np.nanmin(arrays['loop_step']):.3f} to {np.nanmax(arrays['loop_step']):.3f}")
    return arrays
