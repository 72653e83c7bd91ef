"""Every rope scaling of transformers: frequencies at two lengths, and a tiny llama's logits beyond the original length.

rope/cases.json: a list of {name, patch (of tiny-llama-c's config.json), original, frequencies, long_frequencies,
magnitude, long_length}. rope/<name>.batch.npy and .steps.npy: logits of the last ROWS tokens, fed at once and one by one
through the cache; the second only where it is another reference (a scaling that depends on the length so far).
"""

import json

import numpy as np
import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

import llama_goldens
import tiny_llama

LENGTH, ROWS = 100, 40
FACTORS = [1.0 + 0.3 * i for i in range(8)]

# max_position_embeddings and the scaling; `old` spells it rope_theta and rope_scaling.
CASES = {
    "linear": dict(positions=32, old=True, rope={"type": "linear", "factor": 3.5}),
    "dynamic": dict(positions=32, rope={"rope_type": "dynamic", "factor": 2.5}),
    "dynamic-old": dict(positions=48, old=True, rope={"type": "dynamic", "factor": 4.0}),
    "yarn": dict(positions=160, rope={"rope_type": "yarn", "factor": 5.0, "original_max_position_embeddings": 32}),
    "yarn-mscale": dict(positions=160, old=True, rope={
        "type": "yarn", "factor": 5.0, "original_max_position_embeddings": 32, "mscale": 0.7, "mscale_all_dim": 1.3,
        "beta_fast": 16, "beta_slow": 2, "truncate": False}),
    "yarn-attention-factor": dict(positions=32, rope={"rope_type": "yarn", "factor": 4.0, "attention_factor": 1.25}),
    "llama3": dict(positions=512, rope={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                        "high_freq_factor": 4.0, "original_max_position_embeddings": 32}),
    "longrope": dict(positions=160, top={"original_max_position_embeddings": 64}, rope={
        "rope_type": "longrope", "short_factor": FACTORS, "long_factor": [2.0 * f + 1.0 for f in FACTORS]}),
    "longrope-factor": dict(positions=64, old=True, rope={
        "type": "longrope", "factor": 6.0, "original_max_position_embeddings": 64, "short_factor": FACTORS[::-1],
        "long_factor": FACTORS}),
    "proportional": dict(positions=64, rope={"rope_type": "proportional", "partial_rotary_factor": 0.55, "factor": 2.0}),
}


def patch_of(case):
    patch = {"max_position_embeddings": case["positions"]} | case.get("top", {})
    if case.get("old"):
        return patch | {"rope_parameters": None, "rope_theta": 1e5, "rope_scaling": case["rope"]}
    return patch | {"rope_parameters": {"rope_theta": 1e5} | case["rope"]}


@torch.no_grad()
def logits_by_steps(model, tokens):
    rows, cache = [], None
    for token in tokens:
        out = model(torch.tensor([[int(token)]]), past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        rows.append(out.logits[0, -1])
    return torch.stack(rows).numpy()


def make(assets):
    folder = assets / "goldens" / "rope"
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        stale.unlink()
    shape = tiny_llama.SHAPES["c"]
    weights = tiny_llama.random_weights(shape)
    tokens = np.random.default_rng(77).integers(0, shape["vocab"], LENGTH)
    np.save(folder / "tokens.npy", tokens.astype(np.int32))
    cases = []
    for name, case in CASES.items():
        base = tiny_llama.config_json(shape, "float32", False)
        config = {k: v for k, v in (base | patch_of(case)).items() if v is not None}
        # Each model gets a fresh copy: transformers moves settings about inside the dicts that it is given.
        fresh = lambda: json.loads(json.dumps(config))
        settings = LlamaConfig(**{k: v for k, v in fresh().items() if k not in ("dtype", "architectures")})
        kind = settings.rope_parameters["rope_type"]
        init = ROPE_INIT_FUNCTIONS[kind]
        short, magnitude = init(settings, "cpu", seq_len=1)
        long, _ = init(settings, "cpu", seq_len=LENGTH)
        cases.append({"name": name, "patch": patch_of(case), "magnitude": float(magnitude), "long_length": LENGTH,
                      "frequencies": [float(f) for f in short], "long_frequencies": [float(f) for f in long]})
        batch = llama_goldens.forward(llama_goldens.load(fresh(), weights), tokens)["logits"]
        np.save(folder / f"{name}.batch.npy", batch[-ROWS:].astype(np.float32))
        steps = logits_by_steps(llama_goldens.load(fresh(), weights), tokens)
        apart = np.abs(batch - steps).max()
        if kind in ("dynamic", "longrope"):
            np.save(folder / f"{name}.steps.npy", steps[-ROWS:].astype(np.float32))
        else:
            assert apart < 1e-3, (name, apart)
        print(f"{name}: spread {batch.std(-1).mean():.2f}, batch from steps {apart:.1e}")
    (folder / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")
