"""Trains the embedded model and its siblings, writes them as folders that the engine loads, and prints their marks:
python train_all.py --out DIR [VARIANT...]. What is done already is not done again.

A sibling first tries three learning rates for 400 steps and goes on with the one of the least loss, for as many steps as
the full model took. The full model's own rate was found by hand, and so was that of the one with fast weights, which is
trained for other tasks. Two of it side by side, with different VARIANTs, use two cores.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from model import VARIANTS

HERE = Path(__file__).parent
RATES = (0.5, 1.0, 2.0)  # times the full model's
TRY_STEPS = 400


def call(script: str, *arguments):
    subprocess.run([sys.executable, str(HERE / script), *map(str, arguments)], check=True)


def best_rate(variant: str, out: Path) -> float:
    losses = {}
    for rate in RATES:
        folder = out / f"{variant}-lr-{rate}"
        if not (folder / "tried.json").exists():
            call("train.py", variant, "--out", folder, "--lr", rate, "--try-for", TRY_STEPS)
        losses[rate] = json.loads((folder / "tried.json").read_text())["loss"]
    print(variant, "loss after", TRY_STEPS, "steps by learning rate:", losses, flush=True)
    return min(losses, key=losses.get)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variants", nargs="*", default=list(VARIANTS))
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    for variant in args.variants:
        trained = args.out / variant
        if not (trained / "weights.pt").exists():
            rate = 1.0 if variant in ("full", "fast_weights") else best_rate(variant, args.out)
            call("train.py", variant, "--out", trained, "--lr", rate)
        call("export.py", variant, trained, args.out / "models" / variant)
        call("marks.py", variant, trained)


if __name__ == "__main__":
    main()
