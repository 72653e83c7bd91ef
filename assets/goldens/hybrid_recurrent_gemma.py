"""recurrent_gemma (Griffin): a gated linear recurrence of single numbers in most layers, windowed attention in some."""

import numpy as np
import torch
from transformers import RecurrentGemmaForCausalLM

import hybrid_goldens
from hybrid_goldens import Case, centred_norm_weight, matrix, normal


def decays_of(rglru, activations):
    """[T, channel] in float64: ln a = -8 softplus(parameter) sigmoid(recurrent gate), and what is written,
    sqrt(1 - a^2) sigmoid(input gate) x."""
    x = activations[0].double()
    blocks = x.reshape(len(x), rglru.num_attention_heads, -1)

    def gate(weight, bias):
        return (torch.einsum("tbi,bio->tbo", blocks, weight.double()) + bias.double()).sigmoid().reshape(x.shape)

    logs = -8.0 * torch.nn.functional.softplus(rglru.recurrent_param.double()) * gate(
        rglru.recurrent_gate_weight, rglru.recurrent_gate_bias)
    strength = torch.sqrt(-torch.expm1(2.0 * logs))
    strength[0] = 1.0  # the class resets at position 0
    return logs, strength * gate(rglru.input_gate_weight, rglru.input_gate_bias) * x


@torch.no_grad()
def measured(_case, model, tokens):
    """A `more`: the arrays state_* per block of channels, and conv_taps (README.md). Norms are of the class's own states,
    the others follow from its gates in float64."""
    kinds = ("RecurrentGemmaRglru", "Conv1d")
    with hybrid_goldens.recorded_modules(model, lambda _n, m: type(m).__name__ in kinds) as calls:
        model(torch.tensor([list(map(int, tokens))]), use_cache=False)
    layers, taps, difference = [], [], 0.0
    for call in calls:
        module = model.get_submodule(call.name)
        if isinstance(module, torch.nn.Conv1d):
            taps.append(hybrid_goldens.tap_parts(call.args[0][0], module.weight[:, 0]))
            continue
        logs, written = decays_of(module, call.args[0])
        state, states = torch.zeros_like(written[0]), []
        for t in range(len(tokens)):
            state = logs[t].exp() * state + written[t]
            states.append(state)
        difference = max(difference, float((torch.stack(states) - call.result[0]).abs().max()))

        def by_block(x):
            return x.reshape(len(x), module.num_attention_heads, -1)

        norm = by_block(call.result[0].double()).norm(dim=-1)
        total = logs.cumsum(0)
        rows = [torch.where(torch.arange(len(tokens))[:, None] <= t, (total[t] - total).exp(), 0.0) for t in
                range(len(tokens))]
        rows = torch.stack([by_block(row).mean(-1).T for row in rows])  # [t, block, s]
        layers.append({"norm": norm, "read": norm, "write": by_block(written).norm(dim=-1),
                       "erase": torch.zeros_like(norm), "keep": hybrid_goldens.keep_of(by_block(logs.exp())),
                       "row": rows})
    print(f"  states from the recurrence's {difference:.1e}")
    arrays = {f"state_{name}": torch.stack([layer[name] for layer in layers], 1).numpy() for name in layers[0]}
    steps = [len(tokens) // 3, len(tokens) - 1]
    return arrays | {"state_steps": np.asarray(steps), "state_row": arrays["state_row"][steps],
                     "conv_taps": torch.stack(taps, 1).numpy()}


RULES = [(r"norm\.weight$", centred_norm_weight), (r"recurrent_param$", normal(-3.0, 1.5)),
         (r"_gate_weight$", matrix(1.5)), (r"conv_1d\.weight$", matrix(1.2)), (r"[qk]_proj\.weight$", matrix(2.0)),
         (r"embed_tokens\.weight$", normal(0.0, 0.25)), (r"lm_head\.weight$", matrix(4.0))]

CASES = [
    # Keys and values that all queries share; states of another width than the stream.
    Case("tiny-recurrent-gemma", RecurrentGemmaForCausalLM, length=90, seed=291, rules=RULES, more=measured,
         attention_steps=[1, 16, 17, 18, 34, 64, 89],
         config=dict(vocab_size=47, hidden_size=36, intermediate_size=62, num_hidden_layers=4, num_attention_heads=3,
                     num_key_value_heads=1, lru_width=33, attention_window_size=17, conv1d_width=4,
                     logits_soft_cap=12.0, rms_norm_eps=2e-5, max_position_embeddings=512,
                     block_types=["recurrent", "attention", "recurrent"],
                     rope_parameters={"rope_type": "default", "rope_theta": 5000.0, "partial_rotary_factor": 0.5})),
    # As the first files are written: widths, cap, window and blocks left to the defaults; biases in attention, a head.
    Case("tiny-recurrent-gemma-b", RecurrentGemmaForCausalLM, length=60, seed=292, rules=RULES, more=measured,
         written={"rope_parameters": None, "dtype": None, "torch_dtype": "float32", "rope_theta": 10000.0,
                  "partial_rotary_factor": 0.5, "lru_width": None, "block_types": None, "logits_soft_cap": None,
                  "num_key_value_heads": None, "attention_window_size": None},
         config=dict(vocab_size=53, hidden_size=24, intermediate_size=39, num_hidden_layers=5, num_attention_heads=2,
                     conv1d_width=3, rms_norm_eps=1e-6, attention_bias=True, tie_word_embeddings=False)),
]
