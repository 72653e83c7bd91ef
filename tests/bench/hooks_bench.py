#!/usr/bin/env python3
"""What the same measurements cost in transformers: a model of make_model.py's shape with forward hooks that record what
Orrery's `light` and `standard` do, timed like `orrery bench`. Prints one JSON object of the same keys.

    python3 tests/bench/hooks_bench.py [--shape 1b] [--prompt 4096] [--new 64] [--repeat 3]

Needs torch and transformers; uses the CUDA device, where there is one. `eager` and `sdpa` are transformers' two ways to
compute attention without recording; hooks see weights only with `eager`. Weights are bfloat16. What is recorded is
copied to the host once per step, as it would be to keep it.
"""

import argparse
import json
import statistics
import time

import torch
import transformers

import make_model

TOP_KEYS = 32
BLOCK = 64
TOP_TOKENS = 64


class Recorder:
    """Hooks on a model, and what they measured in this step."""

    def __init__(self, model, level):
        self.level = level
        self.head_size = model.config.hidden_size // model.config.num_attention_heads
        self.measured = []
        self.handles = []
        for layer in model.model.layers:
            self.handles.append(layer.self_attn.register_forward_hook(self.attention))
            self.handles.append(layer.register_forward_hook(self.layer))
            if level == "standard":
                self.handles.append(layer.self_attn.o_proj.register_forward_pre_hook(self.head_outputs))

    def remove(self):
        for handle in self.handles:
            handle.remove()

    def attention(self, module, inputs, output):
        weights = output[1][0].float()  # [heads, rows, keys]
        n_heads, n_rows, n_keys = weights.shape
        own = torch.arange(n_keys - n_rows, n_keys, device=weights.device)
        keys = torch.arange(n_keys, device=weights.device)
        previous = weights.gather(2, (own - 1).clamp(min=0).expand(n_heads, n_rows)[..., None])[..., 0]
        self.measured += [
            torch.special.entr(weights).sum(-1),
            weights[..., :4].sum(-1),
            previous * (own > 0),
            own - weights @ keys.float(),
        ]
        if self.level == "standard":
            top = weights.topk(min(TOP_KEYS, n_keys))
            mass = torch.nn.functional.pad(weights, (0, -n_keys % BLOCK)).unflatten(2, (-1, BLOCK)).sum(-1)
            self.measured += [top.values, top.indices.to(torch.int32), 1 - top.values.sum(-1), mass]

    def head_outputs(self, module, inputs):
        self.measured.append(inputs[0].float().unflatten(-1, (-1, self.head_size)).norm(dim=-1))

    def layer(self, module, inputs, output):
        hidden = output[0] if isinstance(output, tuple) else output
        self.measured.append(hidden.float().norm(dim=-1))

    def step(self, logits):
        """The output's statistics; then everything goes to the host."""
        log_p = logits[0].float().log_softmax(-1)
        top = log_p.topk(TOP_TOKENS)
        self.measured += [top.values, top.indices, -(log_p.exp() * log_p).sum(-1), 1 - top.values.exp().sum(-1)]
        kept = [value.cpu() for value in self.measured]
        self.measured.clear()
        return kept


def build(shape, attention, device):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=shape["d"],
        intermediate_size=shape["ffn"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["kv_heads"],
        vocab_size=shape["vocab"],
        tie_word_embeddings=shape["tied"],
        max_position_embeddings=make_model.CONTEXT,
    )
    config._attn_implementation = attention
    with torch.device(device):
        return transformers.LlamaForCausalLM(config).to(torch.bfloat16).eval()


def synchronise(device):
    if device == "cuda":
        torch.cuda.synchronize()


def once(model, level, prompt, n_new, device):
    """Tokens per second of reading the prompt and of writing."""
    recorder = Recorder(model, level) if level else None
    # Without recording, only the last row's logits are wanted.
    wanted = {} if recorder else {"logits_to_keep": 1}
    try:
        synchronise(device)
        begin = time.perf_counter()
        result = model(prompt, use_cache=True, **wanted)
        if recorder:
            recorder.step(result.logits)
        synchronise(device)
        read = time.perf_counter()
        cache = result.past_key_values
        for i in range(n_new):
            result = model(prompt[:, i : i + 1], past_key_values=cache, use_cache=True)
            if recorder:
                recorder.step(result.logits)
        synchronise(device)
        wrote = time.perf_counter()
    finally:
        if recorder:
            recorder.remove()
    return prompt.shape[1] / (read - begin), n_new / (wrote - read)


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=make_model.SHAPES, default="1b")
    parser.add_argument("--prompt", type=int, default=4096)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shape = make_model.SHAPES[options.shape]
    prompt = torch.randint(shape["vocab"], (1, options.prompt), device=device)
    rates = {}
    for name, attention, level in [
        ("sdpa", "sdpa", None),
        ("eager", "eager", None),
        ("light", "eager", "light"),
        ("standard", "eager", "standard"),
    ]:
        model = build(shape, attention, device)
        once(model, level, prompt, 4, device)  # warms up
        rates[name] = [once(model, level, prompt, options.new, device) for _ in range(options.repeat)]
        del model
    print(
        json.dumps(
            {
                "model": f"{options.shape} in transformers {transformers.__version__}, torch {torch.__version__}",
                "prompt_tokens": options.prompt,
                "new_tokens": options.new,
                "prefill_tokens_per_s": {name: statistics.median(r[0] for r in runs) for name, runs in rates.items()},
                "decode_tokens_per_s": {name: statistics.median(r[1] for r in runs) for name, runs in rates.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
