"""The training-free loop of a plain model: some of its layers gone through several times, damped.

h <- h + (F(h) - h) / K, K times, F being layers A .. B - 1 of transformers' LlamaForCausalLM in float64; every iteration
sees the keys and values of its own (arXiv 2605.23872; the factor is that of the equation). Arrays as of the llama
goldens, with layers in the order of their visits, and loop_step, loop_cosine.
"""

import numpy as np
import torch
from transformers import AutoModelForCausalLM
from transformers.masking_utils import create_causal_mask

import float64_reference
import llama_goldens

# name, model, layers, K
CASES = [("a-loop", "tiny-llama-a", (0, 2), 3), ("c-loop", "tiny-llama-c", (1, 2), 2), ("d-loop", "tiny-llama-d", (0, 2), 4)]


@torch.no_grad()
def run(model, tokens, layers, times):
    decoder, (begin, end) = model.model, layers
    h = decoder.embed_tokens(torch.tensor([tokens]))
    positions = torch.arange(len(tokens))[None]
    mask = create_causal_mask(config=model.config, inputs_embeds=h, attention_mask=None, past_key_values=None,
                              position_ids=positions)
    turns = decoder.rotary_emb(h, positions)
    norms = []

    def visit(h, layer):
        h = decoder.layers[layer](h, attention_mask=mask, position_ids=positions, position_embeddings=turns)
        norms.append(h[0].norm(dim=-1).numpy())
        return h

    for layer in range(begin):
        h = visit(h, layer)
    states = [h[0].numpy()]
    for _ in range(times):
        moved = h
        for layer in range(begin, end):
            moved = visit(moved, layer)
        h = h + (moved - h) / times
        states.append(h[0].numpy())
    for layer in range(end, len(decoder.layers)):
        h = visit(h, layer)
    logits = model.lm_head(decoder.norm(h))[0].numpy()
    return {"tokens": np.asarray(tokens), "logits": logits, "residual_norm": np.stack(norms, 1)} | \
        float64_reference.loop_arrays(states)


def make(assets):
    for name, folder, layers, times in CASES:
        model = AutoModelForCausalLM.from_pretrained(assets / "models" / folder, dtype=torch.float64,
                                                     attn_implementation="eager")
        tokens = np.random.default_rng(77).integers(0, model.config.vocab_size, 60).tolist()
        arrays = run(model, tokens, layers, times)
        plain = run(model, tokens, (0, len(model.model.layers)), 1)["logits"]
        direct = model(torch.tensor([tokens])).logits[0].detach().numpy()
        print(f"{name}: one time differs from the class by {np.abs(plain - direct).max():.1e}, "
              f"{times} times from one by {np.abs(arrays['logits'] - plain).max():.2f}")
        llama_goldens.save(assets / "goldens" / "loops" / name, arrays)
