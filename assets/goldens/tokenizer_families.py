"""Ids of every kind of tokenizer and every pre-tokenizer that GGUF names, over the texts of tokenizer_corpus.py.

Small vocabularies made here, each read by llama.cpp and by the tests: `bpe.gguf`, whose `pre` is swapped for every name,
and one or more for each other kind. Of the ids of a text one number is kept, so that thousands of texts stay small.
"""

import json
import pathlib
import random
import shutil
import tempfile
import zlib

import gguf
import numpy as np
from tokenizers import Tokenizer, models as tokenizer_models, normalizers, pre_tokenizers, trainers

import tokenizer_cases as cases
import tokenizer_corpus as corpus

BYTE_SPELLED = [
    "default", "gpt-2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum", "modern-bert",
    "exaone4", "mpt", "olmo", "jais", "trillion", "granite-docling", "jina-v1-en", "jina-v2-code", "roberta-bpe", "smollm",
    "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2", "llama3", "llama-v3", "llama-bpe", "falcon3",
    "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano", "dbrx", "smaug-bpe", "glm4", "chatglm-bpe", "jais-2", "qwen2",
    "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2", "qwen35", "deepseek-llm",
    "deepseek-coder", "deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4", "spark2_5", "youtu", "falcon", "poro-chat", "bloom",
    "gpt3-finnish", "viking", "tekken", "chameleon", "gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2", "granite-embed-multi-97m",
    "tiny_aya", "cohere2moe", "kimi-k2", "superbpe", "bailingmoe", "bailingmoe2", "llada-moe", "seed-coder", "ufakzeka", "afmoe",
    "laguna", "exaone-moe", "minicpm5"]
PLAINLY_SPELLED = ["gemma4", "granite-embed-multi-311m", "sarvam-moe"]
NORMAL, UNK, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def digest(*lists):
    """One number for some lists of ids: CRC-32 of their int32 bytes, each list ended by -1."""
    return zlib.crc32(b"".join(np.array(ids + [-1], "<i4").tobytes() for ids in lists))


def texts():
    return [s.decode("utf-8", "ignore") for s in corpus.strings()] + cases.CORPUS.splitlines(keepends=True)


def specials():
    return [(corpus.UNKNOWN, UNK)] + [(t, CONTROL) for t in corpus.CONTROL] + [(t, USER) for t in corpus.USER_DEFINED]


def byte_tokens():
    return [(f"<0x{b:02X}>", BYTE) for b in range(256)]


class Vocabulary:
    def __init__(self, tokens, merges=None, scores=None):
        """tokens: [(spelling, type)]"""
        seen = set()
        keep = [i for i, (t, _) in enumerate(tokens) if t and not (t in seen or seen.add(t))]
        self.tokens = [tokens[i] for i in keep]
        self.scores = None if scores is None else [float(scores[i]) for i in keep]
        self.merges = merges

    def id(self, text):
        return [t for t, _ in self.tokens].index(text)

    def write(self, path, model, pre=None, **keys):
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_tokenizer_model(model)
        if pre:
            writer.add_tokenizer_pre(pre)
        writer.add_token_list([t for t, _ in self.tokens])
        writer.add_token_types([k for _, k in self.tokens])
        if self.scores is not None:
            writer.add_token_scores(self.scores)
        if self.merges is not None:
            writer.add_token_merges(self.merges)
        for key, value in keys.items():
            if key == "name":
                writer.add_name(value)
            elif isinstance(value, bool):
                writer.add_bool(f"tokenizer.ggml.{key}", value)
            elif isinstance(value, bytes):
                writer.add_array(f"tokenizer.ggml.{key}", value)
            else:
                writer.add_uint32(f"tokenizer.ggml.{key}", value)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    def special_ids(self):
        return dict(bos_token_id=self.id("<s>"), eos_token_id=self.id("</s>"), unknown_token_id=self.id("<unk>"),
                    seperator_token_id=self.id("[MASK]"))


def trained_bpe(size, byte_level):
    """Merges over whole lines, across spaces, digits and scripts: where a pre-tokenizer cuts, these do not merge."""
    tokenizer = Tokenizer(tokenizer_models.BPE())
    alphabet = []
    if byte_level:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    else:
        tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    limit = {} if byte_level else {"limit_alphabet": 700}
    tokenizer.train_from_iterator(texts(), trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False, **limit))
    trained = json.loads(tokenizer.to_str())["model"]
    plain = [t for t in sorted(trained["vocab"], key=trained["vocab"].get) if "\0" not in t]  # there llama.cpp's strings end
    return plain, [m for m in (" ".join(m) if isinstance(m, list) else m for m in trained["merges"]) if "\0" not in m]


def make_bpe():
    plain, merges = trained_bpe(2200, True)
    # Words that no merge leads to; merges that lead to no token; bytes that are no token.
    whole = [w.replace(" ", "\u0120") for w in (" Orrery", "river's", "THEthe", "12", "123", " \u00e9", "\u6c34\u6c34")]
    whole = [w if w.isascii() or "\u0120" in w[:1] else w for w in whole]
    rng = random.Random(7)
    lost = set(rng.sample([t for t in plain if 1 < len(t) < 5], 40)) | {"\u0142", "\u00f5", "\u00f6"}
    return Vocabulary(specials() + [(t, NORMAL) for t in plain if t not in lost] + [(t, NORMAL) for t in whole], merges)


def make_plain_bpe():
    plain, merges = trained_bpe(1800, False)
    return Vocabulary(specials() + byte_tokens() + [(t, NORMAL) for t in plain + ["\n" * n for n in range(1, 32)]], merges)


def make_spm():
    plain, _ = trained_bpe(1500, False)
    rng = random.Random(8)
    tokens = specials() + [("   ", USER)] + byte_tokens()
    scores = [0.0] * len(tokens) + [-float(i) if rng.random() < 0.8 else -float(rng.randrange(40)) for i in range(len(plain))]
    return Vocabulary(tokens + [(t, NORMAL) for t in plain] + [("<unused5>", UNUSED)], None, scores + [0.0])


def make_unigram():
    plain, _ = trained_bpe(1500, False)
    rng = random.Random(9)
    tokens = [("<pad>", CONTROL)] + specials() + [(t, NORMAL) for t in plain] + [("\u2581\u2581\u2581", UNUSED)]
    scores = [0.0] * (1 + len(specials())) + [-2 - 12 * rng.random() for _ in plain] + [-3.0]
    return Vocabulary(tokens, None, scores)


def make_plamo():
    plain, _ = trained_bpe(1500, False)
    rng = random.Random(10)
    plain = [t.replace("\u2581", " ") for t in plain]
    tokens = specials() + byte_tokens() + [(t, NORMAL) for t in plain]
    return Vocabulary(tokens, None, [0.0] * (len(specials()) + 256) + [-2 - 12 * rng.random() for _ in plain])


def escape_rwkv(data):
    out = ""
    for byte in data:
        out += {9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\"}.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}")
    return out


def make_rwkv():
    plain, _ = trained_bpe(900, False)
    data = [bytes([b]) for b in range(256)] + [t.replace("\u2581", " ").encode() for t in plain] + [b"\xff\xfe\xfd", b"\xe6\xb0"]
    return Vocabulary(specials() + [(escape_rwkv(d), NORMAL) for d in dict.fromkeys(data)])


def make_bert():
    tokens, seen = [("[PAD]", CONTROL), ("[UNK]", CONTROL), ("[CLS]", CONTROL), ("[SEP]", CONTROL), ("[MASK]", CONTROL)], set()
    rng = random.Random(11)
    words = [w for t in texts() for w in t.lower().split()]
    for word in rng.sample(words, 700):
        cut = rng.randrange(1, len(word) + 1)
        for piece in ("\u2581" + word[:cut], word[cut:], "\u2581" + word[:1], word[-1:]):
            if piece not in seen and "\0" not in piece:
                seen.add(piece)
                tokens.append((piece, NORMAL))
    return Vocabulary(tokens)


def charsmap(tmp):
    """SentencePiece's compiler for a few rules, in the form that it keeps in its models."""
    import sentencepiece
    rules = {"\u00e9": "e", "e\u0301": "e", "\uff21": "A", "\u00bd": "1/2", "\u3000": " ", "\u00a0": " ", "\t": " ", "\u200b": "",
             "\ufb01": "fi", "THE": "the", "TH": "th", "\u2026": "...", "\u0001": ""}
    table = "".join(" ".join(f"{ord(c):x}" for c in a) + "\t" + " ".join(f"{ord(c):x}" for c in b) + "\n" for a, b in rules.items())
    (tmp / "rules.tsv").write_text(table)
    (tmp / "text.txt").write_text("the river remembers the shape of its bed\n" * 20)
    sentencepiece.SentencePieceTrainer.train(input=str(tmp / "text.txt"), model_prefix=str(tmp / "m"), vocab_size=30, minloglevel=2,
                                             normalization_rule_tsv=str(tmp / "rules.tsv"), hard_vocab_limit=False)
    return field(field((tmp / "m.model").read_bytes(), 3), 2)  # ModelProto.normalizer_spec.precompiled_charsmap


def field(message, number):
    """The bytes of a field of a protocol buffer, of which all before it are read over."""
    def varint(at):
        value = shift = 0
        while True:
            value |= (message[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if message[at - 1] < 128:
                return value, at
    at = 0
    while at < len(message):
        key, at = varint(at)
        if key & 7 == 2:
            size, at = varint(at)
            if key >> 3 == number:
                return message[at:at + size]
            at += size
        elif key & 7 == 0:
            _, at = varint(at)
        else:
            at += 4 if key & 7 == 5 else 8
    raise KeyError(number)


def vocabularies(tmp):
    """name -> (vocabulary, model, pre, keys)"""
    made = {}
    spm, plain, unigram = make_spm(), make_plain_bpe(), make_unigram()
    made["spm"] = (spm, "llama", None, spm.special_ids())
    made["spm-no-space"] = (spm, "llama", None, dict(spm.special_ids(), add_space_prefix=False, add_bos_token=False, add_eos_token=True))
    made["spm-phi-3"] = (spm, "llama", None, dict(spm.special_ids(), name="Phi-3 mini"))
    made["gemma4"] = (plain, "gemma4", None, plain.special_ids())
    for pre in PLAINLY_SPELLED:
        made[f"plain-{pre}"] = (plain, "gpt2", pre, plain.special_ids())
    ids = dict(unigram.special_ids(), add_space_prefix=True, remove_extra_whitespaces=True)
    made["unigram"] = (unigram, "t5", None, dict(ids, precompiled_charsmap=charsmap(tmp)))
    made["unigram-plain"] = (unigram, "t5", None, dict(ids, remove_extra_whitespaces=False, add_bos_token=True))
    made["unigram-bare"] = (unigram, "t5", None, dict(unigram.special_ids(), add_eos_token=False))
    rwkv, plamo, bert = make_rwkv(), make_plamo(), make_bert()
    made["rwkv"] = (rwkv, "rwkv", None, rwkv.special_ids())
    made["plamo2"] = (plamo, "plamo2", None, plamo.special_ids())
    bert_ids = dict(bos_token_id=2, unknown_token_id=1, seperator_token_id=3, padding_token_id=0)
    made["bert"] = (bert, "bert", None, bert_ids)
    made["bert-cased"] = (bert, "bert", None, {**bert_ids, "normalizer.lowercase": False})
    return made


def digests(llama, path, strings):
    """[n] a number for each string's ids with special tokens added and parsed, then without."""
    cases_ = [{"hex": s.hex(), "special": flag} for s in strings for flag in (True, False)]
    ids = llama(op="tokenize", model=str(path), cases=cases_)["ids"]
    return np.array([digest(*pair) for pair in zip(ids[::2], ids[1::2])], np.uint32).view(np.int32)


def make(assets, llama, models):
    """`llama` asks llama_vocab_worker.py; `models`: name -> GGUF whose vocabulary is held to the texts but not kept."""
    with tempfile.TemporaryDirectory() as tmp:
        make_all(assets, llama, models, pathlib.Path(tmp))


def make_all(assets, llama, models, tmp):
    folder = assets / "goldens" / "tokenizer" / "families"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    strings = corpus.strings()
    (folder / "strings.hex").write_text("".join(s.hex() + "\n" for s in strings))
    written = {}  # digests -> file name: many names of pre-tokenizers mean the same
    index = {}

    def keep(name, path, what):
        numbers = digests(llama, path, strings)
        key = numbers.tobytes()
        if key not in written:
            written[key] = f"{name}.npy"
            np.save(folder / written[key], numbers)
        ends = llama(op="ends", model=str(path))["ids"]
        index[name] = {**what, "ids": written[key], "ends": ends}
        print(name, written[key], ends)

    bpe = make_bpe()
    bpe.write(folder / "bpe.gguf", "gpt2", "default", **bpe.special_ids())
    for pre in BYTE_SPELLED:
        path = tmp / "swapped.gguf"
        bpe.write(path, "gpt2", pre, **bpe.special_ids())
        keep(f"bpe-{pre}", path, {"vocabulary": "bpe.gguf", "pre": pre})
    for name, (vocabulary, model, pre, keys) in vocabularies(tmp).items():
        path = folder / f"{name}.gguf"
        vocabulary.write(path, model, pre, **keys)
        keep(name, path, {"vocabulary": path.name})
    for name, path in models.items():
        np.save(folder / f"{name}.npy", digests(llama, path, strings))
    (folder / "index.json").write_text(json.dumps(index, indent=1) + "\n")
