"""Ouro (Zhu et al. 2025, LoopLM): the whole stack several times over, its final norm after every loop, and a gate that
says where to stop.

The golden is an independent computation in float64 from the paper's equations with the names and settings of
OuroForCausalLM, which transformers does not have; it was held against that class's own code (README.md).
"""

import numpy as np

import float64_reference as reference
from hybrid_goldens import Case, matrix, normal, uniform


def shapes_of(config):
    d, ffn, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    width = config.get("head_dim", d // config["num_attention_heads"])
    q, kv = config["num_attention_heads"] * width, config["num_key_value_heads"] * width
    shapes = {"model.embed_tokens.weight": (vocab, d), "model.norm.weight": (d,),
              "model.early_exit_gate.weight": (1, d), "model.early_exit_gate.bias": (1,)}
    for layer in range(config["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        shapes |= {p + "self_attn.q_proj.weight": (q, d), p + "self_attn.k_proj.weight": (kv, d),
                   p + "self_attn.v_proj.weight": (kv, d), p + "self_attn.o_proj.weight": (d, q)}
        shapes |= {f"{p}{norm}.weight": (d,) for norm in ("input_layernorm", "input_layernorm_2",
                                                          "post_attention_layernorm", "post_attention_layernorm_2")}
        shapes |= reference.mlp_shapes(d, ffn, p + "mlp.")
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocab, d)
    return shapes


def window_of(config, layer):
    if "layer_types" in config:
        is_windowed = config["layer_types"][layer] == "sliding_attention"
    else:
        is_windowed = layer >= config.get("max_window_layers", 28)
    return config["sliding_window"] if config.get("use_sliding_window") and is_windowed else None


def block(model, x, layer, config):
    """x + norm(attention(norm(x))), then the same of the feed-forward: a norm on either side of each."""
    p, epsilon = f"model.layers.{layer}.", config["rms_norm_eps"]

    def norm(name, y):
        return reference.rms_norm(y, model[f"{p}{name}.weight"], epsilon)

    width = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    heads = {"q": config["num_attention_heads"], "k": config["num_key_value_heads"], "v": config["num_key_value_heads"]}
    n = norm("input_layernorm", x)
    q, k, v = ((n @ model[f"{p}self_attn.{m}_proj.weight"].T).reshape(len(x), count, width) for m, count in heads.items())
    theta = config["rope_theta"]
    out, rows = reference.attention(reference.rotate(q, theta), reference.rotate(k, theta), v, window_of(config, layer))
    model.attention_row.append(rows)
    x = x + norm("input_layernorm_2", out.reshape(len(x), -1) @ model[p + "self_attn.o_proj.weight"].T)
    return x + norm("post_attention_layernorm_2", model.mlp(norm("post_attention_layernorm", x), p + "mlp."))


def exits(gates, threshold):
    """Of gates [T, iteration]: the probabilities of stopping, and the depths, 1 .. iterations."""
    stays = np.cumprod(np.concatenate([np.ones_like(gates[:, :1]), 1.0 - gates[:, :-1]], 1), 1)
    p = stays * gates
    p[:, -1] = stays[:, -1]
    reached = np.cumsum(p, 1) >= threshold
    reached[:, -1] = True
    return p, reached.argmax(1) + 1


def run(config, weights, tokens):
    model = reference.Decoder(weights)
    h = model["model.embed_tokens.weight"][tokens]
    states, gates = [h], []
    for _ in range(config["total_ut_steps"]):
        x = states[-1]
        for layer in range(config["num_hidden_layers"]):
            x = block(model, x, layer, config)
            model.add_layer(x)
        states.append(reference.rms_norm(x, model["model.norm.weight"], config["rms_norm_eps"]))
        gate = states[-1] @ model["model.early_exit_gate.weight"][0] + model["model.early_exit_gate.bias"][0]
        gates.append(reference.sigmoid(gate))
    p, depth = exits(np.stack(gates, 1), config["early_exit_threshold"])
    model.more = reference.loop_arrays(states) | {"loop_exit": p, "loop_depth": depth.astype(np.int32)}
    head = "model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"
    read = np.stack(states[1:], 1)[np.arange(len(tokens)), depth - 1]
    return model, read @ model[head].T


def make(case, assets):
    reference.make(case, assets, shapes_of, run)


RULES = [(r"early_exit_gate\.weight$", matrix(1.5)), (r"early_exit_gate\.bias$", normal(-0.4, 0.1)),
         (r"layernorm_2\.weight$", uniform(0.2, 0.9))]
USUAL = {"model_type": "ouro", "architectures": ["OuroForCausalLM"], "hidden_act": "silu",
         "max_position_embeddings": 512, "attention_dropout": 0.0}
CASES = [
    # The gate decides what is read: thresholds as published models have them never fire, this one does.
    Case("tiny-ouro", make=make, seed=281, length=70, rules=RULES,
         config=USUAL | {
             "hidden_size": 20, "num_attention_heads": 5, "num_key_value_heads": 5, "intermediate_size": 37,
             "num_hidden_layers": 3, "vocab_size": 47, "rope_theta": 7000.0, "rope_scaling": None,
             "rms_norm_eps": 2e-5, "tie_word_embeddings": False, "total_ut_steps": 4, "early_exit_threshold": 0.7,
             "torch_dtype": "float32"}),
    # Shared keys, heads that are not d / heads wide, a window in the last layer, the embedding to read with.
    Case("tiny-ouro-b", make=make, seed=282, length=40, rules=RULES, attention_steps=[1, 8, 9, 10, 39],
         config=USUAL | {
             "hidden_size": 18, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6,
             "intermediate_size": 23, "num_hidden_layers": 2, "vocab_size": 41, "rope_theta": 3000.0,
             "rms_norm_eps": 1e-6, "tie_word_embeddings": True, "total_ut_steps": 3, "early_exit_threshold": 1.0,
             "use_sliding_window": True, "sliding_window": 9,
             "layer_types": ["full_attention", "sliding_attention"], "dtype": "float32"}),
]
