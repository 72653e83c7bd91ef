"""Decoders whose feed-forwards are experts: mixtral, qwen3_moe, olmoe."""

import json

import numpy as np
from safetensors.numpy import save_file
from transformers import MixtralForCausalLM, OlmoeForCausalLM, Qwen3MoeForCausalLM

import hybrid_goldens
import tiny_llama
from hybrid_goldens import Case

# As llama.cpp stores them: the experts of a layer in one tensor each for gate, up and down.
GGUF_NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
              "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
              "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate": "ffn_gate_inp"}


def add_decoder_settings(writer, config):
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    if config.get("head_dim") is not None:
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
    writer.add_expert_count(config.get("num_local_experts") or config["num_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])


def stacked(model):
    """The weights as the class holds them, experts stacked: gate and up in one tensor."""
    return {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}


def to_gguf(weights):
    out = {}
    for name, w in weights.items():
        whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
                 "lm_head.weight": "output.weight"}
        if name in whole:
            out[whole[name]] = w
            continue
        _, _, layer, *middle, kind = name.split(".")
        if kind == "gate_up_proj":
            gate, up = np.split(w, 2, axis=1)
            out |= {f"blk.{layer}.ffn_gate_exps.weight": gate, f"blk.{layer}.ffn_up_exps.weight": up}
        elif kind == "down_proj":
            out[f"blk.{layer}.ffn_down_exps.weight"] = w
        else:
            out[f"blk.{layer}.{GGUF_NAMES['.'.join(middle)]}.{kind}"] = w
    return out


def permuted(config, tensors):
    """Query and key rows as GGUF's llama wants them."""
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    permute = lambda n, w: tiny_llama.permute(w, heads[kind]) if (kind := n.split(".")[-2]) in heads else w
    return {n: permute(n, w) for n, w in tensors.items()}


def without_layer_stacks(tensors):
    """As files of 2023 have them: a tensor for every expert."""
    out = {}
    for name, w in tensors.items():
        if "_exps" in name:
            out |= {name.replace("_exps.", f".{i}."): expert for i, expert in enumerate(w)}
        else:
            out[name] = w
    return out


def save_stacked_folder(case, model, folder):
    """The folder again with the names that the class itself has: what save_pretrained without conversion writes."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        stale.unlink()
    config = json.loads(model.config.to_json_string(use_diff=False)) | {"architectures": [type(model).__name__]}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file({n: np.ascontiguousarray(w) for n, w in stacked(model).items()}, folder / "model.safetensors",
              metadata={"format": "pt"})


def twins_of_mixtral(case, model, _weights, models):
    config = model.config.to_dict()
    tensors = permuted(config, to_gguf(stacked(model)))

    def settings(writer):
        add_decoder_settings(writer, config)
        writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
        writer.add_vocab_size(config["vocab_size"])

    hybrid_goldens.save_gguf(models / f"{case.name}.f32.gguf", "llama", case.name, settings, tensors)
    hybrid_goldens.save_gguf(models / f"{case.name}-old.f32.gguf", "llama", case.name, settings,
                             without_layer_stacks(tensors))
    save_stacked_folder(case, model, models / f"{case.name}-stacked")


def twins_of_qwen3_moe(case, model, _weights, models):
    config = model.config.to_dict()

    def settings(writer):
        add_decoder_settings(writer, config)
        writer.add_expert_feed_forward_length(config["moe_intermediate_size"])

    hybrid_goldens.save_gguf(models / f"{case.name}.f32.gguf", "qwen3moe", case.name, settings,
                             to_gguf(stacked(model)))


def twins_of_olmoe(case, model, _weights, models):
    config = model.config.to_dict()
    hybrid_goldens.save_gguf(models / f"{case.name}.f32.gguf", "olmoe", case.name,
                             lambda writer: add_decoder_settings(writer, config), to_gguf(stacked(model)))


OLD_ROPE = {"rope_parameters": None, "dtype": None, "torch_dtype": "float32"}
CASES = [
    # A window in all layers; heads of a width of their own.
    Case("tiny-mixtral", MixtralForCausalLM, length=60, seed=231, attention_steps=[1, 10, 11, 12, 33, 59],
         config=dict(vocab_size=53, hidden_size=22, intermediate_size=13, num_hidden_layers=2, num_attention_heads=4,
                     num_key_value_heads=2, head_dim=6, rms_norm_eps=2e-5, num_local_experts=7, num_experts_per_tok=3,
                     sliding_window=11, max_position_embeddings=512,
                     rope_parameters={"rope_type": "default", "rope_theta": 54321.0})),
    # What GGUF can say: no window. Also with the names of the class, and in GGUF's older form.
    Case("tiny-mixtral-b", MixtralForCausalLM, length=40, seed=232, twins=twins_of_mixtral,
         written=OLD_ROPE | {"rope_theta": 20000.0, "head_dim": None},
         config=dict(vocab_size=41, hidden_size=18, intermediate_size=11, num_hidden_layers=2, num_attention_heads=3,
                     num_key_value_heads=1, rms_norm_eps=1e-6, num_local_experts=5, num_experts_per_tok=2,
                     max_position_embeddings=512, tie_word_embeddings=True,
                     rope_parameters={"rope_type": "default", "rope_theta": 20000.0})),
    # Experts in layers 3 and 5: every second one but that which mlp_only_layers names. Weights not renormalised.
    Case("tiny-qwen3-moe", Qwen3MoeForCausalLM, length=50, seed=233, attention_steps=[1, 8, 9, 10, 27, 49],
         config=dict(vocab_size=47, hidden_size=14, intermediate_size=19, moe_intermediate_size=9, num_hidden_layers=6,
                     num_attention_heads=4, num_key_value_heads=2, head_dim=6, rms_norm_eps=1e-6, attention_bias=True,
                     use_sliding_window=True, sliding_window=9, num_experts=6, num_experts_per_tok=3,
                     norm_topk_prob=False, decoder_sparse_step=2, mlp_only_layers=[1], max_position_embeddings=512,
                     rope_parameters={"rope_type": "default", "rope_theta": 70000.0})),
    # Published spelling; what GGUF can say: experts everywhere, weights renormalised.
    Case("tiny-qwen3-moe-b", Qwen3MoeForCausalLM, length=40, seed=234, twins=twins_of_qwen3_moe,
         written=OLD_ROPE | {"rope_theta": 1e6, "num_local_experts": None, "num_experts": 9, "rope_scaling": None,
                             "use_sliding_window": False, "sliding_window": None, "max_window_layers": 2},
         config=dict(vocab_size=59, hidden_size=20, intermediate_size=31, moe_intermediate_size=7, num_hidden_layers=2,
                     num_attention_heads=3, num_key_value_heads=1, head_dim=10, rms_norm_eps=3e-6, num_experts=9,
                     num_experts_per_tok=4, norm_topk_prob=True, max_position_embeddings=512,
                     rope_parameters={"rope_type": "default", "rope_theta": 1e6})),
    # Queries, keys and values clipped; biases; shared keys.
    Case("tiny-olmoe", OlmoeForCausalLM, length=40, seed=235,
         config=dict(vocab_size=43, hidden_size=24, intermediate_size=10, num_hidden_layers=2, num_attention_heads=4,
                     num_key_value_heads=2, rms_norm_eps=1e-5, attention_bias=True, clip_qkv=1.8, num_experts=8,
                     num_experts_per_tok=3, norm_topk_prob=True, max_position_embeddings=512,
                     rope_parameters={"rope_type": "default", "rope_theta": 30000.0})),
    # What GGUF can say: neither clips nor biases, as many key heads as query heads, weights not renormalised.
    Case("tiny-olmoe-b", OlmoeForCausalLM, length=40, seed=236, twins=twins_of_olmoe,
         written=OLD_ROPE | {"rope_theta": 10000.0, "clip_qkv": None},
         config=dict(vocab_size=37, hidden_size=20, intermediate_size=9, num_hidden_layers=2, num_attention_heads=2,
                     num_key_value_heads=2, rms_norm_eps=1e-5, num_experts=6, num_experts_per_tok=6,
                     norm_topk_prob=False, max_position_embeddings=512,
                     rope_parameters={"rope_type": "default", "rope_theta": 10000.0})),
]
