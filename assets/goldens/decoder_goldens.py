"""What transformers computes for the models of tiny_decoders.py, in float32 with eager attention."""

import numpy as np
import torch
from transformers import (Gemma2Config, Gemma2ForCausalLM, Gemma3ForCausalLM, Gemma3TextConfig, MistralConfig,
                          MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

import llama_goldens
import tiny_decoders
import tiny_llama

CLASSES = {"qwen2": (Qwen2Config, Qwen2ForCausalLM), "qwen3": (Qwen3Config, Qwen3ForCausalLM),
           "mistral": (MistralConfig, MistralForCausalLM), "gemma2": (Gemma2Config, Gemma2ForCausalLM),
           "gemma3_text": (Gemma3TextConfig, Gemma3ForCausalLM)}


def load(shape, weights):
    config_class, model_class = CLASSES[shape["config"]["model_type"]]
    config = config_class(**{k: v for k, v in tiny_decoders.settings(shape).items() if k not in ("torch_dtype", "dtype")})
    config._attn_implementation = "eager"
    model = model_class(config).to(torch.float32).eval()
    state = {name: torch.from_numpy(np.array(w, dtype=np.float32)) for name, w in weights.items()}
    if config.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, strict=True)
    return model


def kept_steps(shape):
    """Positions around the edges of the window and of pages, and the last."""
    length, window = shape["length"], shape["config"].get("sliding_window", 64)
    edges = {1, window - 1, window, window + 1, 64, length - 1}
    return sorted(t for t in edges if t < length)


def golden(shape, model, tokens):
    """As llama_goldens.golden, but with the attention rows of a few steps only, which attention_steps names."""
    arrays = {k: v for k, v in llama_goldens.golden(model, tokens).items() if not k.startswith("output_")}
    cap = getattr(model.config, "final_logit_softcapping", None)
    if cap is not None:
        del arrays["lens_top"]  # made without the cap
    steps = kept_steps(shape)
    return arrays | {"attention_steps": np.asarray(steps), "attention_row": arrays["attention_row"][steps]}


def make(assets):
    for name, shape in tiny_decoders.MODELS.items():
        weights = tiny_llama.round_to(tiny_decoders.random_weights(shape), shape.get("dtype", "float32"))
        tokens = np.random.default_rng(100 + shape["seed"]).integers(0, shape["vocab"], shape["length"])
        model = load(shape, weights)
        arrays = golden(shape, model, tokens)
        llama_goldens.describe(name, model, {k: arrays[k] for k in ("tokens", "logits")})
        llama_goldens.save(assets / "goldens" / "decoders" / name, arrays)
        kinds = shape.get("gguf_kinds", [])
        if "F32" not in kinds or shape.get("gemma"):
            tiny_decoders.save_folder(assets / "models" / name, shape, weights)
        for kind in kinds:
            path = assets / "models" / f"{name}.{kind.lower()}.gguf"
            seen = tiny_decoders.save_gguf(path, name.replace("-", " "), shape, weights, kind)
            if kind == "F32":
                continue
            short = tokens[:40]
            llama_goldens.save(assets / "goldens" / "decoders" / f"{name}.{kind.lower()}",
                               llama_goldens.golden(load(shape, seen), short, everything=False))
