"""Small byte-level BPE vocabularies (GGUF without tensors) and what they make of many texts.

Ids come from Hugging Face tokenizers set up with the published pre-tokenizers, and from llama.cpp on the same GGUF where
its Python is given. Where they disagree llama.cpp decides, because a GGUF's tokenizer is defined by it; every
disagreement is printed.
"""

import json
import pathlib
import subprocess

import gguf
import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import tiny_llama
import tokenizer_cases as cases

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")

# pre -> how the vocabulary is made. `alphabet`: all 256 bytes are tokens (else only those of the corpus, as in SmolLM, so
# that other bytes are dropped). Special tokens: control ones are parsed only on request, user-defined ones always.
VOCABULARIES = {
    "smollm": dict(arch="llama", size=620, alphabet=False, control=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
                   user=["<tool>"], bos="<|im_start|>", eos="<|im_end|>", add_bos=True),
    "gpt-2": dict(arch="gpt2", size=560, alphabet=True, control=["<|endoftext|>"], user=[], bos="<|endoftext|>",
                  eos="<|endoftext|>", add_bos=False, add_eos=True),
    "llama-bpe": dict(arch="mamba2", size=640, alphabet=True, whole=[" Orrery", "Orrery"], user=["<think>"],
                      control=["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"],
                      bos="<|begin_of_text|>", eos="<|eot_id|>"),
    "qwen2": dict(arch="qwen3next", size=600, alphabet=True, control=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
                  user=["<tool_call>", "</tool_call>"], bos="<|endoftext|>", eos="<|im_end|>", add_bos=False),
}


def pre_tokenizer(pre):
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pre in ("smollm", "gpt-2"))
    if pre == "gpt-2":
        return byte_level
    if pre == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    pattern = Regex(LLAMA3 if pre == "llama-bpe" else QWEN2)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(pattern, "isolated"), byte_level])


def train(pre, plan):
    """(tokens in id order, merges, token types)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer(pre)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet()) if plan["alphabet"] else []
    tokenizer.train_from_iterator(cases.CORPUS.splitlines(keepends=True), trainers.BpeTrainer(
        vocab_size=plan["size"] - len(plan["control"]) - len(plan["user"]), initial_alphabet=alphabet, show_progress=False))
    trained = json.loads(tokenizer.to_str())["model"]
    plain = sorted(trained["vocab"], key=trained["vocab"].get)
    merges = [" ".join(m) if isinstance(m, list) else m for m in trained["merges"]]
    # Control tokens first where the real vocabulary has them first (SmolLM), last elsewhere; whole words have no merges.
    whole = [w.replace(" ", "\u0120") for w in plan.get("whole", [])]
    groups = [(plain + whole, gguf.TokenType.NORMAL), (plan["control"], gguf.TokenType.CONTROL),
              (plan["user"], gguf.TokenType.USER_DEFINED)]
    if pre == "smollm":
        groups = groups[1:] + groups[:1]
    tokens = [t for group, _ in groups for t in group]
    types = [int(kind) for group, kind in groups for _ in group]
    return tokens, merges, types


def add_tokenizer(writer, pre, plan, tokens, merges, types):
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokens.index(plan["bos"]))
    writer.add_eos_token_id(tokens.index(plan["eos"]))
    if "add_bos" in plan:
        writer.add_add_bos_token(plan["add_bos"])
    if "add_eos" in plan:
        writer.add_add_eos_token(plan["add_eos"])


def hf_tokenizer(pre, tokens, merges, types, parse_special):
    """The same vocabulary in Hugging Face tokenizers; nothing is added around the text."""
    model = models.BPE({t: i for i, t in enumerate(tokens)}, [tuple(m.split(" ")) for m in merges],
                       ignore_merges=pre == "llama-bpe")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizer(pre)
    tokenizer.decoder = decoders.ByteLevel()
    special = [t for t, kind in zip(tokens, types) if kind == gguf.TokenType.CONTROL]
    user = [t for t, kind in zip(tokens, types) if kind == gguf.TokenType.USER_DEFINED]
    if parse_special:
        tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in special])
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in user])
    return tokenizer


class LlamaCpp:
    """The worker beside this file, run by another Python (the one that has llama_cpp)."""

    def __init__(self, python, worker="llama_cpp_worker.py"):
        self.python, self.worker = python, str(pathlib.Path(__file__).with_name(worker))

    def __call__(self, **request):
        done = subprocess.run([self.python, self.worker], input=json.dumps(request), capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr[-2000:])
        return json.loads(done.stdout.splitlines()[-1])


def write_cases(path, vocab, rows, decode, about):
    """One case a line, so that a change shows as one."""
    lines = ",\n".join("    " + json.dumps(row, ensure_ascii=True) for row in rows)
    decoded = ",\n".join("    " + json.dumps(row, ensure_ascii=True) for row in decode)
    head = json.dumps({"vocab": vocab, "made_with": about})[1:-1]
    path.write_text("{" + head + ',\n  "cases": [\n' + lines + '\n  ],\n  "decode": [\n' + decoded + "\n  ]\n}\n")


def collect(texts, specials):
    """Rows without ids: special true (added and parsed) for few plain texts and all that hold special tokens."""
    rows = []
    special_texts = cases.with_specials(specials)
    for text in texts + special_texts:
        row = {"text": text}
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            continue
        rows.append({**row, "special": False})
        if text in special_texts or len(text) == 1:  # no ids for empty text, whatever llama.cpp adds to it
            rows.append({**row, "special": True})
    for i, hexed in enumerate(cases.BYTES):
        rows.append({"bytes_hex": hexed, "special": i % 3 == 0})
        if hexed in cases.DECODED_ANYWAY:
            rows[-1]["decoded_anyway"] = True
    return rows


def row_bytes(row):
    return row["text"].encode() if "text" in row else bytes.fromhex(row["bytes_hex"])


def ids_by_hf(rows, pre, plan, vocabulary, adds_bos):
    tokens, merges, types = vocabulary
    by_flag = {flag: hf_tokenizer(pre, tokens, merges, types, flag) for flag in (False, True)}
    out = []
    for row in rows:
        if "text" not in row:
            out.append(None)
            continue
        ids = by_flag[row["special"]].encode(row["text"], add_special_tokens=False).ids
        if row["special"]:
            ids = ([tokens.index(plan["bos"])] if adds_bos else []) + ids
            ids += [tokens.index(plan["eos"])] if plan.get("add_eos") else []
        out.append(ids)
    return out


def settle(name, rows, by_hf, by_llama):
    """Writes ids into the rows; prints where the two differ."""
    differ = 0
    for i, row in enumerate(rows):
        row["ids"] = by_llama[i] if by_llama is not None else by_hf[i]
        if by_llama is not None and by_hf[i] is not None and by_hf[i] != by_llama[i]:
            differ += 1
            row["hugging_face_ids"] = by_hf[i]
            print(f"  {name}: {row.get('text')!r} special={row['special']}: tokenizers {by_hf[i]}, llama.cpp {by_llama[i]}")
    kept = [r for r in rows if r["ids"] is not None]
    print(f"{name}: {len(kept)} cases, {differ} where tokenizers and llama.cpp differ")
    return kept


def make(assets, llama):
    make_text_model(assets)
    folder = assets / "goldens" / "tokenizer"
    folder.mkdir(parents=True, exist_ok=True)
    for pre, plan in VOCABULARIES.items():
        vocabulary = train(pre, plan)
        path = folder / f"{pre}.gguf"
        writer = gguf.GGUFWriter(path, plan["arch"])
        writer.add_name(f"{pre} vocabulary")
        add_tokenizer(writer, pre, plan, *vocabulary)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        rows = collect(cases.TEXTS + cases.mixtures(60, 5, plan["user"]), plan["control"] + plan["user"])
        adds_bos = plan.get("add_bos", pre == "llama-bpe")  # llama.cpp's default for that pre-tokenizer
        by_hf = ids_by_hf(rows, pre, plan, vocabulary, adds_bos)
        request = [{"hex": row_bytes(r).hex(), "special": r["special"]} for r in rows]
        by_llama = llama(op="tokenize", model=str(path), cases=request)["ids"] if llama else None
        kept = settle(pre, rows, by_hf, by_llama)
        decode = decode_rows(kept, len(vocabulary[0]), str(path), llama)
        write_cases(folder / f"{pre}.json", f"{pre}.gguf", kept, decode, "llama.cpp" if llama else "tokenizers")


CHATML = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
          "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


def make_text_model(assets):
    """A tiny random llama with the small smollm vocabulary and a ChatML template: runs on text, says nonsense."""
    plan = VOCABULARIES["smollm"]
    vocabulary = train("smollm", plan)
    shape = dict(d=64, ffn=96, heads=4, kv_heads=2, head_dim=16, layers=3, vocab=len(vocabulary[0]), theta=10000.0,
                 eps=1e-5, seed=16, tied=True)
    weights = tiny_llama.random_weights(shape)
    weights["model.embed_tokens.weight"] *= 0.3  # it is the unembedding too

    def tokenizer(writer):
        add_tokenizer(writer, "smollm", plan, *vocabulary)
        writer.add_chat_template(CHATML)
    tiny_llama.save_gguf(assets / "models" / "tiny-text.q8_0.gguf", shape, weights, "Q8_0", "tiny text", tokenizer)


def decode_rows(rows, n_tokens, model, llama):
    """Ids (random ones too, which break characters apart) and the bytes that their pieces hold, special tokens as text."""
    if llama is None:
        return []
    rng = np.random.default_rng(9)
    lists = [r["ids"] for r in rows if r["special"] and r["ids"]][:12]
    lists += [rng.integers(0, n_tokens, 9).tolist() for _ in range(8)]
    pieces = llama(op="pieces", model=model, lists=lists)["hex"]
    return [{"ids": ids, "bytes_hex": hexed} for ids, hexed in zip(lists, pieces)]


def make_smollm2(assets, llama, model):
    """The real SmolLM2 vocabulary; the model itself is not kept here."""
    reader = gguf.GGUFReader(model)
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = reader.fields["tokenizer.ggml.merges"].contents()
    types = reader.fields["tokenizer.ggml.token_type"].contents()
    plan = {"bos": tokens[1], "eos": tokens[2]}
    control = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<repo_name>"]
    rows = collect(cases.TEXTS + cases.mixtures(160, 6, control), control)
    by_hf = ids_by_hf(rows, "smollm", plan, (tokens, merges, types), False)
    request = [{"hex": row_bytes(r).hex(), "special": r["special"]} for r in rows]
    kept = settle("smollm2", rows, by_hf, llama(op="tokenize", model=str(model), cases=request)["ids"])
    decode = decode_rows(kept, len(tokens), str(model), llama)
    write_cases(assets / "goldens" / "tokenizer" / "smollm2.json", "SmolLM2-135M-Instruct", kept, decode, "llama.cpp")
