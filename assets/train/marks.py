"""Marks of a trained model on fresh cases, with the learned exit and real freezing: python marks.py VARIANT TRAINED.

`orrery tasks` gives the same from the engine; this also tells what every depth would have said, and how a sibling does.
"""

import argparse
import random
from collections import defaultdict
from pathlib import Path

import torch

import tasks
from export import trained_model
from model import VARIANTS

BATCH = 64


@torch.no_grad()
def read(model, cases):
    """(log-probabilities [tokens, vocabulary], depths [tokens], case) of each, as the engine reads it."""
    for i in range(0, len(cases), BATCH):
        part = cases[i : i + BATCH]
        ids = torch.zeros(len(part), max(len(c.ids) for c in part), dtype=torch.long)
        for j, case in enumerate(part):
            ids[j, : len(case.ids)] = torch.tensor(case.ids)
        states, _ = model(ids, freeze=True)
        yield from zip(model.read(states[-1]).log_softmax(-1), model.depth, part, strict=False)


def mean(values):
    values = list(values)
    return sum(values) / max(len(values), 1)


class Marks:
    """By label: whether each answer was right, and at which depth; of sentences nats and the floor."""

    def __init__(self, model, cases, choices=None):
        self.right, self.depth, self.nats, self.floor = defaultdict(list), defaultdict(list), [], []
        for scores, depth, case in read(model, cases):
            for i, (place, stages, label) in enumerate(zip(case.scored, case.stages, case.label)):
                row, answer = scores[place], stages[-1]
                said = max(choices, key=lambda c: row[c].item()) if choices else row.argmax().item()
                self.right[label].append(said == answer)
                self.depth[label].append(depth[place].item())
                if case.floor:
                    self.nats.append(-row[answer].item())
                    self.floor.append(case.floor[i])

    def say(self, name, least, greatest):
        labels = [label for label in self.right if least <= label <= greatest]
        right = [x for label in labels for x in self.right[label]]
        depth = [x for label in labels for x in self.depth[label]]
        print(f"| {name} | {100 * mean(right):.2f} % | {mean(depth):.2f} | {len(right)} |")


@torch.no_grad()
def say_depths(model, cases, ks):
    """What every depth says of k hops, all iterations computed."""
    n_right = defaultdict(lambda: [0] * model.c.n_loops)
    n = defaultdict(int)
    for case in cases:
        states, _ = model(torch.tensor([case.ids]))
        said = [model.read(h)[0].argmax(-1) for h in states]
        for place, stages, k in zip(case.scored, case.stages, case.label):
            n[k] += 1
            for r in range(model.c.n_loops):
                n_right[k][r] += said[r][place].item() == stages[-1]
    print("| hops | " + " | ".join(f"depth {r + 1}" for r in range(model.c.n_loops)) + " |")
    for k in ks:
        print(f"| {k} | " + " | ".join(f"{x / n[k]:.3f}" for x in n_right[k]) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("trained", type=Path)
    parser.add_argument("--cases", type=int, default=256, help="of each task")
    parser.add_argument("--seed", type=int, default=12345)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = trained_model(args.variant, args.trained)
    rng, n = random.Random(args.seed), args.cases
    print(f"{args.variant}, {n} cases\n| task | right | mean depth | answers |")
    for pairs in (4, 8, 16, 24, 32):
        Marks(model, [tasks.recall(rng, pairs) for _ in range(n)]).say(f"recall {pairs} pairs", 0, 99)
    Marks(model, [tasks.copy(rng, rng.randint(6, 40)) for _ in range(n)]).say("copy 6 to 40 letters", 0, 99)
    hops = Marks(model, [tasks.hops(rng, 7, [1, 2, 3, 4, 5]) for _ in range(n)])
    for k in range(1, 6):
        hops.say(f"{k} hops", k, k)
    brackets = Marks(model, [tasks.brackets(rng) for _ in range(n)], [ord(c) for c in tasks.CLOSE])
    for least, greatest in ((1, 8), (9, 16), (17, 32), (33, 96)):
        brackets.say(f"brackets {least} to {greatest} back", least, greatest)
    story = Marks(model, [tasks.story(rng) for _ in range(n)])
    print(f"sentences: {mean(story.nats):.4f} nats, floor {mean(story.floor):.4f}, {len(story.nats)} words")
    if model.c.n_loops > 1:
        say_depths(model, [tasks.hops(rng, 7, [1, 2, 3, 4, 5]) for _ in range(n)], range(1, 6))


if __name__ == "__main__":
    main()
