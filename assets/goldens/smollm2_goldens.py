"""SmolLM2-135M-Instruct (Q4_1, Q8_0 embedding) by llama.cpp, and by transformers in float32 on its dequantized weights."""

import json
import pathlib
import tempfile

import gguf
import numpy as np
import torch

import llama_goldens
import tiny_llama

PROMPTS = [
    "The orrery in the window turned once an hour, and",
    "Question: Why does the moon cause tides?\nAnswer:",
    "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n",
    "<|im_start|>user\nWrite three sentences about rivers.<|im_end|>\n<|im_start|>assistant\n",
    "In 1969, 1972 and 1986 the following three things happened:\n1.",
]
LAYERS = [0, 13, 29]


def dequantized(path):
    """(config, Hugging Face weights) of a llama GGUF."""
    reader = gguf.GGUFReader(path)
    key = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("tokenizer.")}
    heads, kv_heads = key["llama.attention.head_count"], key["llama.attention.head_count_kv"]
    layers, d = key["llama.block_count"], key["llama.embedding_length"]
    names = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    for layer in range(layers):
        for hf, short in tiny_llama.GGUF_NAMES.items():
            names[f"blk.{layer}.{short}.weight"] = f"model.layers.{layer}.{hf}.weight"
    weights = {}
    for tensor in reader.tensors:
        w = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        w = w.reshape(tensor.shape[::-1].tolist())
        name = names[tensor.name]
        if ".q_proj." in name or ".k_proj." in name:
            w = tiny_llama.unpermute(w, heads if ".q_proj." in name else kv_heads)
        weights[name] = w
    config = {"vocab_size": key["llama.vocab_size"], "hidden_size": d, "num_hidden_layers": layers,
              "intermediate_size": key["llama.feed_forward_length"], "num_attention_heads": heads,
              "num_key_value_heads": kv_heads, "rms_norm_eps": key["llama.attention.layer_norm_rms_epsilon"],
              "rope_parameters": {"rope_type": "default", "rope_theta": key["llama.rope.freq_base"]},
              "max_position_embeddings": key["llama.context_length"], "tie_word_embeddings": True}
    return config, weights


def log_softmax(x):
    x = np.asarray(x, np.float64)
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def nll(logits, ids):
    """Nats of each token after the first, given those before it."""
    return -np.take_along_axis(log_softmax(logits[:-1]), np.asarray(ids)[1:, None], -1)[:, 0]


def compact(path, value):
    path.write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")).replace('{"prompt"', '\n{"prompt"') + "\n")


def make(assets, llama, model_path, threads):
    folder = assets / "goldens" / "smollm2"
    folder.mkdir(parents=True, exist_ok=True)
    config, weights = dequantized(model_path)
    model = llama_goldens.load(config, weights)
    del weights
    common = {"model": str(model_path), "threads": threads}
    greedy(folder, llama, model, common)
    likelihood(folder, llama, model, common)
    attention(folder, llama, model, model_path)


def two_best(logits):
    """[[[id, probability], [id, probability]], ...] of each row."""
    logp = log_softmax(logits)
    return [[[int(i), round(float(np.exp(row[i])), 6)] for i in pair] for row, pair in zip(logp, llama_goldens.top(logp, 2))]


@torch.no_grad()
def greedy(folder, llama, model, common):
    """llama.cpp's own greedy path, one token at a time, and along the same path the two best of three others.

    llama.cpp rounds activations to 8 bits, and a rounding that falls the other way changes probabilities by a per cent
    or so: it disagrees with itself between batch and steps, and between caches. A step is `decided` where all four agree.
    """
    runs = llama(op="greedy", prompts=PROMPTS, n=64, kv="f16", **common)["runs"]
    decided = 0
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch) / "logits.npy"
        for run in runs:
            run["top"] = [[[i, round(p, 6)] for i, p in step] for step in run["top"]]
            ids, first = run["prompt_ids"] + run["ids"], len(run["prompt_ids"]) - 1
            for kv in ("f16", "f32"):
                llama(op="logits", ids=ids, kv=kv, out=str(out), **common)
                run[f"batch_{kv}_top"] = two_best(np.load(out)[first:-1])
            run["float32_top"] = two_best(model(torch.tensor([ids])).logits[0].numpy()[first:-1])
            others = ["batch_f16_top", "batch_f32_top", "float32_top"]
            run["decided"] = [int(all(run[o][s][0][0] == run["ids"][s] for o in others)) for s in range(64)]
            decided += sum(run["decided"])
            for s in range(64):
                if not run["decided"][s]:
                    print("  undecided step", s, "llama.cpp", run["top"][s][:2], {o: run[o][s] for o in others})
    near = sum(step[1][1] > 0.99 * step[0][1] for run in runs for step in run["top"])
    print(f"greedy: {decided} of {64 * len(runs)} steps decided; {near} whose two best are within 1 % in llama.cpp")
    compact(folder / "greedy.json", {
        "settings": "llama.cpp, f16 cache, prompt in one batch, then one token at a time; top: [id, probability] of the 5 "
                    "likeliest per step; along the same ids, the 2 likeliest by llama.cpp in one batch (f16 and f32 cache) "
                    "and by transformers in float32; decided: 1 where all four choose the same", "runs": runs})


def likelihood(folder, llama, model, common):
    text = (folder / "text.txt").read_bytes()
    ids = llama(op="tokenize", model=common["model"], cases=[{"hex": text.hex(), "special": True}])["ids"][0]
    with tempfile.TemporaryDirectory() as scratch:
        out = pathlib.Path(scratch) / "logits.npy"
        by_llama = {}
        for kv in ("f16", "f32"):
            llama(op="logits", ids=ids, kv=kv, out=str(out), **common)
            by_llama[kv] = nll(np.load(out), ids)
    with torch.no_grad():
        exact = nll(model(torch.tensor([ids])).logits[0].numpy(), ids)
    means = {f"llama_cpp_{kv}": float(values.mean()) for kv, values in by_llama.items()} | {"float32": float(exact.mean())}
    print(f"likelihood: {len(ids)} tokens, mean nats per token {means}")
    compact(folder / "nll.json", {
        "settings": "llama.cpp, the whole text as one batch (n_batch = n_ubatch = tokens), flash attention off; nats of "
                    "each token after the first; float32: transformers on the dequantized weights",
        "mean_nats": means, "ids": ids, "nats": [round(float(v), 4) for v in by_llama["f16"]],
        "nats_float32": [round(float(v), 4) for v in exact]})


def attention(folder, llama, model, model_path):
    text = (folder / "text.txt").read_bytes()[30:400]
    ids = llama(op="tokenize", model=str(model_path), cases=[{"hex": text.hex(), "special": False}])["ids"][0][:24]
    run = llama_goldens.forward(model, ids)
    llama_goldens.save(folder, {
        "attention_tokens": np.asarray(ids), "attention_layers": np.asarray(LAYERS),
        "attention_row": run["attention_row"][:, LAYERS], "residual_norm": run["residual"].norm(dim=-1).numpy()})
    print(f"attention: {run['attention_row'][:, LAYERS].shape}")
