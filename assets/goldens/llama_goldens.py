"""What transformers computes for a llama model: logits, attention rows, residual norms, lens and output distribution."""

import pathlib

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import tiny_llama


def load(config, weights):
    """A float32 model with eager attention out of a config dict (its text_config if nested) and Hugging Face weights."""
    config = config.get("text_config", config)
    settings = LlamaConfig(**{k: v for k, v in config.items() if k not in ("torch_dtype", "dtype", "architectures")})
    settings._attn_implementation = "eager"
    model = LlamaForCausalLM(settings).to(torch.float32).eval()
    state = {name: torch.from_numpy(np.array(w, dtype=np.float32)) for name, w in weights.items()}
    if settings.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not missing and not unexpected, (missing, unexpected)
    return model


def load_folder(folder):
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


@torch.no_grad()
def forward(model, tokens):
    """logits [T, vocab], attention_row [T, layer, head, key], residual [T, layer, d], attention_output [T, layer, head]."""
    residual, slices = [], []
    heads = model.config.num_attention_heads
    hooks = []
    for layer in model.model.layers:  # hidden_states[-1] is taken after the final norm, so the layers are hooked instead
        hooks.append(layer.register_forward_hook(
            lambda _m, _i, out: residual.append((out[0] if isinstance(out, tuple) else out)[0].clone())))
        hooks.append(layer.self_attn.o_proj.register_forward_pre_hook(
            lambda _m, args: slices.append(args[0][0].reshape(args[0].shape[1], heads, -1).norm(dim=-1))))
    out = model(torch.tensor([list(map(int, tokens))]), output_attentions=True, use_cache=False)
    for hook in hooks:
        hook.remove()
    rows = torch.stack([a[0] for a in out.attentions])  # [layer, head, t, key]
    return {"logits": out.logits[0].numpy(), "attention_row": rows.permute(2, 0, 1, 3).contiguous().numpy(),
            "residual": torch.stack(residual, 1), "attention_output": torch.stack(slices, 1).numpy()}


def top(values, k):
    """Indices of the k largest along the last axis, largest first, ties to the lower index."""
    return np.argsort(-values, axis=-1, kind="stable")[..., :k]


@torch.no_grad()
def lens_top(model, residual, k=8):
    logits = model.lm_head(model.model.norm(residual)).to(torch.float64)
    p = torch.softmax(logits, -1).numpy()
    ids = top(p, k)
    return np.stack([ids.astype(np.float32), np.take_along_axis(p, ids, -1).astype(np.float32)], -1)


def output(logits):
    """top64 [T, 64, 2] (id, natural-log probability; padded by id -1 and NaN), entropy [T] (nats), tail [T]."""
    x = logits.astype(np.float64)
    logp = x - x.max(-1, keepdims=True)
    logp -= np.log(np.exp(logp).sum(-1, keepdims=True))
    ids = top(logp, 64)
    chosen = np.take_along_axis(logp, ids, -1)
    top64 = np.full((len(x), 64, 2), np.nan)
    top64[..., 0] = -1
    top64[:, :ids.shape[1], 0], top64[:, :ids.shape[1], 1] = ids, chosen
    tail = np.clip(1 - np.exp(chosen).sum(-1), 0, 1)
    return {"output_top": top64, "output_entropy": -(np.exp(logp) * logp).sum(-1), "output_tail": tail}


def save(folder, arrays):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.npy"):
        stale.unlink()
    for name, array in arrays.items():
        kind = np.int32 if np.issubdtype(np.asarray(array).dtype, np.integer) else np.float32
        np.save(folder / f"{name}.npy", np.ascontiguousarray(array, dtype=kind))


def golden(model, tokens, everything=True):
    run = forward(model, tokens)
    arrays = {"tokens": np.asarray(tokens), "logits": run["logits"]}
    if everything:
        arrays |= {"attention_row": run["attention_row"], "attention_output": run["attention_output"],
                   "residual_norm": run["residual"].norm(dim=-1).numpy(), "lens_top": lens_top(model, run["residual"])}
        arrays |= output(run["logits"])
    return arrays


def describe(name, model, arrays):
    """Prints what makes a golden worth having, and float32's own distance from float64."""
    logits, tokens = arrays["logits"], arrays["tokens"]
    doubled = forward(model.to(torch.float64), tokens)
    model.to(torch.float32)
    line = f"{name}: T {len(tokens)}, logits spread {logits.std(-1).mean():.2f}, "
    line += f"float32 from float64 {np.abs(logits - doubled['logits']).max():.1e}"
    if "attention_row" in arrays:
        rows = arrays["attention_row"]
        line += f", mean largest weight of the last 20 rows {rows[-20:].max(-1).mean():.2f}"
        line += f", rows from float64 {np.abs(rows - doubled['attention_row']).max():.1e}"
    print(line)


def make(assets):
    models, goldens = assets / "models", assets / "goldens" / "llama"
    lengths = {"a": 40, "b": 140, "c": 140, "d": 140, "e": 40}
    for name, shape in tiny_llama.SHAPES.items():
        weights = tiny_llama.random_weights(shape)
        old = bool(shape.get("old"))
        folder = models / f"tiny-llama-{name}"
        tiny_llama.save_folder(folder, shape, weights, "float32", old)
        config = tiny_llama.config_json(shape, "float32", old)
        model = load(config, weights) if shape.get("nested") else load_folder(folder)
        tokens = np.random.default_rng(100 + shape["seed"]).integers(0, shape["vocab"], lengths[name])
        arrays = golden(model, tokens)
        describe(name, model, arrays)
        save(goldens / name, arrays)
        if name in ("a", "d"):
            tiny_llama.save_gguf(models / f"tiny-llama-{name}.f32.gguf", shape, weights, name=f"tiny llama {name}")
    make_variants(models, goldens)


def make_variants(models, goldens):
    """Model c in every weight type; each variant's golden comes from its own rounded weights."""
    shape = tiny_llama.SHAPES["c"]
    weights = tiny_llama.random_weights(shape)
    tokens = np.load(goldens / "c" / "tokens.npy")[:40]
    config = tiny_llama.config_json(shape, "float32", False)
    tiny_llama.save_gguf(models / "tiny-llama-c.f32.gguf", shape, weights, name="tiny llama c")
    half, brain = tiny_llama.round_to(weights, "float16"), tiny_llama.round_to(weights, "bfloat16")
    tiny_llama.save_folder(models / "tiny-llama-c-f16", shape, half, "float16", True)
    tiny_llama.save_folder(models / "tiny-llama-c-bf16", shape, brain, "bfloat16", False)
    tiny_llama.save_folder(models / "tiny-llama-c-shards", shape, half, "float16", False, shards=2)
    variants = {"c-f16": tiny_llama.save_gguf(models / "tiny-llama-c.f16.gguf", shape, half, "F16", "tiny llama c"),
                "c-bf16": brain}
    for kind in ("Q8_0", "Q4_0", "Q4_1"):
        path = models / f"tiny-llama-c.{kind.lower()}.gguf"
        variants[f"c-{kind.lower()}"] = tiny_llama.save_gguf(path, shape, weights, kind, "tiny llama c")
    for name, seen in variants.items():
        model = load(config, seen)
        arrays = golden(model, tokens, everything=False)
        describe(name, model, arrays)
        save(goldens / name, arrays)
