"""Gemma-3-270M (Q4_K, Q5_0, Q6_K, Q8_0) by llama.cpp, and by transformers in float32 on its dequantized weights."""

import gguf
import numpy as np
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

import smollm2_goldens
import tiny_decoders

PROMPTS = [
    "The orrery in the window turned once an hour, and",
    "Question: Why does the moon cause tides?\nAnswer:",
    "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n",
    "In 1969, 1972 and 1986 the following three things happened:\n1.",
]
LONG_PROMPT_BYTES = 2600  # of the text: more tokens than the window of 512 has
ROWS = 64                 # logits of 262,144 tokens at once


def dequantized(path):
    """transformers' model in float32 out of a gemma3 GGUF."""
    reader = gguf.GGUFReader(path)
    key = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("tokenizer.")}
    layers, head_dim = key["gemma3.block_count"], key["gemma3.attention.key_length"]
    shape, weights = {"gemma": True}, {}
    names = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    for layer in range(layers):
        for hf in tiny_decoders.GEMMA_GGUF_NAMES:
            name = f"model.layers.{layer}.{hf}.weight"
            names[tiny_decoders.gguf_name(shape, name)] = name
    for tensor in reader.tensors:
        w = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        w = w.reshape(tensor.shape[::-1].tolist())
        weights[names[tensor.name]] = torch.from_numpy(w - 1 if w.ndim == 1 else w)
    config = Gemma3TextConfig(
        vocab_size=len(weights["model.embed_tokens.weight"]), hidden_size=key["gemma3.embedding_length"],
        num_hidden_layers=layers, intermediate_size=key["gemma3.feed_forward_length"], head_dim=head_dim,
        num_attention_heads=key["gemma3.attention.head_count"], num_key_value_heads=key["gemma3.attention.head_count_kv"],
        rms_norm_eps=key["gemma3.attention.layer_norm_rms_epsilon"], query_pre_attn_scalar=head_dim,
        rope_theta=key["gemma3.rope.freq_base"], sliding_window=key["gemma3.attention.sliding_window"],
        max_position_embeddings=key["gemma3.context_length"])
    config._attn_implementation = "eager"
    model = Gemma3ForCausalLM(config).eval()
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    model.load_state_dict(weights, strict=True)
    return model


@torch.no_grad()
def exact(model, ids):
    """Of every row: the two likeliest, and the nats of the token that follows."""
    hidden = model.model(torch.tensor([ids]), use_cache=False).last_hidden_state[0]
    top, nats = [], []
    for at in range(0, len(ids), ROWS):
        logits = model.lm_head(hidden[at:at + ROWS]).numpy()
        top += smollm2_goldens.two_best(logits)
        following = ids[at + 1:at + 1 + ROWS]
        logp = smollm2_goldens.log_softmax(logits)
        nats += [float(-logp[i, t]) for i, t in enumerate(following)]
    return top, nats


def make(assets, llama, model_path, threads):
    folder = assets / "goldens" / "gemma3-270m"
    folder.mkdir(parents=True, exist_ok=True)
    model = dequantized(model_path)
    common = {"model": str(model_path), "threads": threads}
    text = (assets / "goldens" / "smollm2" / "text.txt").read_bytes()
    greedy(folder, llama, model, common, text)
    likelihood(folder, llama, model, common, text)


def greedy(folder, llama, model, common, text):
    """As for SmolLM2: llama.cpp's steps, and along them its batches and float32; `decided` where all agree."""
    prompts = PROMPTS + [text[:LONG_PROMPT_BYTES].decode()]
    runs = llama(op="greedy", prompts=prompts, n=64, kv="f16", **common)["runs"]
    decided = 0
    for run in runs:
        del run["prompt"], run["bytes_hex"]
        run["top"] = [[[i, round(p, 6)] for i, p in step[:2]] for step in run["top"]]
        ids, first = run["prompt_ids"] + run["ids"], len(run["prompt_ids"]) - 1
        others = {f"batch_{kv}_top": llama(op="score", ids=ids, kv=kv, rows=len(ids), **common)["top"] for kv in ("f16", "f32")}
        others["float32_top"] = exact(model, ids)[0]
        for name, tops in others.items():
            run[name] = [[[i, round(p, 6)] for i, p in step] for step in tops[first:-1]]
        run["decided"] = [int(all(run[o][s][0][0] == run["ids"][s] for o in others)) for s in range(64)]
        decided += sum(run["decided"])
    differs = sum(run["float32_top"][s][0][0] != run["ids"][s] for run in runs for s in range(64))
    print(f"greedy: {decided} of {64 * len(runs)} steps decided; float32 differs from llama.cpp's steps at {differs}")
    smollm2_goldens.compact(folder / "greedy.json", {
        "settings": "llama.cpp, f16 cache, prompt in one batch, then one token at a time; top: [id, probability] of the 2 "
                    "likeliest per step; along the same ids, those by llama.cpp in one batch (f16 and f32 cache) and by "
                    "transformers in float32; decided: 1 where all four choose the same", "runs": runs})


def likelihood(folder, llama, model, common, text):
    ids = llama(op="tokenize", model=common["model"], cases=[{"hex": text.hex(), "special": True}])["ids"][0]
    by_llama = {kv: llama(op="score", ids=ids, kv=kv, rows=512, **common)["nats"] for kv in ("f16", "f32")}
    by_float32 = exact(model, ids)[1]
    means = {f"llama_cpp_{kv}": float(np.mean(v)) for kv, v in by_llama.items()} | {"float32": float(np.mean(by_float32))}
    print(f"likelihood: {len(ids)} tokens, mean nats per token {means}")
    smollm2_goldens.compact(folder / "nll.json", {
        "settings": "the text of smollm2/text.txt; llama.cpp in batches of 512, flash attention off; nats of each token "
                    "after the first; float32: transformers on the dequantized weights",
        "mean_nats": means, "ids": ids, "nats_float32": [round(v, 3) for v in by_float32]})
