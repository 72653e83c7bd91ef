"""Writes a trained model as a folder that the engine loads: config.json, model.safetensors, tokenizer.json."""

import argparse
import json
import struct
from pathlib import Path

import torch

import tasks
from model import VARIANTS, Model


def config_json(c) -> dict:
    types = [*c.prelude, *c.loop, *c.coda]
    out = dict(architectures=["OrreryHybridForCausalLM"], model_type="orrery_hybrid", vocab_size=c.vocab_size,
               hidden_size=c.d_model, num_hidden_layers=len(types), layer_types=types, rms_norm_eps=c.eps,
               tie_word_embeddings=True, embedding_multiplier=c.d_model**0.5, torch_dtype="float32")
    if c.n_loops > 1:
        out |= dict(loop_layers=[len(c.prelude), len(c.prelude) + len(c.loop)], num_loops=c.n_loops)
        if c.gate:
            out |= dict(exit_threshold=c.exit_threshold)
    if any(t.endswith("attention") for t in types):
        out |= dict(num_attention_heads=c.n_heads, num_key_value_heads=c.n_kv_heads, head_dim=c.d_head,
                    attention_scale=2 / c.d_head**0.5, rope_theta=c.rope_base, partial_rotary_factor=c.n_rot / c.d_head)
    if "sliding_attention" in types:
        out |= dict(sliding_window=c.sliding_window)
    if "mamba2" in types:
        out |= dict(mamba_num_heads=c.mamba_heads, mamba_head_dim=c.mamba_d_head, state_size=c.d_state,
                    n_groups=c.n_groups, conv_kernel=c.d_conv)
    if "ttt_linear" in types:
        out |= dict(ttt_num_heads=c.ttt_heads, ttt_mini_batch_size=c.ttt_batch, ttt_base_lr=c.ttt_base_lr,
                    ttt_rope_theta=c.ttt_theta)
    if "moe" in types:
        out |= dict(num_experts=c.n_experts, num_experts_per_tok=c.n_experts_used, moe_intermediate_size=c.d_expert)
    if "mlp" in types:
        out |= dict(intermediate_size=c.d_ffn)
    return out


def tensors(model) -> dict:
    out = {"model.embed_tokens.weight": model.embedding, "model.norm.weight": model.norm.weight}
    for i, layer in enumerate([*model.prelude, *model.loop, *model.coda]):
        at = f"model.layers.{i}."
        out[at + "norm.weight"] = layer.norm.weight
        for name, value in layer.mixer.named_parameters():
            if name == "conv_weight":
                name, value = "conv1d.weight", value.unsqueeze(1)
            elif name == "conv_bias":
                name = "conv1d.bias"
            elif name == "router":
                name = "router.weight"
            elif name == "gate_up":
                name = "experts.gate_up_proj"
            elif name == "down":
                name = "experts.down_proj"
            elif name == "gate_up.weight":  # of a dense feed-forward
                gate, up = value.chunk(2, 0)
                out[at + "mixer.gate_proj.weight"], out[at + "mixer.up_proj.weight"] = gate, up
                continue
            elif name == "down.weight":
                name = "down_proj.weight"
            out[at + "mixer." + name] = value
    if model.c.n_loops > 1:
        out |= {"model.loop.keep": model.keep, "model.loop.inject": model.inject}
        if hasattr(model, "gate"):
            g = model.gate
            out |= {"model.loop.gate.norm.weight": g.norm.weight, "model.loop.gate.up_proj.weight": g.up.weight,
                    "model.loop.gate.up_proj.bias": g.up.bias, "model.loop.gate.down_proj.weight": g.down.weight,
                    "model.loop.gate.down_proj.bias": g.down.bias}
    return {k: v.detach().float().contiguous() for k, v in out.items()}


def write_safetensors(path: Path, named: dict, half: bool):
    header, blobs, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name, value in sorted(named.items()):
        # matrices may be halves; what is added or multiplied once keeps its precision
        as_half = half and value.dim() >= 2 and "loop" not in name and "conv1d" not in name
        blob = (value.half() if as_half else value).numpy().tobytes()
        header[name] = dict(dtype="F16" if as_half else "F32", shape=list(value.shape), data_offsets=[at, at + len(blob)])
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def byte_alphabet() -> dict:
    """GPT-2's map of bytes to printable characters, which byte-level tokenizers spell their vocabulary in."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(rest)}


def tokenizer_json() -> dict:
    letters = byte_alphabet()
    vocab = {letters[b]: b for b in range(256)}
    added = [dict(id=256 + i, content=t.decode(), single_word=False, lstrip=False, rstrip=False, normalized=False, special=False)
             for i, t in enumerate(tasks.TOKENS[256:])]
    return dict(version="1.0", truncation=None, padding=None, added_tokens=added, normalizer=None,
                pre_tokenizer=dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=False),
                post_processor=None,
                decoder=dict(type="ByteLevel", add_prefix_space=True, trim_offsets=True, use_regex=True),
                model=dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None, end_of_word_suffix=None,
                           fuse_unk=False, byte_fallback=False, vocab=vocab, merges=[]))


def export(model, folder: Path, half=False):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config_json(model.c), indent=1) + "\n")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json(), ensure_ascii=False, indent=0) + "\n")
    write_safetensors(folder / "model.safetensors", tensors(model), half)


def trained_model(variant: str, trained: Path) -> Model:
    """What train.py left in a folder, or has saved there so far."""
    model = Model(VARIANTS[variant])
    weights = trained / "weights.pt"
    if weights.exists():
        model.load_state_dict(torch.load(weights))
    else:
        model.load_state_dict(torch.load(trained / "state.pt", weights_only=False)["model"])
    return model.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("trained", type=Path, help="the folder that train.py wrote")
    parser.add_argument("folder", type=Path, help="the folder to write")
    parser.add_argument("--half", action="store_true", help="matrices as float16")
    args = parser.parse_args()
    export(trained_model(args.variant, args.trained), args.folder, args.half)


if __name__ == "__main__":
    main()
