#!/usr/bin/env python3
"""What the training-free loop does to a model: mean negative log likelihood of a text, for some layers gone through K
times (orrery logits --loops K --loop-layers A:B), as a table. K = 1 is the model itself.

    python3 tests/bench/loop_likelihood.py ORRERY MODEL.gguf TEXT.json [--tokens 800] [--times 1,2,3]

TEXT.json: {"ids": [...]}, as assets/goldens/smollm2/nll.json has them for SmolLM2's vocabulary and
assets/goldens/gemma3-270m/nll.json for Gemma's. Needs numpy.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np


def ranges(n_layers):
    """Thin and thick runs of layers at the beginning, in the middle and at the end."""
    third = n_layers // 3
    middle = n_layers // 2
    return sorted({(0, third), (third, 2 * third), (2 * third, n_layers), (middle, middle + 1), (middle - 1, middle + 2),
                   (n_layers // 6, n_layers - n_layers // 6)})


def nats(program, model, ids, layers, times):
    """Mean negative log likelihood of ids[1:], natural logarithm."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "logits.npy"
        subprocess.run([program, "logits", "--model", model, "--tokens", ",".join(map(str, ids)), "--loops", str(times),
                        "--loop-layers", f"{layers[0]}:{layers[1]}", "--out", str(out)], check=True,
                       stderr=subprocess.DEVNULL)
        logits = np.load(out, mmap_mode="r")
        total = 0.0
        for t in range(len(ids) - 1):
            row = logits[t].astype(np.float64)
            greatest = row.max()
            total += greatest + np.log(np.exp(row - greatest).sum()) - row[ids[t + 1]]
        return total / (len(ids) - 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--tokens", type=int, default=800, help="of the text")
    parser.add_argument("--times", default="1,2,3")
    args = parser.parse_args()
    ids = json.loads(args.text.read_text())["ids"][:args.tokens]
    times = [int(k) for k in args.times.split(",")]
    info = json.loads(subprocess.run([args.program, "info", args.model, "--json"], check=True, capture_output=True).stdout)
    print(f"{info['name']}, {len(ids)} tokens, nats a token\n")
    print("| layers | " + " | ".join(f"K = {k}" for k in times) + " |\n| --- |" + " --- |" * len(times))
    for layers in ranges(len(info["layers"])):
        row = [nats(args.program, args.model, ids, layers, k) for k in times]
        print(f"| {layers[0]}:{layers[1]} | " + " | ".join(f"{value:.4f}" for value in row) + " |", flush=True)


if __name__ == "__main__":
    main()
