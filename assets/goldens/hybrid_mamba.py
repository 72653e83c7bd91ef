"""Mamba, Falcon Mamba and Mamba-2."""

import numpy as np
import torch
from transformers import FalconMambaForCausalLM, Mamba2ForCausalLM, MambaForCausalLM

import hybrid_goldens
from hybrid_goldens import Case, matrix, normal


def steps_of_time(raw, bias, low=0.0, high=float("inf")):
    return torch.nn.functional.softplus(raw + bias).clamp(low, high)


def implied_rows(decay_logs, weights):
    """decay_logs [T, ..., N] of every token, weights [T, T, ..., N] = query_t * key_s -> [T, T, ...]: what token t reads of
    what token s wrote, sum over N of weights[t, s] times the decays of s + 1 .. t; 0 for s > t."""
    total = decay_logs.double().cumsum(0)
    difference = total[:, None] - total[None]
    length = len(total)
    later = torch.arange(length)[None] > torch.arange(length)[:, None]
    difference[later] = -torch.inf
    return (weights.double() * difference.exp()).sum(-1)


def state_arrays(layers):
    """Stacks what the layers measured, dicts of [T or steps, ...] by name, to [T or steps, layer, ...]."""
    return {name: torch.stack([layer[name] for layer in layers], 1).numpy() for name in layers[0]}


def row_steps(tokens):
    return [len(tokens) // 3, len(tokens) - 1]


@torch.no_grad()
def selective_states(case, model, tokens):
    """state_keep, state_write, state_read and state_row (README.md) of the groups of channels, conv_taps."""
    with hybrid_goldens.recorded_calls(hybrid_goldens.code_of(model), "mamba_selective_scan") as calls:
        taps = hybrid_goldens.conv_taps(case, model, tokens)
    layers = []
    for call in calls:  # u and raw steps of time [1, channel, T], A [channel, N], B and C [1, N, T]
        delta = steps_of_time(call.args[1][0], call.kwargs["delta_bias"][:, None]).T
        logs = delta[:, :, None] * call.args[2]  # [T, channel, N]
        b, c = call.args[3][0].T, call.args[4][0].T  # [T, N]
        written = (delta * call.args[0][0].T).double()  # [T, channel]
        rows = implied_rows(logs, (c[:, None] * b[None])[:, :, None])  # [T, T, channel]
        read = torch.einsum("tsc,sc->tc", rows, written)
        group = 16 * torch.arange(logs.shape[1]) // logs.shape[1]
        members = [group == g for g in range(16)]
        norms = lambda x: torch.stack([x[:, m].norm(dim=-1) for m in members], 1)
        layers.append({
            "state_keep": torch.cat([hybrid_goldens.keep_of(logs[:, m].exp().flatten(1)[:, None]) for m in members], 1),
            "state_write": norms(written) * b.double().norm(dim=-1, keepdim=True),
            "state_read": norms(read) / c.double().norm(dim=-1, keepdim=True),
            "state_row": torch.stack([rows[:, :, m].mean(-1) for m in members], 1)[row_steps(tokens)]})
    return taps | state_arrays(layers) | {"state_steps": np.asarray(row_steps(tokens))}


@torch.no_grad()
def scalar_states(case, model, tokens):
    """state_keep, of which all three are the same, state_write, state_read and state_row of the heads, conv_taps."""
    with hybrid_goldens.recorded_calls(hybrid_goldens.code_of(model), "mamba2_chunk_scan") as calls:
        taps = hybrid_goldens.conv_taps(case, model, tokens)
    layers = []
    for call in calls:  # x [1, T, head, P], raw steps of time [1, T, head], A [head], B and C [1, T, group, N]
        delta = steps_of_time(call.args[1][0], call.kwargs["dt_bias"], *call.kwargs["dt_limit"])  # [T, head]
        logs = (delta * call.args[2])[..., None]
        b, c = (x[0].repeat_interleave(logs.shape[1] // x.shape[2], dim=1) for x in call.args[3:5])  # [T, head, N]
        written = (delta[..., None] * call.args[0][0]).double()  # [T, head, P]
        rows = implied_rows(logs, c[:, None] * b[None])  # [T, T, head]
        read = torch.einsum("tsh,shp->thp", rows, written)
        layers.append({"state_keep": hybrid_goldens.keep_of(logs.exp()),
                       "state_write": written.norm(dim=-1) * b.double().norm(dim=-1),
                       "state_read": read.norm(dim=-1) / c.double().norm(dim=-1),
                       "state_row": rows.transpose(1, 2)[row_steps(tokens)]})
    return taps | state_arrays(layers) | {"state_steps": np.asarray(row_steps(tokens))}


def put_away(name, w):
    """As GGUF has the tensors of a state: A itself, taps without the axis of one input."""
    if name.endswith("ssm_a"):
        return -np.exp(w)
    return w.squeeze(1) if name.endswith("ssm_conv1d.weight") else w


def save_twin(case, model, weights, folder):
    config = model.config
    is_second = config.model_type == "mamba2"
    architecture = "mamba2" if is_second else "mamba"
    channels = int(config.expand * config.hidden_size)

    def settings(writer):
        writer.add_context_length(2**20)
        writer.add_embedding_length(config.hidden_size)
        writer.add_feed_forward_length(0)
        writer.add_head_count(0)
        writer.add_block_count(config.num_hidden_layers)
        writer.add_ssm_conv_kernel(config.conv_kernel)
        writer.add_ssm_inner_size(channels)
        writer.add_ssm_state_size(config.state_size)
        writer.add_ssm_time_step_rank(config.num_heads if is_second else config.time_step_rank)
        if is_second:
            writer.add_ssm_group_count(config.n_groups)
        else:
            writer.add_ssm_dt_b_c_rms(config.model_type == "falcon_mamba")
        writer.add_layer_norm_rms_eps(config.layer_norm_epsilon)

    def second(name, w):
        if name.endswith(("ssm_a", "ssm_d")):
            return w[:, None]
        return w.reshape(config.n_groups, -1) if "ssm_norm" in name else w

    tensors = hybrid_goldens.gguf_names(architecture, weights, [(r"\.dt_bias$", ".dt_proj.bias")])
    tensors = {name: put_away(name, w) for name, w in tensors.items()}
    if is_second:
        tensors = {name: second(name, w) for name, w in tensors.items()}
    hybrid_goldens.save_gguf(folder / f"{case.name}.f32.gguf", architecture, case.name, settings, tensors)


X_PROJ = [(r"x_proj\.weight$", matrix(1.3)), (r"dt_proj\.weight$", matrix(1.0))]

CASES = [
    Case("tiny-mamba", MambaForCausalLM, length=70, seed=211, state_norms=hybrid_goldens.norms_per_sixteenth,
         more=selective_states, rules=X_PROJ, twins=save_twin,
         config=dict(vocab_size=61, hidden_size=26, state_size=5, num_hidden_layers=3, layer_norm_epsilon=2e-5, expand=2,
                     conv_kernel=4, use_bias=False, use_conv_bias=True, time_step_rank=3, residual_in_fp32=True,
                     tie_word_embeddings=True)),
    # Biases everywhere but in the convolution; a rank that the width gives.
    Case("tiny-mamba-b", MambaForCausalLM, length=40, seed=212, state_norms=hybrid_goldens.norms_per_sixteenth,
         more=selective_states, rules=X_PROJ,
         config=dict(vocab_size=47, hidden_size=19, state_size=7, num_hidden_layers=2, layer_norm_epsilon=1e-5, expand=3,
                     conv_kernel=3, use_bias=True, use_conv_bias=False, residual_in_fp32=False,
                     tie_word_embeddings=False),
         written={"time_step_rank": "auto", "intermediate_size": None, "dtype": None, "torch_dtype": "float32"}),
    Case("tiny-falcon-mamba", FalconMambaForCausalLM, length=60, seed=213,
         state_norms=hybrid_goldens.norms_per_sixteenth, more=selective_states, rules=X_PROJ,
         config=dict(vocab_size=53, hidden_size=22, state_size=6, num_hidden_layers=3, layer_norm_epsilon=1e-5, expand=2,
                     conv_kernel=4, use_bias=False, use_conv_bias=True, time_step_rank=3, mixer_rms_eps=3e-3,
                     tie_word_embeddings=False)),
    # What a GGUF file can say: the same epsilon everywhere.
    Case("tiny-falcon-mamba-b", FalconMambaForCausalLM, length=40, seed=216,
         state_norms=hybrid_goldens.norms_per_sixteenth, more=selective_states, rules=X_PROJ, twins=save_twin,
         config=dict(vocab_size=37, hidden_size=18, state_size=7, num_hidden_layers=2, layer_norm_epsilon=1e-3, expand=2,
                     conv_kernel=3, use_bias=False, use_conv_bias=True, mixer_rms_eps=1e-3, tie_word_embeddings=True)),
    # Two groups, six heads, chunks crossed several times, steps of time limited on both sides.
    Case("tiny-mamba2", Mamba2ForCausalLM, length=70, seed=214, state_norms=hybrid_goldens.norms_per_head,
         states_by_prefixes=True, more=scalar_states,
         config=dict(vocab_size=59, hidden_size=21, state_size=5, num_hidden_layers=3, layer_norm_epsilon=2e-5, expand=2,
                     conv_kernel=4, num_heads=6, head_dim=7, n_groups=2, chunk_size=13, use_bias=True,
                     use_conv_bias=True, time_step_limit=[0.1, 0.9], tie_word_embeddings=False)),
    # Three groups, biases of the convolution only, as GGUF files have them; tied.
    Case("tiny-mamba2-b", Mamba2ForCausalLM, length=50, seed=215, state_norms=hybrid_goldens.norms_per_head,
         more=scalar_states, twins=save_twin,
         config=dict(vocab_size=43, hidden_size=20, state_size=11, num_hidden_layers=2, layer_norm_epsilon=1e-5,
                     expand=3, conv_kernel=3, num_heads=6, head_dim=10, n_groups=3, chunk_size=32, use_bias=False,
                     use_conv_bias=True, tie_word_embeddings=True),
         rules=[(r"dt_bias$", normal(-0.5, 1.0))]),
    # One group, five heads, no bias at all; old spelling.
    Case("tiny-mamba2-c", Mamba2ForCausalLM, length=40, seed=217, state_norms=hybrid_goldens.norms_per_head,
         more=scalar_states,
         config=dict(vocab_size=37, hidden_size=15, state_size=6, num_hidden_layers=2, layer_norm_epsilon=1e-5,
                     expand=3, conv_kernel=5, num_heads=5, head_dim=9, n_groups=1, chunk_size=8, use_bias=False,
                     use_conv_bias=False, tie_word_embeddings=False),
         written={"dtype": None, "torch_dtype": "float32", "time_step_limit": [0.0, float("inf")]}),
]
