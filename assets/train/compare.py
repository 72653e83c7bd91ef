"""Holds the engine against PyTorch on trained weights: python compare.py VARIANT TRAINED MODEL --orrery PROGRAM.

MODEL is the folder that export.py wrote of TRAINED. Every case is fed through `orrery logits` and recorded by `orrery run`;
compared are the logits, the probabilities of stopping and the depths.
"""

import argparse
import random
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch

import tasks
from export import trained_model
from model import VARIANTS


def engine(program: Path, model: Path, ids: list[int], work: Path, has_gate: bool):
    """(logits [tokens, vocabulary], exit probabilities [tokens, iterations], depths [tokens]) of one case."""
    tokens, session = work / "tokens.txt", work / "run.orrery"
    tokens.write_text(" ".join(map(str, ids)))
    session.unlink(missing_ok=True)

    def orrery(*arguments):
        subprocess.run([program, *map(str, arguments)], check=True, capture_output=True)

    orrery("logits", "--model", model, "--tokens", f"@{tokens}", "--out", work / "logits.npy")
    logits = np.load(work / "logits.npy")
    if not has_gate:
        return logits, None, None
    orrery("run", "--model", model, "--tokens", f"@{tokens}", "-n", 0, "--record", session)
    for probe in ("loop.exit", "loop.depth"):
        orrery("export", session, "--probe", probe, "--out", work / f"{probe}.npy")
    return logits, np.load(work / "loop.exit.npy"), np.load(work / "loop.depth.npy")


@torch.no_grad()
def torch_side(model, ids: list[int]):
    states, gates = model(torch.tensor([ids]), freeze=True)
    logits = model.read(states[-1])[0].numpy()
    if not gates:
        return logits, None, None
    depth = model.depth[0].numpy()
    hazard = torch.stack([torch.sigmoid(g[0]) for g in gates], -1).numpy()
    stays = np.cumprod(1 - hazard, -1)
    exits = hazard * np.concatenate([np.ones_like(stays[:, :1]), stays[:, :-1]], -1)
    # Where it stops, what is left of the probability; deeper iterations have none.
    for t, d in enumerate(depth):
        exits[t, d - 1] = 1 - exits[t, : d - 1].sum()
        exits[t, d:] = np.nan
    return logits, exits, depth


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("trained", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--orrery", type=Path, required=True, help="the program")
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=777)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, rng = trained_model(args.variant, args.trained), random.Random(args.seed)
    mix = tasks.Mix(dict(recall=1, copy=1, hops=1, brackets=1, story=1, lines=1))
    worst_logit, worst_exit, n_tokens, n_other = 0.0, 0.0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for i in range(args.cases):
            ids = tasks.draw(rng, mix).ids
            logits, exits, depth = engine(args.orrery, args.model, ids, Path(folder), hasattr(model, "gate"))
            want_logits, want_exits, want_depth = torch_side(model, ids)
            worst_logit = max(worst_logit, float(np.abs(logits - want_logits).max()))
            n_tokens += len(ids)
            if exits is not None:
                n_other += int((depth.reshape(-1) != want_depth).sum())
                same = (depth.reshape(-1) == want_depth)[:, None] & ~np.isnan(want_exits)
                worst_exit = max(worst_exit, float(np.abs(exits.reshape(want_exits.shape) - want_exits)[same].max()))
            if (i + 1) % 100 == 0:
                print(f"{i + 1} cases, {n_tokens} tokens: logits within {worst_logit:.2e}, exit probabilities within "
                      f"{worst_exit:.2e}, {n_other} depths differ", flush=True)


if __name__ == "__main__":
    main()
