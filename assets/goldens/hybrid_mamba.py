"""Mamba, Falcon Mamba and Mamba-2."""

import torch
from transformers import FalconMambaForCausalLM, Mamba2ForCausalLM, MambaForCausalLM

import hybrid_goldens
from hybrid_goldens import Case, matrix, normal


def steps_of_time(raw, bias, low=0.0, high=float("inf")):
    return torch.nn.functional.softplus(raw + bias).clamp(low, high)


@torch.no_grad()
def selective_keep_and_taps(case, model, tokens):
    """state_keep [T, layer, 16, 3] of the groups of channels, conv_taps."""
    with hybrid_goldens.recorded_calls(hybrid_goldens.code_of(model), "mamba_selective_scan") as calls:
        taps = hybrid_goldens.conv_taps(case, model, tokens)
    keep = []
    for call in calls:  # raw steps of time [1, channel, T], A [channel, N]
        delta = steps_of_time(call.args[1][0], call.kwargs["delta_bias"][:, None])
        decay = torch.exp(delta.T[:, :, None] * call.args[2])  # [T, channel, N]
        group = 16 * torch.arange(decay.shape[1]) // decay.shape[1]
        keep.append(torch.cat([hybrid_goldens.keep_of(decay[:, group == g].flatten(1)[:, None]) for g in range(16)], 1))
    return taps | {"state_keep": torch.stack(keep, 1).numpy()}


@torch.no_grad()
def scalar_keep_and_taps(case, model, tokens):
    """state_keep [T, layer, head, 3], in which all three are the same number; conv_taps."""
    with hybrid_goldens.recorded_calls(hybrid_goldens.code_of(model), "mamba2_chunk_scan") as calls:
        taps = hybrid_goldens.conv_taps(case, model, tokens)
    keep = []
    for call in calls:
        delta = steps_of_time(call.args[1][0], call.kwargs["dt_bias"], *call.kwargs["dt_limit"])  # [T, head]
        keep.append(hybrid_goldens.keep_of(torch.exp(delta * call.args[2])[..., None]))
    return taps | {"state_keep": torch.stack(keep, 1).numpy()}


X_PROJ = [(r"x_proj\.weight$", matrix(1.3)), (r"dt_proj\.weight$", matrix(1.0))]

CASES = [
    Case("tiny-mamba", MambaForCausalLM, length=70, seed=211, state_norms=hybrid_goldens.norms_per_sixteenth,
         more=selective_keep_and_taps, rules=X_PROJ,
         config=dict(vocab_size=61, hidden_size=26, state_size=5, num_hidden_layers=3, layer_norm_epsilon=2e-5, expand=2,
                     conv_kernel=4, use_bias=False, use_conv_bias=True, time_step_rank=3, residual_in_fp32=True,
                     tie_word_embeddings=True)),
    # Biases everywhere but in the convolution; a rank that the width gives.
    Case("tiny-mamba-b", MambaForCausalLM, length=40, seed=212, state_norms=hybrid_goldens.norms_per_sixteenth,
         more=selective_keep_and_taps, rules=X_PROJ,
         config=dict(vocab_size=47, hidden_size=19, state_size=7, num_hidden_layers=2, layer_norm_epsilon=1e-5, expand=3,
                     conv_kernel=3, use_bias=True, use_conv_bias=False, residual_in_fp32=False,
                     tie_word_embeddings=False),
         written={"time_step_rank": "auto", "intermediate_size": None, "dtype": None, "torch_dtype": "float32"}),
    Case("tiny-falcon-mamba", FalconMambaForCausalLM, length=60, seed=213,
         state_norms=hybrid_goldens.norms_per_sixteenth, more=selective_keep_and_taps, rules=X_PROJ,
         config=dict(vocab_size=53, hidden_size=22, state_size=6, num_hidden_layers=3, layer_norm_epsilon=1e-5, expand=2,
                     conv_kernel=4, use_bias=False, use_conv_bias=True, time_step_rank=3, mixer_rms_eps=3e-3,
                     tie_word_embeddings=False)),
    # Two groups, six heads, chunks crossed several times, steps of time limited on both sides.
    Case("tiny-mamba2", Mamba2ForCausalLM, length=70, seed=214, state_norms=hybrid_goldens.norms_per_head,
         states_by_prefixes=True, more=scalar_keep_and_taps,
         config=dict(vocab_size=59, hidden_size=21, state_size=5, num_hidden_layers=3, layer_norm_epsilon=2e-5, expand=2,
                     conv_kernel=4, num_heads=6, head_dim=7, n_groups=2, chunk_size=13, use_bias=True,
                     use_conv_bias=True, time_step_limit=[0.1, 0.9], tie_word_embeddings=False)),
    # One group, no bias at all, an odd number of heads.
    Case("tiny-mamba2-b", Mamba2ForCausalLM, length=50, seed=215, state_norms=hybrid_goldens.norms_per_head,
         more=scalar_keep_and_taps,
         config=dict(vocab_size=43, hidden_size=20, state_size=11, num_hidden_layers=2, layer_norm_epsilon=1e-5,
                     expand=3, conv_kernel=3, num_heads=5, head_dim=12, n_groups=1, chunk_size=32, use_bias=False,
                     use_conv_bias=False, tie_word_embeddings=True),
         rules=[(r"dt_bias$", normal(-0.5, 1.0))]),
]
