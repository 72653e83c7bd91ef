"""Trains the embedded model or one of its siblings: python train.py VARIANT --out DIR.

Seeded and resumable (DIR/state.pt, every 200 steps; Ctrl-C loses what came since), prints progress. Phases promote on
success, not by the clock. Leaves DIR/weights.pt. train_all.py trains the whole set.
"""

import argparse
import json
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F

import tasks
from model import VARIANTS, Model
from tasks import Mix

# Steps in all, the same for every sibling: what the full model took, which met every goal early.
STEPS = 8846
BATCH = 16
LENGTH = 96
LONG_LENGTH = 256
MOST_STAGES = 8

# How much counts: the sentences' words, most of which nobody can know; places that no task asks for; the routing loss.
STORY_WEIGHT = 0.1
OTHERS_SHARE, OTHERS_WEIGHT = 0.08, 0.1
ROUTING_WEIGHT = 0.3
# Nats that an earlier exit may cost.
TOLERANCE = 0.2

# A phase ends when its goal (task, label, accuracy as a moving average) is met, else after `most` steps: by success, not
# by the clock. What is left of the budget goes to the phase without either.
PHASES = [
    dict(name="hop 2 and 3", loops=2, goal=("hops", 3, 0.9), most=2500, lr=3e-3,
         mix=Mix(dict(recall=.2, copy=.05, hops=.6, brackets=.05, story=.1), pairs=(2, 12), n_nodes=5, ks=(1, 2, 3))),
    dict(name="hop 4", loops=3, goal=("hops", 4, 0.9), most=600, lr=3e-3,
         mix=Mix(dict(recall=.2, copy=.08, hops=.55, brackets=.07, story=.1), pairs=(4, 24), n_nodes=6, ks=(1, 2, 3, 4))),
    dict(name="hop 5", loops=4, goal=("hops", 5, 0.9), most=600, lr=3e-3,
         mix=Mix(dict(recall=.16, copy=.12, hops=.5, brackets=.1, story=.12))),
    dict(name="all", loops=4, lr=3e-3, decay=True,
         mix=Mix(dict(recall=.12, copy=.12, hops=.3, brackets=.18, story=.14, lines=.14))),
    dict(name="experts and long texts", loops=4, steps=1500, lr=1.5e-3, decay=True, routing=1.0, shrink=0.03, long=0.3,
         mix=Mix(dict(recall=.16, copy=.12, hops=.30, brackets=.14, story=.28))),
    # Half the batches with real exits: deeper iterations must get along with what has stopped; far brackets and hops have
    # most to lose by them. And the gate learns of all tokens: those that no task asks for had stopped anywhere.
    dict(name="exits", loops=4, steps=800, lr=1e-3, decay=True, routing=1.0, long=0.3, freeze=0.5, tolerance=0.05,
         gates_all=True, mix=Mix(dict(recall=.105, copy=.105, hops=.4, brackets=.25, story=.14), far=0.5)),
]

# The sibling with fast weights is for a task that they are made for: recall, without attention that could do it. Where
# hops are among the tasks it recalls by its states, and learning while reading helps it to copy only.
FAST_MIX = dict(recall=.6, copy=.15, brackets=.1, story=.15)
FAST_STEPS = 4000
FAST_PHASES = [
    dict(name="few pairs", loops=1, goal=("recall", 0, 0.95), most=1500, lr=3e-3, mix=Mix(FAST_MIX, pairs=(2, 12))),
    dict(name="many pairs", loops=1, lr=3e-3, decay=True, mix=Mix(FAST_MIX, pairs=(4, 36))),
]


def plan_of(variant):
    """(phases, steps in all)"""
    return (FAST_PHASES, FAST_STEPS) if variant == "fast_weights" else (PHASES, STEPS)


def steps_of(phase, n_done, plan):
    """Steps that a phase begun after n_done may take."""
    phases, budget = plan
    if "steps" in phase or "most" in phase:
        return phase.get("steps") or phase["most"]
    return max(budget - n_done - sum(p.get("steps", 0) for p in phases), 0)


def rate_at(phase, step, most, total, factor):
    """Warm-up over the first 80 steps of all; a decaying phase keeps its rate for 40 % and then falls to 2 %."""
    rate = phase["lr"] * factor * min(1.0, (total + 1) / 80)
    share = step / most
    if phase.get("decay") and share >= 0.4:
        rate *= 0.02 + 0.98 * (1 - (share - 0.4) / 0.6)
    return rate


def draw_cases(rng, phase, n):
    """n cases of 96 tokens, or with the phase's share of `long` as many tokens in texts of several tasks."""
    if "long" in phase and rng.random() < phase["long"]:
        return [tasks.lines(rng, LONG_LENGTH) for _ in range(n * LENGTH // LONG_LENGTH)]
    return [tasks.draw(rng, phase["mix"]) for _ in range(n)]


class Batch:
    """Cases as tensors; every scored place of every case is a row of `rows`, `places`, `stages`, `names`, `labels`."""

    def __init__(self, cases):
        n, length = len(cases), max(len(c.ids) for c in cases)
        self.ids = torch.zeros(n, length, dtype=torch.long)
        self.classes = torch.full((n, length), -1, dtype=torch.long)
        self.lengths = torch.tensor([len(c.ids) for c in cases])
        rows, places, stages, self.names, self.labels = [], [], [], [], []
        for i, case in enumerate(cases):
            self.ids[i, : len(case.ids)] = torch.tensor(case.ids)
            self.classes[i, : len(case.ids)] = torch.tensor(case.classes)
            for place, stage, label, name in zip(case.scored, case.stages, case.label, case.kinds):
                rows.append(i)
                places.append(place)
                stages.append((stage + [stage[-1]] * MOST_STAGES)[:MOST_STAGES])
                self.names.append(name)
                self.labels.append(label)
        self.rows, self.places, self.stages = torch.tensor(rows), torch.tensor(places), torch.tensor(stages)

    def others(self):
        """(rows, places) of a sample of what is not scored and has a next token."""
        chosen = torch.rand(self.ids.shape) < OTHERS_SHARE
        chosen[self.rows, self.places] = False
        chosen &= torch.arange(self.ids.shape[1])[None] < (self.lengths - 1)[:, None]
        return chosen.nonzero(as_tuple=True)


def parting(means):
    """Each class of text to experts of its own, all experts used: -[H(mean_c P(e|c)) - mean_c max(0, H(P(e|c)) - 0.7)]."""

    def entropy(p):
        return -(p * (p + 1e-9).log()).sum(-1)

    return -entropy(means.mean(0)) + (entropy(means) - 0.7).clamp(min=0).mean()


def routing_loss(routed, classes):
    """The tasks' experts apart, and the domains' apart: as classes of one list the domains would share two experts, which
    costs next to nothing. routed: probabilities [tokens, experts] of every call of an expert layer."""
    total, flat = torch.zeros(()), classes.reshape(-1)
    present = [c for c in range(8) if (flat == c).any()]
    domains = [i for i, c in enumerate(present) if c >= tasks.FIRST_DOMAIN]
    for p in routed:
        means = torch.stack([p[flat == c].mean(0) for c in present])
        total = total + parting(means)
        if len(domains) > 1:
            total = total + parting(means[domains])
    return total / max(len(routed), 1)


def gate_loss(ce, gates, rows, places, weight, tolerance):
    """The hazard of every iteration against r*, the first whose loss is within `tolerance` of the last's; no gradient
    reaches what the gate reads. ce [iterations, n] at these rows and places, gates: logits [cases, tokens] of every
    iteration."""
    first = (ce <= ce[-1] + tolerance).float().argmax(0)
    r = torch.arange(len(ce) - 1)[:, None]
    logit = torch.stack([g[rows, places] for g in gates[:-1]])
    known = (r <= first[None]) * weight
    wanted = (r == first[None]).float()
    return (F.binary_cross_entropy_with_logits(logit, wanted, reduction="none") * known).sum() / known.sum()


def losses(model, batch, n_loops, freeze, tolerance, gates_all=False):
    """(main, gate, routing, whether the last iteration is right [rows]). Every iteration r is held against stage r: the
    prelude makes the first hop, each iteration one more. gates_all: the gate learns of the sampled others, too."""
    routed = []
    hooks = [m.register_forward_hook(lambda module, inputs, output: routed.append(module.seen)) for m in model.moes()]
    states, gates = model(batch.ids, n_loops, freeze)
    for hook in hooks:
        hook.remove()
    other_rows, other_places = batch.others()
    other_targets = batch.ids[other_rows, other_places + 1]
    rows, places = torch.cat([batch.rows, other_rows]), torch.cat([batch.places, other_places])
    weight = torch.tensor([STORY_WEIGHT if name == "story" else 1.0 for name in batch.names])
    final, main, n_rows = batch.stages[:, -1], 0.0, len(batch.rows)
    right_ones, ce = torch.cat([final, other_targets]), []
    for r, h in enumerate(states):
        logits = model.read(h[rows, places])
        scored, free = logits[:n_rows], logits[n_rows:]
        # Without a loop there is one depth, and it must give the last stage.
        target = batch.stages[:, min(r, MOST_STAGES - 1)] if model.c.n_loops > 1 else final
        answers = (F.cross_entropy(scored, target, reduction="none") * weight).sum()
        rest = OTHERS_WEIGHT * F.cross_entropy(free, other_targets, reduction="sum")
        main = main + (answers + rest) / (weight.sum() + OTHERS_WEIGHT * len(other_targets))
        ce.append(F.cross_entropy(logits.detach(), right_ones, reduction="none"))
    right = scored.detach().argmax(-1) == final
    gate = torch.zeros(())
    if gates and len(states) > 1:
        n = len(rows) if gates_all else n_rows
        gate_weight = torch.cat([weight, torch.ones(len(other_rows))])[:n]
        gate = gate_loss(torch.stack(ce)[:, :n], gates, rows[:n], places[:n], gate_weight, tolerance)
    route = routing_loss(routed, batch.classes) if routed else torch.zeros(())
    return main / len(states), gate, route, right


class Averages:
    """Moving averages of the accuracy by task, hops by their number."""

    def __init__(self, values=None):
        self.values = values or {}

    def add(self, batch, right):
        tally = {}
        for name, label, ok in zip(batch.names, batch.labels, right.tolist()):
            one = tally.setdefault((name, label if name == "hops" else 0), [0, 0])
            one[0] += ok
            one[1] += 1
        for key, (n_right, n) in tally.items():
            before = self.values.get(key, n_right / n)
            self.values[key] = before + (n_right / n - before) * min(1, 0.02 * max(1, n / 8))

    def meet(self, goal):
        return goal is not None and self.values.get(goal[:2], 0) >= goal[2]

    def __str__(self):
        return " ".join(f"{task}{label or ''} {value:.3f}" for (task, label), value in sorted(self.values.items()))


class Training:
    def __init__(self, args):
        self.args = args
        torch.set_num_threads(args.threads)
        torch.manual_seed(args.seed)
        self.rng = random.Random(args.seed)
        self.model = Model(VARIANTS[args.variant])
        matrices = [p for p in self.model.parameters() if p.dim() >= 2]
        vectors = [p for p in self.model.parameters() if p.dim() < 2]
        groups = [dict(params=matrices, weight_decay=0.02), dict(params=vectors, weight_decay=0.0)]
        self.optimizer = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.98))
        self.phase, self.step, self.total, self.spent = 0, 0, 0, 0.0
        self.averages = Averages()
        self.recent = []  # losses
        args.out.mkdir(parents=True, exist_ok=True)
        self.state_path = args.out / "state.pt"
        print(args.variant, sum(p.numel() for p in self.model.parameters()), "parameters", flush=True)
        if self.state_path.exists():
            self.resume()

    def resume(self):
        state = torch.load(self.state_path, weights_only=False)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.phase, self.step, self.total, self.spent = (state[k] for k in ("phase", "step", "total", "spent"))
        self.averages = Averages(state["average"])
        self.rng.setstate(state["rng"])
        torch.set_rng_state(state["torch"])
        print("resumed at step", self.total, flush=True)

    def save(self):
        torch.save(dict(model=self.model.state_dict(), optimizer=self.optimizer.state_dict(), phase=self.phase,
                        step=self.step, total=self.total, spent=self.spent, average=self.averages.values,
                        rng=self.rng.getstate(), torch=torch.get_rng_state()), self.state_path)

    def take_step(self, phase, most):
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(phase, self.step, most, self.total, self.args.lr)
        batch = Batch(draw_cases(self.rng, phase, BATCH))
        self.model.train()
        freeze = "freeze" in phase and self.rng.random() < phase["freeze"]
        n_loops = min(phase["loops"], self.model.c.n_loops)
        main, gate, route, right = losses(self.model, batch, n_loops, freeze, phase.get("tolerance", TOLERANCE),
                                          phase.get("gates_all", False))
        loss = main + gate + phase.get("routing", ROUTING_WEIGHT) * route
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self.total += 1
        self.recent.append(main.item())
        self.averages.add(batch, right)
        if self.total % 50 == 0:
            print(f"{self.total} {self.spent / 60:.1f} min loss {main:.3f} gate {gate:.3f} route {route:.3f} | "
                  f"{self.averages}", flush=True)

    def begin(self, phase):
        print(f"phase {phase['name']}", flush=True)
        if "shrink" in phase:  # a router that has made up its mind does not move again
            with torch.no_grad():
                for moe in self.model.moes():
                    moe.router.mul_(phase["shrink"])

    def run(self):
        """True when all phases are done; False after --try-for steps."""
        began = time.time() - self.spent
        phases, _ = plan = plan_of(self.args.variant)
        while self.phase < len(phases):
            phase = phases[self.phase]
            most = steps_of(phase, self.total - self.step, plan)
            if self.step == 0:
                self.begin(phase)
            while self.step < most and not (self.step >= 150 and self.averages.meet(phase.get("goal"))):
                self.take_step(phase, most)
                self.spent = time.time() - began
                if self.total % 200 == 0:
                    self.save()
                if self.total == self.args.try_for:
                    return False
            print(f"phase {phase['name']} ended after {self.step} steps, {self.spent / 60:.1f} min", flush=True)
            self.phase, self.step = self.phase + 1, 0
            self.save()
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="more than one helps little: the matrices are small")
    parser.add_argument("--lr", type=float, default=1.0, help="times the phases' own")
    parser.add_argument("--try-for", type=int, default=0,
                        help="stop after so many steps and leave the mean loss of the last 100 in tried.json")
    args = parser.parse_args()
    training = Training(args)
    if training.run():
        torch.save(training.model.state_dict(), args.out / "weights.pt")
    else:
        recent = training.recent[-100:]
        loss = sum(recent) / len(recent)
        (args.out / "tried.json").write_text(json.dumps(dict(lr=args.lr, steps=training.total, loss=loss)))


if __name__ == "__main__":
    main()
