"""The embedded model in PyTorch: what is trained, and what the engine's `orrery_hybrid` is held against.

A list of residual layers x + layer(RMSNorm(x)), each a mixer or a feed-forward; those of the loop run several times.
Between the times h <- a * h + b * e, e the stream that reached the loop (input injection); after each, a gate says with
which probability the token stops. What is read out at any depth is RMSNorm, then the embedding's transpose.
"""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Config:
    vocab_size: int = 331
    d_model: int = 64
    prelude: list = field(default_factory=lambda: ["mamba2", "full_attention"])
    loop: list = field(default_factory=lambda: ["mamba2", "sliding_attention", "moe"])
    coda: list = field(default_factory=list)
    n_loops: int = 4
    gate: bool = True
    d_gate: int = 32
    exit_threshold: float = 0.5
    sliding_window: int = 32
    n_heads: int = 4
    n_kv_heads: int = 4
    d_head: int = 16
    rope_base: float = 1000.0 ** 0.5  # of the half that turns: the faster half of the frequencies of base 1000
    n_rot: int = 8
    mamba_heads: int = 8
    mamba_d_head: int = 16
    d_state: int = 16
    n_groups: int = 1
    d_conv: int = 4
    ttt_heads: int = 2
    ttt_batch: int = 16
    ttt_base_lr: float = 1.0
    ttt_theta: float = 10000.0
    n_experts: int = 8
    n_experts_used: int = 2
    d_expert: int = 128
    d_ffn: int = 256
    eps: float = 1e-5


class RMSNorm(nn.Module):
    def __init__(self, n, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


class Mamba2(nn.Module):
    """Dao and Gu 2024, equation 6, in chunks (section 6); the layer is transformers' Mamba2Mixer."""

    CHUNK = 32

    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        self.d_inner = c.mamba_heads * c.mamba_d_head
        self.d_conv_in = self.d_inner + 2 * c.n_groups * c.d_state
        self.in_proj = nn.Linear(c.d_model, self.d_inner + self.d_conv_in + c.mamba_heads, bias=False)
        self.conv_weight = nn.Parameter(torch.randn(self.d_conv_in, c.d_conv) / math.sqrt(c.d_conv))
        self.conv_bias = nn.Parameter(torch.zeros(self.d_conv_in))
        dt = torch.exp(torch.rand(c.mamba_heads) * (math.log(0.2) - math.log(0.005)) + math.log(0.005))
        self.dt_bias = nn.Parameter(dt + torch.log(-torch.expm1(-dt)))
        self.A_log = nn.Parameter(torch.log(torch.linspace(1, 8, c.mamba_heads)))
        self.D = nn.Parameter(torch.ones(c.mamba_heads))
        self.norm = RMSNorm(self.d_inner, c.eps)
        self.out_proj = nn.Linear(self.d_inner, c.d_model, bias=False)

    def forward(self, u):
        c, b, t = self.c, u.shape[0], u.shape[1]
        h, p, n, g = c.mamba_heads, c.mamba_d_head, c.d_state, c.n_groups
        z, xbc, dt = self.in_proj(u).split([self.d_inner, self.d_conv_in, h], -1)
        padded = F.pad(xbc, (0, 0, c.d_conv - 1, 0))
        mixed = self.conv_bias
        for k in range(c.d_conv):
            mixed = mixed + padded[:, k : k + t] * self.conv_weight[:, k]
        xbc = F.silu(mixed)
        x, bk, cq = xbc.split([self.d_inner, g * n, g * n], -1)
        dt = F.softplus(dt + self.dt_bias)
        q = self.CHUNK
        pad = (-t) % q
        if pad:
            x, bk, cq, dt = (F.pad(v, (0, 0, 0, pad)) for v in (x, bk, cq, dt))
        m = (t + pad) // q
        x = x.view(b, m, q, h, p)
        bk = bk.view(b, m, q, g, n).repeat_interleave(h // g, 3).permute(0, 1, 3, 2, 4)  # [b, m, h, q, n]
        cq = cq.view(b, m, q, g, n).repeat_interleave(h // g, 3).permute(0, 1, 3, 2, 4)
        dt = dt.view(b, m, q, h).permute(0, 1, 3, 2)  # [b, m, h, q]
        xd = x.permute(0, 1, 3, 2, 4) * dt.unsqueeze(-1)  # [b, m, h, q, p]
        cum = torch.cumsum(-torch.exp(self.A_log)[:, None] * dt, -1)
        inside = torch.tril(torch.ones(q, q, dtype=torch.bool, device=u.device))
        decay = torch.exp((cum.unsqueeze(-1) - cum.unsqueeze(-2)).masked_fill(~inside, float("-inf")))
        y = ((cq @ bk.transpose(-1, -2)) * decay) @ xd
        if m > 1:
            # state that each chunk leaves, carried on from chunk to chunk
            left = torch.exp(cum[..., -1:] - cum)
            states = (xd * left.unsqueeze(-1)).transpose(-1, -2) @ bk  # [b, m, h, p, n]
            whole = torch.exp(cum[..., -1])
            carried, state = [torch.zeros_like(states[:, 0])], torch.zeros_like(states[:, 0])
            for i in range(m - 1):
                state = state * whole[:, i, :, None, None] + states[:, i]
                carried.append(state)
            carried = torch.stack(carried, 1)
            y = y + (cq * torch.exp(cum).unsqueeze(-1)) @ carried.transpose(-1, -2)
        y = y + x.permute(0, 1, 3, 2, 4) * self.D[:, None, None]
        y = y.permute(0, 1, 3, 2, 4).reshape(b, t + pad, self.d_inner)[:, :t]
        return self.out_proj(self.norm(y * F.silu(z)))


class Attention(nn.Module):
    """Softmax attention with normed queries and keys; half of every head turns with position."""

    def __init__(self, c: Config, window: int | None):
        super().__init__()
        self.c, self.window = c, window
        self.q_proj = nn.Linear(c.d_model, c.n_heads * c.d_head, bias=False)
        self.k_proj = nn.Linear(c.d_model, c.n_kv_heads * c.d_head, bias=False)
        self.v_proj = nn.Linear(c.d_model, c.n_kv_heads * c.d_head, bias=False)
        self.o_proj = nn.Linear(c.n_heads * c.d_head, c.d_model, bias=False)
        self.q_norm = RMSNorm(c.d_head, c.eps)
        self.k_norm = RMSNorm(c.d_head, c.eps)

    def rotate(self, x):
        half = self.c.n_rot // 2
        turn = torch.arange(x.shape[2], device=x.device)[:, None] * self.c.rope_base ** (
            -torch.arange(half, device=x.device) / half)
        cos, sin = turn.cos(), turn.sin()
        a, b, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
        return torch.cat([a * cos - b * sin, b * cos + a * sin, rest], -1)

    def forward(self, u):
        c, b, t = self.c, u.shape[0], u.shape[1]
        q = self.rotate(self.q_norm(self.q_proj(u).view(b, t, c.n_heads, c.d_head)).transpose(1, 2))
        k = self.rotate(self.k_norm(self.k_proj(u).view(b, t, c.n_kv_heads, c.d_head)).transpose(1, 2))
        v = self.v_proj(u).view(b, t, c.n_kv_heads, c.d_head).transpose(1, 2)
        if c.n_kv_heads != c.n_heads:
            k, v = (x.repeat_interleave(c.n_heads // c.n_kv_heads, 1) for x in (k, v))
        at = torch.arange(t, device=u.device)
        gone = at[None, :] > at[:, None]
        if self.window is not None:
            gone = gone | (at[:, None] - at[None, :] >= self.window)
        scores = (q @ k.transpose(-1, -2)) * (2.0 / math.sqrt(c.d_head))
        y = scores.masked_fill(gone, float("-inf")).softmax(-1) @ v
        return self.o_proj(y.transpose(1, 2).reshape(b, t, -1))


class TttLinear(nn.Module):
    """Test-time training with a linear inner model (Sun et al. 2024, section 2.4 in the dual form of 2.5): every head
    learns f(x) = LN(x W + b) from v - k at k, a gradient step a token, taken at the weights of the mini-batch's start."""

    def __init__(self, c: Config):
        super().__init__()
        self.c, d, h = c, c.d_model, c.ttt_heads
        self.d_head = d // h
        self.q_proj = nn.Linear(d, d, bias=False)
        self.k_proj = nn.Linear(d, d, bias=False)
        self.v_proj = nn.Linear(d, d, bias=False)
        self.g_proj = nn.Linear(d, d, bias=False)
        self.o_proj = nn.Linear(d, d, bias=False)
        self.learnable_ttt_lr_weight = nn.Parameter(torch.randn(h, 1, d) * 0.02)
        self.learnable_ttt_lr_bias = nn.Parameter(torch.zeros(h, 1))
        self.learnable_token_idx = nn.Parameter(torch.zeros(c.ttt_batch))
        self.W1 = nn.Parameter(torch.randn(h, self.d_head, self.d_head) * 0.02)
        self.b1 = nn.Parameter(torch.zeros(h, 1, self.d_head))
        self.ttt_norm_weight = nn.Parameter(torch.ones(h, self.d_head))
        self.ttt_norm_bias = nn.Parameter(torch.zeros(h, self.d_head))
        self.post_norm = nn.LayerNorm(d, 1e-6)
        self.learns = True  # False: the inner weights stay what they were trained to start as

    def rotate(self, x):
        """Pairs of neighbours turn by the place in the mini-batch; x [b, h, t, d_head]."""
        place = torch.arange(x.shape[2], device=x.device) % self.c.ttt_batch
        angle = place[:, None] * self.c.ttt_theta ** (-torch.arange(0, self.d_head, 2, device=x.device) / self.d_head)
        cos, sin = angle.cos(), angle.sin()
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)

    def normed(self, z):
        """(LN without its weights, the deviation it divided by)"""
        centred = z - z.mean(-1, keepdim=True)
        deviation = (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return centred / deviation, deviation

    def forward(self, u):
        c, b, t, h = self.c, u.shape[0], u.shape[1], self.c.ttt_heads
        q, k, v = (p(u).view(b, t, h, self.d_head).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        q, k = self.rotate(q), self.rotate(k)
        rate = torch.sigmoid(u @ self.learnable_ttt_lr_weight[:, 0].t() + self.learnable_ttt_lr_bias[:, 0])
        rate = (c.ttt_base_lr / self.d_head * rate).transpose(1, 2).unsqueeze(-1)  # [b, h, t, 1]
        share = (1 / torch.arange(1, c.ttt_batch + 1, device=u.device) + self.learnable_token_idx).clamp(min=0)
        gamma, beta = self.ttt_norm_weight[:, None], self.ttt_norm_bias[:, None]
        w, bias = self.W1.expand(b, -1, -1, -1), self.b1.expand(b, -1, -1, -1)
        out = []
        for at in range(0, t, c.ttt_batch):
            part = slice(at, min(at + c.ttt_batch, t))
            qi, ki, vi, eta = q[:, :, part], k[:, :, part], v[:, :, part], rate[:, :, part]
            n = qi.shape[2]
            # the inner loss 1/2 |f(k) - (v - k)|^2, and its gradient in z = k W + b
            x, deviation = self.normed(ki @ w + bias)
            dx = (gamma * x + beta - (vi - ki)) * gamma
            dz = (dx - dx.mean(-1, keepdim=True) - x * (dx * x).mean(-1, keepdim=True)) / deviation
            step = eta * dz if self.learns else torch.zeros_like(dz)
            reach = torch.tril(qi @ ki.transpose(-1, -2) + 1) * share[:n, None]
            z = qi @ w + bias - reach @ step
            out.append(qi + gamma * self.normed(z)[0] + beta)
            w, bias = w - share[n - 1] * ki.transpose(-1, -2) @ step, bias - share[n - 1] * step.sum(2, keepdim=True)
        y = self.post_norm(torch.cat(out, 2).transpose(1, 2).reshape(b, t, -1))
        return self.o_proj(F.gelu(self.g_proj(u), approximate="tanh") * y)


class Moe(nn.Module):
    """Softmax over all experts, the best k, renormalised: Mixtral's router over SwiGLU experts."""

    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        e, d, f = c.n_experts, c.d_model, c.d_expert
        self.router = nn.Parameter(torch.randn(e, d) / math.sqrt(d) * 0.3)
        self.gate_up = nn.Parameter(torch.randn(e, 2 * f, d) / math.sqrt(d))
        self.down = nn.Parameter(torch.randn(e, d, f) / math.sqrt(f) * 0.5)
        self.seen = None  # probabilities [rows, e] of the last call, for the routing loss
        self.chosen = None

    def forward(self, u):
        c, shape = self.c, u.shape
        x = u.reshape(-1, c.d_model)
        p = (x @ self.router.t()).softmax(-1)
        w, which = p.topk(c.n_experts_used, -1)
        w = w / w.sum(-1, keepdim=True)
        self.seen, self.chosen = p, which
        order = which.reshape(-1).argsort(stable=True)
        rows = order // c.n_experts_used
        counts = torch.bincount(which.reshape(-1), minlength=c.n_experts).tolist()
        parts = []
        for e, part in enumerate(x[rows].split(counts)):
            if part.shape[0]:
                gate, up = (part @ self.gate_up[e].t()).chunk(2, -1)
                parts.append((F.silu(gate) * up) @ self.down[e].t())
        y = torch.cat(parts) * w.reshape(-1)[order].unsqueeze(-1)
        return torch.zeros_like(x).index_add(0, rows, y).view(shape)


class Ffn(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.gate_up = nn.Linear(c.d_model, 2 * c.d_ffn, bias=False)
        self.down = nn.Linear(c.d_ffn, c.d_model, bias=False)

    def forward(self, u):
        gate, up = self.gate_up(u).chunk(2, -1)
        return self.down(F.silu(gate) * up)


KINDS = {
    "mamba2": Mamba2,
    "full_attention": lambda c: Attention(c, None),
    "sliding_attention": lambda c: Attention(c, c.sliding_window),
    "ttt_linear": TttLinear,
    "moe": Moe,
    "mlp": Ffn,
}


class Layer(nn.Module):
    def __init__(self, kind, c):
        super().__init__()
        self.norm = RMSNorm(c.d_model, c.eps)
        self.mixer = KINDS[kind](c)

    def forward(self, x):
        return x + self.mixer(self.norm(x))


class Gate(nn.Module):
    """The hazard of stopping after this iteration where it was not before: PonderNet's lambda (Banino et al. 2021)."""

    def __init__(self, c):
        super().__init__()
        self.norm = RMSNorm(c.d_model, c.eps)
        self.up = nn.Linear(c.d_model, c.d_gate)
        self.down = nn.Linear(c.d_gate, 1)

    def forward(self, h):
        return self.down(F.silu(self.up(self.norm(h)))).squeeze(-1)  # logit


class Model(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        self.embedding = nn.Parameter(torch.randn(c.vocab_size, c.d_model) / math.sqrt(c.d_model))
        self.prelude = nn.ModuleList(Layer(k, c) for k in c.prelude)
        self.loop = nn.ModuleList(Layer(k, c) for k in c.loop)
        self.coda = nn.ModuleList(Layer(k, c) for k in c.coda)
        if c.n_loops > 1:
            self.keep = nn.Parameter(torch.full((c.d_model,), 0.7))
            self.inject = nn.Parameter(torch.full((c.d_model,), 0.3))
        if c.gate and c.n_loops > 1:
            self.gate = Gate(c)
        self.norm = RMSNorm(c.d_model, c.eps)

    def read(self, h):
        for layer in self.coda:
            h = layer(h)
        return self.norm(h) @ self.embedding.t()

    def forward(self, ids, n_loops=None, freeze=False):
        """ids [b, t] -> what the loop leaves after each iteration [r][b, t, d], the gate's logits [r][b, t].

        freeze: tokens that have stopped (the probabilities sum to exit_threshold) keep their state, and deeper
        iterations read it; what the engine does."""
        n = n_loops or self.c.n_loops
        e = F.embedding(ids, self.embedding) * math.sqrt(self.c.d_model)
        for layer in self.prelude:
            e = layer(e)
        h, states, gates = e, [], []
        going = torch.ones(ids.shape, dtype=torch.bool, device=ids.device)
        survival = torch.ones(ids.shape, device=ids.device)
        self.depth = torch.full(ids.shape, n, device=ids.device)
        for r in range(n):
            x = self.keep * h + self.inject * e if self.c.n_loops > 1 else h
            if freeze:
                # a stopped token enters every layer as it stopped; its own output is not read
                x = torch.where(going.unsqueeze(-1), x, h)
                for layer in self.loop:
                    x = torch.where(going.unsqueeze(-1), layer(x), h)
            else:
                for layer in self.loop:
                    x = layer(x)
            h = x
            states.append(h)
            if hasattr(self, "gate"):
                gates.append(self.gate(h.detach() if self.training else h))
                if freeze:
                    survival = survival * torch.where(going, 1 - torch.sigmoid(gates[-1]), torch.ones_like(survival))
                    stops = going & (1 - survival >= self.c.exit_threshold)
                    self.depth = torch.where(stops, r + 1, self.depth)
                    going = going & ~stops
        return states, gates

    def moes(self):
        return [l.mixer for l in [*self.prelude, *self.loop, *self.coda] if isinstance(l.mixer, Moe)]


STATE_SPACE = dict(prelude=["mamba2", "mamba2"], loop=["mamba2", "mamba2", "moe"])

VARIANTS = {
    "full": Config(),
    "fast_weights": Config(prelude=["mamba2", "ttt_linear"], n_loops=1, gate=False),
    "no_loop": Config(n_loops=1, gate=False),
    "attention": Config(prelude=["full_attention", "full_attention"], loop=["full_attention", "sliding_attention", "moe"]),
    "state_space": Config(**STATE_SPACE),
    "state_space_8": Config(**STATE_SPACE, d_state=8),
    "state_space_32": Config(**STATE_SPACE, d_state=32),
    "state_space_64": Config(**STATE_SPACE, d_state=64),
}
