"""Tiny seeded hybrid models and what their reference classes compute: the framework that hybrid_<family>.py share.

A family's module has a list CASES. A case names a class of transformers and the settings of its configuration; here the
model is built, every parameter filled with seeded random numbers, saved as a Hugging Face folder, run over random
tokens, and what it computed saved as arrays (README.md lists them). A case whose reference is none of transformers'
brings its own `make` and uses the pieces below.
"""

import contextlib
import dataclasses
import importlib
import inspect
import json
import math
import pathlib
import re
import sys
import types
import zlib
from collections.abc import Callable

import gguf
import numpy as np
import torch
from transformers import DynamicCache

import llama_goldens

# The modules with CASES.
FAMILIES = ["hybrid_lfm", "hybrid_mamba", "hybrid_jamba", "hybrid_experts", "hybrid_gpt_oss", "hybrid_minimax",
            "hybrid_retnet", "hybrid_samba", "hybrid_granite", "hybrid_falcon_h1", "hybrid_nemotron_h", "hybrid_delta",
            "hybrid_zamba2", "hybrid_deepseek", "hybrid_kimi", "hybrid_rwkv7",
            "hybrid_recurrent_gemma", "hybrid_ouro",
            "hybrid_huginn", "hybrid_loopformer", "hybrid_ttt", "hybrid_orrery"]

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass
class Case:
    """One model and its golden, both called `name`."""

    name: str  # "tiny-lfm2"
    model_class: type | None = None  # of transformers
    config: dict = dataclasses.field(default_factory=dict)  # settings of model_class.config_class
    length: int = 70  # tokens
    seed: int = 0
    # Changes to config.json as it is written, for older spellings: a value replaces, None takes the key out.
    written: dict = dataclasses.field(default_factory=dict)
    # Rules (pattern searched in the name, values(shape, rng)) for parameters, before those of fill_randomly.
    rules: list[tuple[str, Callable]] = dataclasses.field(default_factory=list)
    attention_steps: list[int] | None = None  # kept rows; None: a few at the ends
    # What follows from random parameters: settle(model), once they are filled in.
    settle: Callable | None = None
    # Frobenius norms per head of one layer's recurrent state; None: the model has no such state.
    state_norms: Callable[[torch.Tensor], np.ndarray] | None = None
    # How states come about: one-token steps through the reference's cache, or, where its step is not its sequence
    # form (Mamba-2's limits of the time step), the final states of all prefixes.
    states_by_prefixes: bool = False
    # (chosen [T, k], weights as applied [T, k]) from what a module "...Router" was given and gave.
    router_choice: Callable | None = None
    # Further arrays: more(case, model, tokens) -> Arrays.
    more: Callable | None = None
    # Files beside the folder: twins(case, model, weights under the names of the folder, folder of models).
    twins: Callable | None = None
    # Takes over everything: make(case, assets).
    make: Callable | None = None


# Parameters.


def norm_weight(shape, rng):
    return rng.uniform(0.5, 1.6, shape)


def centred_norm_weight(shape, rng):
    """For norms that multiply by 1 + weight."""
    return rng.uniform(-0.5, 0.6, shape)


def matrix(gain):
    """Rows of outputs, the last axis counts the inputs; also for stacks of matrices and depthwise convolutions."""
    return lambda shape, rng: rng.standard_normal(shape) * gain / math.sqrt(shape[-1])


def normal(mean, deviation):
    return lambda shape, rng: mean + deviation * rng.standard_normal(shape)


def uniform(low, high):
    return lambda shape, rng: rng.uniform(low, high, shape)


USUAL_RULES = [
    (r"(q|k|query|key)_?(layer)?norm\.weight$", uniform(0.8, 2.8)),  # peaky rows of attention
    (r"norm[^.]*\.weight$", norm_weight),
    (r"(^|\.)A_log$", uniform(-2.0, 1.0)),
    (r"dt_bias$|dt_proj\.bias$", normal(-1.0, 0.8)),
    (r"(^|\.)D$", normal(0.3, 0.8)),
    (r"sinks$", normal(0.5, 1.0)),
    (r"correction_bias$|expert_bias$", normal(0.0, 0.2)),
    (r"embed[^.]*\.weight$", normal(0.0, 0.8)),
    (r"lm_head\.weight$", matrix(2.5)),
    (r"[qk]_proj\.weight$", matrix(1.5)),
    (r"(router|gate)\.weight$", matrix(1.5)),
    (r"conv1?d?\.weight$", matrix(1.2)),
    (r"bias$", normal(0.0, 0.4)),
    (r"", matrix(1.0)),
]


def random_array(name, shape, seed, rules=()):
    """The same numbers for the same name, shape and seed, whatever else a model has."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    values = next(values for pattern, values in [*rules, *USUAL_RULES] if re.search(pattern, name))
    return np.asarray(values(tuple(shape), rng), dtype=np.float32)


@torch.no_grad()
def fill_randomly(model, seed, rules=()):
    """Every parameter and every buffer that is saved."""
    tied = getattr(model.config.get_text_config(), "tie_word_embeddings", False)
    for name, tensor in model.state_dict(keep_vars=True).items():
        if tied and name == "lm_head.weight":
            continue
        tensor.copy_(torch.from_numpy(random_array(name, tensor.shape, seed, rules)))


# Files.


def changed(config, changes):
    merged = {**config, **changes}
    return {key: value for key, value in merged.items() if key not in changes or value is not None}


def save_folder(folder, model, written):
    """As transformers saves it, but for the changes `written` to config.json. Returns the weights under saved names."""
    from safetensors.numpy import load_file
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        stale.unlink()
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    config = changed(json.loads((folder / "config.json").read_text()), written)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return load_file(folder / "model.safetensors")


def save_weights(folder, config, weights):
    """A folder from plain settings and float32 arrays, for references that cannot save themselves."""
    from safetensors.numpy import save_file
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        stale.unlink()
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file({n: np.ascontiguousarray(w, dtype=np.float32) for n, w in weights.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})


def save_gguf(path, architecture, name, add_settings, tensors):
    """All F32; tensors as they lie in a Hugging Face file (gguf turns shapes around)."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name.replace("-", " "))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    add_settings(writer)
    for tensor, w in tensors.items():
        writer.add_tensor(tensor, np.ascontiguousarray(w, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def stacked_experts(weights):
    """Matrices of experts ("...experts.3.w1.weight") as one of three axes ("...experts.w1.weight")."""
    stacks, rest = {}, {}
    for name, w in weights.items():
        place = re.fullmatch(r"(.*experts)\.(\d+)\.(.*)", name)
        if place is None:
            rest[name] = w
        else:
            stacks.setdefault(f"{place[1]}.{place[3]}", {})[int(place[2])] = w
    return rest | {name: np.stack([experts[i] for i in sorted(experts)]) for name, experts in stacks.items()}


def gguf_names(architecture, weights, renamed=()):
    """Hugging Face weights under gguf's names for them, after the replacements (pattern, by) in `renamed`."""
    arch = next(a for a, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names, out = gguf.get_tensor_name_map(arch, 100), {}
    for name, w in weights.items():
        for pattern, by in renamed:
            name = re.sub(pattern, by, name)
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert found is not None, name
        out[found] = w
    return out


# What a run computes inside.


@contextlib.contextmanager
def recorded_calls(module, function):
    """Calls of a module's global function meanwhile, in order: namespaces with args, kwargs, result."""
    real, calls = getattr(module, function), []

    def recording(*args, **kwargs):
        result = real(*args, **kwargs)
        calls.append(types.SimpleNamespace(args=args, kwargs=kwargs, result=result))
        return result

    setattr(module, function, recording)
    try:
        yield calls
    finally:
        setattr(module, function, real)


@contextlib.contextmanager
def recorded_modules(model, is_wanted):
    """Forward passes of the modules for which is_wanted(name, module), in order: namespaces with name, args, result."""
    calls, hooks = [], []
    for name, module in model.named_modules():
        if is_wanted(name, module):
            hooks.append(module.register_forward_hook(
                lambda _m, args, result, name=name: calls.append(types.SimpleNamespace(name=name, args=args, result=result))))
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def code_of(model):
    """The Python module that the model's class is written in."""
    return sys.modules[type(model).__module__]


def layers_of(model):
    return model.base_model.layers


def first(result):
    return result[0] if isinstance(result, tuple) else result


def usual_router_choice(_args, result):
    """Of the routers that give (logits, weights, ids)."""
    _, weights, chosen = result
    return chosen, weights


def heaviest_first(chosen, weights):
    """Sorted by weight; of equal ones the lower id first."""
    chosen, weights = chosen.numpy(), weights.numpy()
    order = np.lexsort((chosen, -weights), axis=-1)
    return np.take_along_axis(chosen, order, -1), np.take_along_axis(weights, order, -1)


@torch.no_grad()
def run(case, model, tokens):
    """logits, residual_norm, attention_row [T, layer, head, T], moe_experts and moe_weights of one pass over all."""
    layers = {id(layer) for layer in layers_of(model)}
    code = code_of(model)
    with contextlib.ExitStack() as stack:
        residual = stack.enter_context(recorded_modules(model, lambda _n, m: id(m) in layers))
        routers = stack.enter_context(recorded_modules(model, lambda _n, m: type(m).__name__.endswith("outer")))
        attention = []
        if hasattr(code, "eager_attention_forward"):
            attention = stack.enter_context(recorded_calls(code, "eager_attention_forward"))
        logits = model(torch.tensor([list(map(int, tokens))]), use_cache=False).logits[0]
    norms = [first(call.result)[0].double().norm(dim=-1) for call in residual]
    arrays = {"logits": logits.numpy(), "residual_norm": torch.stack(norms, 1).numpy()}
    if attention:
        rows = torch.stack([call.result[1][0] for call in attention])  # [layer, head, t, key]
        arrays["attention_row"] = rows.permute(2, 0, 1, 3).contiguous().numpy()
    if routers:
        choose = case.router_choice or usual_router_choice
        pairs = [heaviest_first(*choose(call.args, call.result)) for call in routers]
        arrays["moe_experts"] = np.stack([chosen for chosen, _ in pairs], 1)
        arrays["moe_weights"] = np.stack([weights for _, weights in pairs], 1)
    return arrays


@torch.no_grad()
def router_statistics(model, tokens, ranking, is_sigmoid, choose=usual_router_choice):
    """moe_margin, moe_entropy [T, layer with experts]: by how much the last chosen leads the best not chosen in
    ranking(args, result) [T, expert], NaN where all are chosen; nats of softmax(logits), or of s / sum s for sigmoids."""
    with recorded_modules(model, lambda _n, m: type(m).__name__.endswith("outer")) as routers:
        model(torch.tensor([list(map(int, tokens))]), use_cache=False)
    margins, entropies = [], []
    for call in routers:
        chosen, _ = choose(call.args, call.result)
        scores = ranking(call.args, call.result).double()
        is_chosen = torch.zeros_like(scores, dtype=torch.bool).scatter(1, chosen, True)
        margin = scores.where(is_chosen, torch.inf).amin(-1) - scores.where(~is_chosen, -torch.inf).amax(-1)
        margins.append(margin.where(margin.isfinite(), torch.nan))
        logits = call.result[0].double()
        p = logits.sigmoid() / logits.sigmoid().sum(-1, keepdim=True) if is_sigmoid else logits.softmax(-1)
        entropies.append(torch.special.entr(p).sum(-1))
    return {"moe_margin": torch.stack(margins, 1).numpy(), "moe_entropy": torch.stack(entropies, 1).numpy()}


def norms_per_head(state):
    """[1, head, a, b] -> [head]"""
    return state[0].double().flatten(1).norm(dim=-1).numpy()


def norms_per_sixteenth(state):
    """[1, channel, N] -> [16]: channel c belongs to group floor(16 c / channels); a group without channels has 0."""
    squares = state[0].double().pow(2).sum(-1).numpy()
    groups = 16 * np.arange(len(squares)) // len(squares)
    return np.sqrt(np.bincount(groups, weights=squares, minlength=16))


def states_in(case, cache):
    """[layer with a recurrent state, head]"""
    states = [cache.get_recurrent_state(i) for i in range(len(cache.layers)) if hasattr(cache.layers[i], "recurrent_states")]
    return np.stack([case.state_norms(state) for state in states if state is not None])


@torch.no_grad()
def state_norms(case, model, tokens, logits):
    """[T, layer, head]; prints how far the reference's steps are from its batch."""
    norms, difference = [], 0.0
    parameters = inspect.signature(type(model).forward).parameters
    cache_name = "cache_params" if "cache_params" in parameters else "past_key_values"
    cache = DynamicCache(config=model.config)
    for t, token in enumerate(tokens):
        if case.states_by_prefixes:
            cache = DynamicCache(config=model.config)
        ids = tokens[:t + 1] if case.states_by_prefixes else [token]
        out = model(torch.tensor([list(map(int, ids))]), use_cache=True, **{cache_name: cache})
        difference = max(difference, np.abs(out.logits[0, -1].numpy() - logits[t]).max())
        norms.append(states_in(case, cache))
    print(f"  {'prefixes' if case.states_by_prefixes else 'steps'} from the batch {difference:.1e}")
    return np.stack(norms)


def edges(length):
    return sorted({1, length // 3, length // 2, 64, length - 1} & set(range(length)))


def tap_parts(z, weight):
    """Mean over channels of the absolute contribution of each tap, oldest first.

    z [channel, T], weight [channel, L] -> [T, L]
    """
    length, taps = z.shape[1], weight.shape[1]
    padded = torch.nn.functional.pad(z, (taps - 1, 0))
    return torch.stack([(weight[:, i, None] * padded[:, i:i + length]).abs().mean(0) for i in range(taps)], 1)


@torch.no_grad()
def conv_taps(_case, model, tokens):
    """A `more`: conv_taps [T, layer, L] of the models that convolve by causal_conv1d_fn(z [1, C, T], weight [C, L])."""
    with recorded_calls(code_of(model), "causal_conv1d_fn") as calls:
        model(torch.tensor([list(map(int, tokens))]), use_cache=False)
    parts = [tap_parts(call.args[0][0], call.kwargs.get("weight", call.args[1] if len(call.args) > 1 else None))
             for call in calls]
    return {"conv_taps": torch.stack(parts, 1).numpy()}


def keep_of(decays):
    """decays [T, head, channel] -> [T, head, 3]: geometric mean, least, greatest"""
    logs = decays.double().log()
    return torch.stack([logs.mean(-1).exp(), logs.amin(-1).exp(), logs.amax(-1).exp()], -1)


# Making.


def random_tokens(case, vocab_size):
    return np.random.default_rng(1000 + case.seed).integers(0, vocab_size, case.length)


def build(case):
    """The reference in float32, every parameter random. (`config` is copied: configurations change what they are given.)"""
    config = case.model_class.config_class(**json.loads(json.dumps(case.config)))
    config._attn_implementation = config._experts_implementation = "eager"
    config.dtype = torch.float32
    model = case.model_class(config).to(torch.float32).eval()
    fill_randomly(model, case.seed, case.rules)
    if case.settle is not None:
        case.settle(model)
    return model


def describe(case, arrays, model, tokens):
    """Prints what makes a golden worth having, and float32's own distance from float64."""
    doubled = run(case, model.to(torch.float64), tokens)
    model.to(torch.float32)
    line = f"{case.name}: T {len(tokens)}, largest logit {np.abs(arrays['logits']).max():.2f}"
    line += f", spread {arrays['logits'].std(-1).mean():.2f}, residual {arrays['residual_norm'].max():.1f}"
    line += f", float32 from float64 {np.abs(arrays['logits'] - doubled['logits']).max():.1e}"
    if "attention_row" in arrays:
        line += f", mean largest weight of the last 20 rows {arrays['attention_row'][-20:].max(-1).mean():.2f}"
    if "moe_experts" in arrays:
        line += f", experts that change in float64 {(arrays['moe_experts'] != doubled['moe_experts']).sum()}"
        line += f", experts used {len(np.unique(arrays['moe_experts']))}"
    print(line)


def golden(case, model, tokens):
    arrays = {"tokens": np.asarray(tokens)} | run(case, model, tokens)
    describe(case, arrays, model, tokens)
    if case.state_norms is not None:
        arrays["state_norm"] = state_norms(case, model, tokens, arrays["logits"])
    if case.more is not None:
        arrays |= case.more(case, model, tokens)
    if "attention_row" in arrays:
        steps = case.attention_steps or edges(len(tokens))
        arrays |= {"attention_steps": np.asarray(steps), "attention_row": arrays["attention_row"][steps]}
    return arrays


def make_case(case, assets):
    if case.make is not None:
        return case.make(case, assets)
    model = build(case)
    tokens = random_tokens(case, model.config.get_text_config().vocab_size)
    save_golden(assets, case.name, golden(case, model, tokens))
    weights = save_folder(assets / "models" / case.name, model, case.written)
    if case.twins is not None:
        case.twins(case, model, weights, assets / "models")


def save_golden(assets, name, arrays):
    llama_goldens.save(assets / "goldens" / "hybrids" / name, arrays)


def make(assets, only=None):
    """All cases, or those whose names begin with `only`."""
    for family in FAMILIES:
        for case in importlib.import_module(family).CASES:
            if only is None or case.name.startswith(only):
                make_case(case, assets)
