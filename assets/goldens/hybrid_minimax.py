"""minimax: lightning attention (a state with fixed decays) and softmax attention, experts in every layer."""

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import MiniMaxForCausalLM
from transformers.models.minimax.modeling_minimax import MiniMaxCache

import float64_reference as reference
import hybrid_goldens
from hybrid_goldens import Case, matrix, uniform


@torch.no_grad()
def states(_case, model, tokens):
    """A `more`: the arrays state_* (README.md). The norms are those of the class's own states after all prefixes (its
    one-token steps lose count of the positions where the first layer has no keys); the others follow from the queries,
    keys and values that it makes."""
    norms, ids = [], list(map(int, tokens))
    with hybrid_goldens.recorded_modules(model, lambda name, _m: name.endswith("qkv_proj")) as calls:
        for n in range(1, len(ids) + 1):
            cache = MiniMaxCache()
            del calls[:]
            model(torch.tensor([ids[:n]]), past_key_values=cache, use_cache=True)
            norms.append([hybrid_goldens.norms_per_head(s) for s in cache.linear_cache if len(s) > 0])
    layers = []
    for call in calls:
        attention = model.get_submodule(call.name.removesuffix(".qkv_proj"))
        qkv = attention.act_fn(call.result[0]).reshape(len(ids), attention.num_attention_heads, -1).double().numpy()
        decay = np.exp(-attention.slope_rate.double().flatten().numpy())
        layers.append(reference.fixed_decay_states(*np.split(qkv, 3, -1), decay, 1.0))
    arrays = {f"state_{name}": np.stack([layer[name] for layer in layers], 1) for name in layers[0]}
    own, steps = np.asarray(norms), [len(ids) // 3, len(ids) - 1]
    print(f"  states from the recurrence's {np.abs(own / arrays['state_norm'] - 1).max():.1e}")
    return arrays | {"state_norm": own, "state_steps": np.asarray(steps), "state_row": arrays["state_row"][steps]}


@torch.no_grad()
def tables_of_slopes(model):
    """The class keeps tables of the decays within a block that follow from its slopes, and saves them."""
    for layer in model.model.layers:
        if hasattr(layer.self_attn, "slope_rate"):
            attention = layer.self_attn
            tables = attention.decay_factors(attention.slope_rate)
            for name, table in zip(("query_decay", "key_decay", "diagonal_decay"), tables):
                getattr(attention, name).copy_(table)


@torch.no_grad()
def usual_slopes(model):
    for layer in model.model.layers:
        if hasattr(layer.self_attn, "slope_rate"):
            layer.self_attn.slope_rate.copy_(layer.self_attn.get_slope_rate())
    tables_of_slopes(model)


def without_tables(case, _model, weights, models):
    """Rewrites the folder's weights as files are that hold parameters alone."""
    kept = {n: w for n, w in weights.items() if not n.endswith(("slope_rate", "_decay"))}
    save_file(kept, models / case.name / "model.safetensors", metadata={"format": "pt"})


RULES = [(r"slope_rate$", uniform(0.01, 0.7)), (r"qkv_proj\.weight$", matrix(1.6)),
         (r"output_gate\.weight$", matrix(1.5))]
FACTORS = dict(full_attn_alpha_factor=1.3, full_attn_beta_factor=0.8, linear_attn_alpha_factor=0.7,
               linear_attn_beta_factor=1.2, mlp_alpha_factor=1.1, mlp_beta_factor=0.9)

CASES = [
    # Slopes of the file's own; blocks of 16 are crossed four times; factors of both parts of every sum.
    Case("tiny-minimax", MiniMaxForCausalLM, length=70, seed=251, more=states, rules=RULES, settle=tables_of_slopes,
         config=dict(vocab_size=47, hidden_size=20, intermediate_size=7, num_hidden_layers=4, num_attention_heads=3,
                     num_key_value_heads=1, head_dim=6, rms_norm_eps=2e-5, num_local_experts=5, num_experts_per_tok=2,
                     block_size=16, max_position_embeddings=512, **FACTORS,
                     layer_types=["linear_attention", "linear_attention", "full_attention", "linear_attention"],
                     rope_parameters={"rope_type": "default", "rope_theta": 40000.0})),
    # Older spelling: slopes and layers left to the defaults, a window, heads as wide as the model makes them.
    Case("tiny-minimax-b", MiniMaxForCausalLM, length=40, seed=252, more=states, rules=RULES, settle=usual_slopes,
         twins=without_tables, attention_steps=[1, 8, 9, 10, 28, 39],
         written={"rope_parameters": None, "dtype": None, "torch_dtype": "float32", "rope_theta": 1e6,
                  "layer_types": None, "head_dim": None},
         config=dict(vocab_size=43, hidden_size=16, intermediate_size=9, num_hidden_layers=3, num_attention_heads=4,
                     num_key_value_heads=2, rms_norm_eps=1e-5, num_local_experts=4, num_experts_per_tok=1,
                     block_size=5, sliding_window=9, max_position_embeddings=512, tie_word_embeddings=True,
                     linear_attn_alpha_factor=2.5, mlp_alpha_factor=1.5,
                     rope_parameters={"rope_type": "default", "rope_theta": 1e6})),
]
