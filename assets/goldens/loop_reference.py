"""Loops in float64 numpy: what goldens of looped models keep, and the random state that Huginn's loop begins with."""

import numpy as np

import float64_reference as reference
import hybrid_goldens

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
    """With the states that a loop goes through, [T, d] each, the one that it begins with first; and how many of its
    iterations every token went through, None where all go through all."""

    def __init__(self, weights):
        super().__init__(weights)
        self.loop_states, self.depth = [], None

    def golden(self, tokens, logits, steps):
        """With loop_step, loop_cosine [T, iteration] and loop_depth [T]; iterations that a token was not in are NaN.
        Attention rows are kept of steps that went through the whole loop."""
        with np.errstate(invalid="ignore"):  # steps of nothing, once a token has left
            arrays = reference.loop_arrays(self.loop_states)
        n_iterations = len(self.loop_states) - 1
        depth = np.full(len(tokens), n_iterations) if self.depth is None else self.depth
        for array in arrays.values():
            array[np.arange(n_iterations) >= depth[:, None]] = np.nan
        self.more = arrays | {"loop_depth": depth}
        whole = np.flatnonzero(depth == n_iterations)
        return super().golden(tokens, logits, steps or list(whole[hybrid_goldens.edges(len(whole))]))
