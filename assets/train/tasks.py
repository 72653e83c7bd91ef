"""The five tasks of the embedded model, as a person reads them: text, the tokens of it, and what is scored.

Every task is one line of text that begins with its name and a colon. `orrery tasks` generates the same text in C++
(app/tasks/); assets/models/CARD.md gives the grammar. A case here is a list of ids, the places that are scored and,
for each, what is right at every depth of the loop.
"""

import math
import random
import string
from dataclasses import dataclass, field

# --- vocabulary: 256 bytes, the tasks' names, whole words (with the space before them) ---

TASKS = ["recall", "copy", "hops", "brackets", "story"]
DOMAINS = {
    "sea": dict(nouns="sailor whale harbour anchor island storm".split(), verbs="follows crosses leaves watches".split(),
                adjectives="salty deep wild grey".split(), adverbs="offshore downwind".split()),
    "kitchen": dict(nouns="cook soup oven kettle onion spoon".split(), verbs="stirs warms tastes covers".split(),
                    adjectives="sweet hot fresh sour".split(), adverbs="slowly twice".split()),
    "space": dict(nouns="pilot comet planet rocket moon probe".split(), verbs="orbits reaches photographs passes".split(),
                  adjectives="distant silent frozen bright".split(), adverbs="outward forever".split()),
    "music": dict(nouns="singer violin choir drum melody organ".split(), verbs="plays answers repeats leads".split(),
                  adjectives="soft loud quick low".split(), adverbs="together again".split()),
}
FUNCTION_WORDS = ["the", "a", "then", "and", "it", "here", "."]

WORDS = FUNCTION_WORDS[:-1] + [w for d in DOMAINS.values() for kind in d.values() for w in kind]
TOKENS = [bytes([i]) for i in range(256)] + [f"{t}:".encode() for t in TASKS] + [f" {w}".encode() for w in WORDS]
FIRST_DOMAIN = 4  # of a case's classes; those below are tasks
TASK_ID = {t: 256 + i for i, t in enumerate(TASKS)}
WORD_ID = {w: 256 + len(TASKS) + i for i, w in enumerate(WORDS)} | {".": ord(".")}
VOCAB = len(TOKENS)
assert len(set(TOKENS)) == VOCAB


def ids_of(text: str) -> list[int]:
    """Of task text without words: every character is a token."""
    return list(text.encode())


@dataclass
class Case:
    task: str
    ids: list[int]
    # position p is scored where the model, having read ids[: p + 1], must say ids[p + 1]
    scored: list[int] = field(default_factory=list)
    # per scored position: what is right at depth 1, 2, ... (the last holds for all further ones)
    stages: list[list[int]] = field(default_factory=list)
    label: list[int] = field(default_factory=list)  # per scored position: pairs, length, hops, distance
    classes: list[int] = field(default_factory=list)  # per position: 0..3 tasks, 4..7 domains, -1: none
    kinds: list[str] = field(default_factory=list)  # per scored position: its task
    floor: list[float] = field(default_factory=list)  # story: -log p of every scored token under the grammar


def _finish(case: Case, task_class: int, length: int) -> Case:
    case.ids = case.ids[:length]
    keep = [i for i, p in enumerate(case.scored) if p + 1 < len(case.ids)]
    case.kinds = case.kinds or [case.task] * len(case.scored)
    for name in ("scored", "stages", "label", "floor", "kinds"):
        values = getattr(case, name)
        if values:
            setattr(case, name, [values[i] for i in keep])
    if not case.classes:
        case.classes = [task_class] * len(case.ids)
    case.classes = case.classes[:length]
    return case


def recall(rng: random.Random, n_pairs: int, length: int = 96) -> Case:
    """recall:DmUgNv;UgDm...: pairs of a key (A-Z, 0-9) and a value (a-z); after the semicolon keys again."""
    keys = rng.sample(string.ascii_uppercase + string.digits, n_pairs)
    values = [rng.choice(string.ascii_lowercase) for _ in keys]
    case = Case("recall", [TASK_ID["recall"]])
    for k, v in zip(keys, values):
        case.ids += ids_of(k + v)
    case.ids += ids_of(";")
    order = list(range(n_pairs))
    while len(case.ids) < length:
        rng.shuffle(order)
        first = len(case.scored) == 0
        for i in order:
            if first:
                case.scored.append(len(case.ids))
                case.stages.append([ord(values[i])])
                case.label.append(n_pairs)
            case.ids += ids_of(keys[i] + values[i])
    return _finish(case, 0, length)


def copy(rng: random.Random, n: int, length: int = 96) -> Case:
    """copy:qzab|qzab|qzab|...: the first repetition is scored."""
    letters = [rng.choice(string.ascii_lowercase) for _ in range(n)]
    case = Case("copy", [TASK_ID["copy"]] + ids_of("".join(letters) + "|"))
    for i, letter in enumerate(letters):
        case.scored.append(len(case.ids) - 1 + i)
        case.stages.append([ord(letter)])
        case.label.append(n)
    while len(case.ids) < length:
        case.ids += ids_of("".join(letters) + "|")
    return _finish(case, 1, length)


def hops(rng: random.Random, n_nodes: int, ks: list[int], length: int = 96, n_queries: int = 4, max_depth: int = 8) -> Case:
    """hops:AbBdDaCe...;3A=d: a cycle as edges from a capital to a small letter, then questions: k steps from a node."""
    letters = rng.sample(string.ascii_uppercase, 26)
    case = Case("hops", [TASK_ID["hops"]])
    while len(letters) >= n_nodes and len(case.ids) + 2 * n_nodes + 1 + 4 * n_queries <= length:
        nodes, letters = letters[:n_nodes], letters[n_nodes:]
        step = {a: b for a, b in zip(nodes, nodes[1:] + nodes[:1])}
        edges = list(step.items())
        rng.shuffle(edges)
        case.ids += ids_of("".join(a + b.lower() for a, b in edges) + ";")
        for _ in range(n_queries):
            k, at = rng.choice(ks), rng.choice(nodes)
            chain = [at]
            for _ in range(k):
                chain.append(step[chain[-1]])
            case.ids += ids_of(f"{k}{at}=")
            case.scored.append(len(case.ids) - 1)
            case.stages.append([ord(chain[min(depth + 1, k)].lower()) for depth in range(1, max_depth + 1)])
            case.label.append(k)
            case.ids += ids_of(chain[k].lower())
    return _finish(case, 2, length)


OPEN, CLOSE = "([{", ")]}"


def brackets(rng: random.Random, length: int = 96, most_deep: int = 5, held: int = 0) -> Case:
    """brackets:([]{()})...: a random walk of at most five open ones; the kind of each closing one is scored.

    held: so many stay open for two thirds of the text. For training alone: of pairs that lie far apart there are few."""
    case = Case("brackets", [TASK_ID["brackets"]])
    stack: list[tuple[int, int]] = []
    while len(case.ids) < length:
        least = held if len(case.ids) < length * 2 // 3 else 0
        opens = not stack or (len(stack) < most_deep and (len(stack) < least or rng.random() < 0.5))
        if opens:
            kind = rng.randrange(3)
            stack.append((kind, len(case.ids)))
            case.ids += ids_of(OPEN[kind])
        else:
            kind, at = stack.pop()
            case.scored.append(len(case.ids) - 1)
            case.stages.append([ord(CLOSE[kind])])
            case.label.append(len(case.ids) - at)
            case.ids += ids_of(CLOSE[kind])
    return _finish(case, 3, length)


# story: the grammar of assets/models/CARD.md, kept regular, so that the entropy floor is exact.
def _walk(rng: random.Random, words: dict):
    """Yields (word, probability, is_domain_word) for ever."""
    adj, noun, verb, adv = (words[k] for k in ("adjectives", "nouns", "verbs", "adverbs"))

    def pick(options):
        return rng.choice(options), 1.0 / len(options)

    def phrase(share=1.0):  # share: how likely it is that one begins here
        w, p = pick(["the", "a"])
        yield w, share * p, False
        if rng.random() < 0.4:
            w, p = pick(adj)
            yield w, 0.4 * p, True
            w, p = pick(noun)
            yield w, p, True
        else:
            w, p = pick(noun)
            yield w, 0.6 * p, True

    first = True
    while True:
        if not first and rng.random() < 0.25:  # then the ...
            yield "then", 0.25, False
            yield from phrase()
        else:
            yield from phrase(1.0 if first else 0.75)
        first = False
        w, p = pick(verb)
        yield w, p, True
        yield from phrase()
        u = rng.random()  # how a sentence goes on: adverb, "here", "and it", or ends
        if u < 0.3:
            w, p = pick(adv)
            yield w, 0.3 * p, True
            yield ".", 1.0, False
        elif u < 0.4:
            yield "here", 0.1, False
            yield ".", 1.0, False
        elif u < 0.55:
            yield "and", 0.15, False
            yield "it", 1.0, False
            w, p = pick(verb)
            yield w, p, True
            yield from phrase()
            yield ".", 1.0, False
        else:
            yield ".", 0.45, False


def story(rng: random.Random, length: int = 96, domain: int | None = None) -> Case:
    """story: the whale crosses a deep harbour. ...: one domain a line; every token is scored."""
    which = rng.randrange(4) if domain is None else domain
    words = list(DOMAINS.values())[which]
    case = Case("story", [TASK_ID["story"]])
    case.classes = [4 + which]
    known = False
    walk = _walk(rng, words)
    while len(case.ids) < length:
        word, p, is_domain = next(walk)
        case.scored.append(len(case.ids) - 1)
        case.stages.append([WORD_ID[word]])
        case.label.append(which)
        # The first word of a domain also says which of four it is.
        case.floor.append(-math.log(p) + (math.log(4) if is_domain and not known else 0.0))
        known = known or is_domain
        case.ids.append(WORD_ID[word])
        case.classes.append(4 + which)
    return _finish(case, 4, length)


def lines(rng: random.Random, length: int = 96) -> Case:
    """Several short tasks, a line each, as a demonstration shows them."""
    joined = Case("lines", [])
    while len(joined.ids) < length:
        kind = rng.randrange(5)
        if kind == 0:
            n = rng.randint(3, 10)
            part = recall(rng, n, 1 + 2 * n + 1 + 2 * rng.randint(1, n))
        elif kind == 1:
            n = rng.randint(4, 14)
            part = copy(rng, n, 2 + 2 * n)
        elif kind == 2:
            part = hops(rng, 7, [1, 2, 3, 4, 5], 1 + 15 + 16)
        elif kind == 3:
            part = brackets(rng, rng.randint(12, 32))
        else:
            part = story(rng, rng.randint(12, 40))
        at = len(joined.ids)
        joined.ids += part.ids + ids_of("\n")
        joined.scored += [at + p for p in part.scored]
        joined.stages += part.stages
        joined.label += part.label
        joined.kinds += part.kinds
        joined.classes += part.classes + [part.classes[-1]]
    return _finish(joined, 0, length)


@dataclass
class Mix:
    """What a phase trains on."""
    shares: dict
    pairs: tuple = (4, 36)
    letters: tuple = (6, 45)
    n_nodes: int = 7
    ks: tuple = (1, 2, 3, 4, 5)
    far: float = 0.0  # share of the brackets of which three stay open
    length: int = 96


def draw(rng: random.Random, mix: Mix) -> Case:
    task = rng.choices(list(mix.shares), list(mix.shares.values()))[0]
    if task == "recall":
        return recall(rng, rng.randint(*mix.pairs), mix.length)
    if task == "copy":
        return copy(rng, rng.randint(*mix.letters), mix.length)
    if task == "hops":
        return hops(rng, mix.n_nodes, list(mix.ks), mix.length)
    if task == "lines":
        return lines(rng, mix.length)
    if task == "brackets":
        return brackets(rng, mix.length, held=3 if mix.far and rng.random() < mix.far else 0)
    return story(rng, mix.length)
