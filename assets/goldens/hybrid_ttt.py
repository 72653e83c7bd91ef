"""Tiny models with test-time training layers (Sun et al. 2024) under the names and settings of the authors' checkpoints.

The golden is an independent computation in float64 from the paper's equations, token after token (the primal form): the
inner gradients are torch's, of the inner loss as the paper writes it, eq. 4 with the mini-batches of section 2.4.
"""

import json

import numpy as np
import torch

import float64_reference as reference
from hybrid_goldens import Case, edges, normal, tap_parts, uniform  # noqa: F401

EPSILON = 1e-6  # of the layer norms: within the loss, and after the layer
FAST = ["loss_before", "loss_after", "rate", "update", "drift"]


def layer_norm(x, weight, bias):
    """(x - mean) / sqrt(variance + epsilon) * weight + bias over the last axis (Ba et al. 2016)."""
    centred = x - x.mean(-1, keepdims=True)
    return weight * centred / ((centred * centred).mean(-1, keepdims=True) + EPSILON) ** 0.5 + bias


def gelu(x):
    """Its tanh form (Hendrycks & Gimpel 2016)."""
    tanh = torch.tanh if isinstance(x, torch.Tensor) else np.tanh
    return 0.5 * x * (1.0 + tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def convolve(x, weight, bias):
    """Depthwise and causal; x [T, channel], weight [channel, 1, tap], the last of which is the token's own."""
    taps = weight.shape[-1]
    padded = np.concatenate([np.zeros((taps - 1, x.shape[1])), x])
    return sum(padded[i:i + len(x)] * weight[:, 0, i] for i in range(taps)) + bias


def rotate_neighbours(x, positions, theta):
    """Turns x [T, head, width]: pairs (2i, 2i + 1) by position * theta^(-2 i / width)."""
    angle = positions[:, None] * theta ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1])
    turned = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angle)[:, None]
    return np.stack([turned.real, turned.imag], -1).reshape(x.shape)


class FastLearner:
    """The heads' inner models, f(x) = LN(x W + b) or LN(gelu(x W1 + b1) W2 + b2), and what they learn."""

    def __init__(self, learned, gamma, beta):
        """learned: W1 [head, in, out], b1 [head, 1, out], ...; gamma, beta [head, width]."""
        self.learned = [torch.tensor(w) for w in learned]
        self.start = self.learned  # the weights of the mini-batch's beginning, at which gradients are taken
        self.sums = [torch.zeros_like(w) for w in self.learned]  # of step sizes times gradients
        self.now = self.learned
        self.gamma, self.beta = torch.tensor(gamma)[:, None], torch.tensor(beta)[:, None]

    def f(self, weights, x):
        """x [head, 1, width]"""
        z = x @ weights[0] + weights[1]
        if len(weights) == 4:
            z = gelu(z) @ weights[2] + weights[3]
        return layer_norm_of_torch(z, self.gamma, self.beta)

    def loss(self, weights, k, v):
        """[head]: how far what is made of the key is from v - k; with the key added, from v."""
        return 0.5 * ((self.f(weights, k) - (v - k)) ** 2).sum((1, 2))

    def learn(self, k, v, eta, share):
        """One token; eta [head] and share are its step size and what the sum counts at this place of the mini-batch."""
        at = [w.clone().requires_grad_() for w in self.start]
        gradients = torch.autograd.grad(self.loss(at, k, v).sum(), at)
        self.sums = [s + eta[:, None, None] * g for s, g in zip(self.sums, gradients)]
        before, self.now = self.now, [w - share * s for w, s in zip(self.start, self.sums)]
        return {"loss_before": self.loss(before, k, v), "loss_after": self.loss(self.now, k, v), "rate": share * eta,
                "update": distance(self.now, before), "drift": distance(self.now, self.learned)}

    def end_mini_batch(self):
        self.start = self.now
        self.sums = [torch.zeros_like(w) for w in self.start]


def layer_norm_of_torch(x, weight, bias):
    centred = x - x.mean(-1, keepdim=True)
    return weight * centred / ((centred * centred).mean(-1, keepdim=True) + EPSILON).sqrt() + bias


def distance(a, b):
    """[head]: of all weights of a head together."""
    return sum(((x - y) ** 2).sum((1, 2)) for x, y in zip(a, b)).sqrt()


class Decoder(reference.Decoder):
    def __init__(self, config, weights):
        super().__init__(weights)
        self.config = config
        self.fast, self.taps = [], []

    def parameters_of(self, p):
        names = ["W1", "b1"] + (["W2", "b2"] if self.config["ttt_layer_type"] == "mlp" else [])
        return [self[p + name] for name in names]

    def ttt(self, x, p):
        config, length, heads = self.config, len(x), self.config["num_attention_heads"]
        batch, width = config["mini_batch_size"], x.shape[1] // heads
        q, v = x @ self[p + "q_proj.weight"].T, x @ self[p + "v_proj.weight"].T
        if config.get("share_qk", False):
            k = convolve(q, self[p + "conv_k.weight"], self[p + "conv_k.bias"])
            q = convolve(q, self[p + "conv_q.weight"], self[p + "conv_q.bias"])
        else:
            k = x @ self[p + "k_proj.weight"].T
        q, k, v = (y.reshape(length, heads, width) for y in (q, k, v))
        places = np.arange(length) % batch
        theta = config.get("rope_theta", 10000.0)
        q, k = rotate_neighbours(q, places, theta), rotate_neighbours(k, places, theta)
        logits = x @ self[p + "learnable_ttt_lr_weight"][:, 0].T + self[p + "learnable_ttt_lr_bias"][:, 0]
        eta = torch.tensor(config.get("ttt_base_lr", 1.0) * reference.sigmoid(logits) / width)
        shares = np.maximum(1.0 / np.arange(1, batch + 1) + self[p + "learnable_token_idx"], 0.0)

        learner = FastLearner(self.parameters_of(p), self[p + "ttt_norm_weight"], self[p + "ttt_norm_bias"])
        out, measured = [], []
        for t in range(length):
            q_t, k_t, v_t = (torch.tensor(y[t])[:, None] for y in (q, k, v))
            measured.append(learner.learn(k_t, v_t, eta[t], shares[places[t]]))
            out.append((q_t + learner.f(learner.now, q_t)).reshape(-1))
            if places[t] == batch - 1:
                learner.end_mini_batch()
        self.fast.append({name: torch.stack([m[name] for m in measured]).numpy() for name in FAST})
        y = layer_norm(torch.stack(out).numpy(), self[p + "post_norm.weight"], self[p + "post_norm.bias"])
        if config.get("use_gate", False):
            y = gelu(x @ self[p + "g_proj.weight"].T) * y
        return y @ self[p + "o_proj.weight"].T

    def layer(self, x, p):
        epsilon = self.config.get("rms_norm_eps", 1e-6)
        if self.config.get("pre_conv", False):
            normed = reference.rms_norm(x, self[p + "conv.norm.weight"], epsilon)
            weight = self[p + "conv.conv.weight"]
            self.taps.append(tap_parts(torch.tensor(normed.T), torch.tensor(weight[:, 0])).numpy())
            x = x + convolve(normed, weight, self[p + "conv.conv.bias"])
        x = x + self.ttt(reference.rms_norm(x, self[p + "seq_norm.weight"], epsilon), p + "seq_modeling_block.")
        x = x + self.mlp(reference.rms_norm(x, self[p + "ffn_norm.weight"], epsilon), p + "mlp.")
        self.add_layer(x)
        return x

    def golden(self, tokens, logits, _steps):
        arrays = {"tokens": np.asarray(tokens), "logits": logits, "residual_norm": np.stack(self.residual_norm, 1)}
        arrays |= {f"fast_{name}": np.stack([f[name] for f in self.fast], 1) for name in FAST}
        if self.taps:
            arrays["conv_taps"] = np.stack(self.taps, 1)
        return arrays


def run(config, weights, tokens):
    """The decoder that ran, and its logits [T, vocab]."""
    model = Decoder(config, weights)
    x = model["model.embed_tokens.weight"][tokens]
    for layer in range(config["num_hidden_layers"]):
        x = model.layer(x, f"model.layers.{layer}.")
    head = "model.embed_tokens.weight" if config.get("tie_word_embeddings", True) else "lm_head.weight"
    return model, reference.rms_norm(x, model["model.norm.weight"], config.get("rms_norm_eps", 1e-6)) @ model[head].T


def shapes_of(config):
    d, vocab, heads = config["hidden_size"], config["vocab_size"], config["num_attention_heads"]
    width, taps = d // heads, config.get("conv_kernel", 4)
    shapes = {"model.embed_tokens.weight": (vocab, d), "model.norm.weight": (d,)}
    for layer in range(config["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        b = p + "seq_modeling_block."
        shapes |= {b + name + "_proj.weight": (d, d) for name in "qvo"}
        if config.get("share_qk", False):
            shapes |= {f"{b}conv_{x}.weight": (d, 1, taps) for x in "qk"} | {f"{b}conv_{x}.bias": (d,) for x in "qk"}
        else:
            shapes[b + "k_proj.weight"] = (d, d)
        if config.get("use_gate", False):
            shapes[b + "g_proj.weight"] = (d, d)
        hidden = 4 * width if config["ttt_layer_type"] == "mlp" else width
        shapes |= {b + "W1": (heads, width, hidden), b + "b1": (heads, 1, hidden)}
        if config["ttt_layer_type"] == "mlp":
            shapes |= {b + "W2": (heads, hidden, width), b + "b2": (heads, 1, width)}
        shapes |= {b + "learnable_ttt_lr_weight": (heads, 1, d), b + "learnable_ttt_lr_bias": (heads, 1),
                   b + "learnable_token_idx": (config["mini_batch_size"],),
                   b + "ttt_norm_weight": (heads, width), b + "ttt_norm_bias": (heads, width),
                   b + "post_norm.weight": (d,), b + "post_norm.bias": (d,)}
        if config.get("pre_conv", False):
            shapes |= {p + "conv.norm.weight": (d,), p + "conv.conv.weight": (d, 1, taps), p + "conv.conv.bias": (d,)}
        shapes |= {p + "seq_norm.weight": (d,), p + "ffn_norm.weight": (d,)}
        shapes |= reference.mlp_shapes(d, config["intermediate_size"], p + "mlp.")
    if not config.get("tie_word_embeddings", True):
        shapes["lm_head.weight"] = (vocab, d)
    return shapes


def make(case, assets):
    reference.make(case, assets, shapes_of, run)


# Steps that matter: inner weights that are not small, step sizes that differ, some shares that are kept at 0.
RULES = [(r"\.[Wb][12]$", normal(0.0, 0.4)), (r"learnable_token_idx$", uniform(-0.25, 0.5)),
         (r"learnable_ttt_lr_weight$", normal(0.0, 0.4)), (r"ttt_norm_weight$", uniform(0.5, 1.6)),
         (r"ttt_norm_bias$", normal(0.0, 0.3)), (r"conv_[qk]\.weight$", normal(0.0, 0.6)),
         (r"g_proj\.weight$", normal(0.0, 0.4))]
USUAL = {"model_type": "ttt", "architectures": ["TTTForCausalLM"], "hidden_act": "silu",
         "max_position_embeddings": 2048, "pretraining_tp": 1, "use_cache": False, "scan_checkpoint_group_size": 0}
CASES = [
    # 200 tokens, 12 mini-batches and a half.
    Case("tiny-ttt-linear", make=make, seed=521, length=200, rules=RULES,
         config=USUAL | {
             "hidden_size": 30, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 3,
             "vocab_size": 43, "rms_norm_eps": 1e-5, "rope_theta": 5000.0, "tie_word_embeddings": False,
             "ttt_layer_type": "linear", "ttt_base_lr": 1.3, "mini_batch_size": 16, "share_qk": False,
             "use_gate": False, "pre_conv": False, "conv_kernel": 4, "dtype": "float32"}),
    # All that surrounds the layer; a short mini-batch.
    Case("tiny-ttt-linear-b", make=make, seed=522, length=73, rules=RULES,
         config=USUAL | {
             "hidden_size": 20, "intermediate_size": 29, "num_hidden_layers": 3, "num_attention_heads": 5,
             "vocab_size": 39, "rms_norm_eps": 1e-6, "tie_word_embeddings": True, "ttt_layer_type": "linear",
             "ttt_base_lr": 1.0, "mini_batch_size": 5, "share_qk": True, "use_gate": True, "pre_conv": True,
             "conv_kernel": 3, "torch_dtype": "bfloat16"}),
    Case("tiny-ttt-mlp", make=make, seed=523, length=200, rules=RULES,
         config=USUAL | {
             "hidden_size": 18, "intermediate_size": 31, "num_hidden_layers": 2, "num_attention_heads": 3,
             "vocab_size": 41, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": False,
             "ttt_layer_type": "mlp", "ttt_base_lr": 0.7, "mini_batch_size": 7, "share_qk": True, "use_gate": True,
             "pre_conv": False, "conv_kernel": 4, "dtype": "float32"}),
    # One head; a convolution before the layer alone; few settings stated.
    Case("tiny-ttt-mlp-b", make=make, seed=524, length=60, rules=RULES,
         config={
             "model_type": "ttt", "architectures": ["TTTForCausalLM"], "hidden_size": 14, "intermediate_size": 23,
             "num_hidden_layers": 2, "num_attention_heads": 1, "vocab_size": 37, "ttt_layer_type": "mlp",
             "mini_batch_size": 4, "pre_conv": True, "conv_kernel": 5, "torch_dtype": "float32"}),
]
