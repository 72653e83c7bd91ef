"""Small Hugging Face tokenizers, one of each kind in use, and what transformers makes of many texts with them.

Each kind is a folder with tokenizer.json and the files beside it. The ids and texts are those of AutoTokenizer on that
folder for the strings of tokenizer/families; of each only a number is kept: the CRC-32 of the ids, or of the text's bytes,
as int32 with -1 behind them.
"""

import json
import math
import os
import shutil
import unicodedata
import zlib
from collections import Counter

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the same bytes every time

import numpy as np
import regex
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

import tokenizer_cases as cases
from hf_charsmap import make_charsmap

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
          r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
# Set intersections, and "{1,3}+", which repeats here and is possessive elsewhere.
HAN_APART = (r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+"
             r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK = ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"\s+$", "[一-龥ࠀ-一가-퟿]+"]

CONTROL = [AddedToken(t, special=True, normalized=False) for t in ("<s>", "</s>", "<|im_start|>", "<|im_end|>")]
ODD = [AddedToken("<mask>", special=True, normalized=False, lstrip=True),
       AddedToken("[MASK]", special=True, normalized=False, rstrip=True),
       AddedToken("<|end|>", special=True, normalized=False, single_word=True),
       AddedToken("<tool>", normalized=False), AddedToken("<tool>x", normalized=False), AddedToken("b>x", normalized=True),
       AddedToken("=====", normalized=True, lstrip=True, rstrip=True), AddedToken("\n\n\n", normalized=False)]
BYTES = [f"<0x{b:02X}>" for b in range(256)]
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())


def lines():
    return cases.CORPUS.splitlines(keepends=True)


def bpe(size, normalizer=None, pre=None, alphabet=(), texts=None, specials=(), unk=None, model_options=None, **trainer_options):
    """A trained BPE; model_options are set afterwards."""
    tokenizer = Tokenizer(models.BPE(unk_token=unk))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre is not None:
        tokenizer.pre_tokenizer = pre
    tokenizer.train_from_iterator(texts or lines(), trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=list(alphabet), special_tokens=list(specials), show_progress=False, **trainer_options))
    if model_options:
        saved = json.loads(tokenizer.to_str())
        saved["model"].update(model_options)
        tokenizer = Tokenizer.from_str(json.dumps(saved))
    return tokenizer


def byte_level(size, pattern=None, normalizer=None, add_prefix_space=False, model_options=None, steps=None):
    last = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=pattern is None and steps is None)
    steps = steps if steps is not None else [pre_tokenizers.Split(Regex(pattern), "isolated")] if pattern else []
    tokenizer = bpe(size, normalizer, pre_tokenizers.Sequence(steps + [last]) if steps else last, ALPHABET,
                    model_options=model_options)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def template(tokenizer, single, *names):
    return processors.TemplateProcessing(single=single, pair=f"{single} $B", special_tokens=[
        (name, tokenizer.token_to_id(name)) for name in names])


def gpt2():
    tokenizer = byte_level(600)
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer, dict(bos_token="<|endoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>")


def gpt2_prefix():
    """As RoBERTa's: a space before each stretch, and <s> and </s> around; the special tokens are in the vocabulary."""
    tokenizer = byte_level(600, add_prefix_space=True)
    tokenizer.add_special_tokens(CONTROL + ODD[:1])
    tokenizer.add_tokens(ODD[3:])
    ends = [(t, tokenizer.token_to_id(t)) for t in ("</s>", "<s>")]
    tokenizer.post_processor = processors.RobertaProcessing(*ends)
    return tokenizer, dict(bos_token="<s>", eos_token="</s>", mask_token="<mask>")


def llama3():
    whole = "Ġorrery"
    tokenizer = byte_level(620, LLAMA3)
    saved = json.loads(tokenizer.to_str())
    saved["model"]["vocab"][whole] = len(saved["model"]["vocab"])  # no merges lead to it
    saved["model"]["ignore_merges"] = True
    tokenizer = Tokenizer.from_str(json.dumps(saved))
    names = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    tokenizer.add_special_tokens(names)
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False),
                                                    template(tokenizer, "<|begin_of_text|> $A", "<|begin_of_text|>")])
    return tokenizer, dict(bos_token=names[0], eos_token=names[4])


def spm_bpe(normalizer, pre, decoder, options=None):
    """A SentencePiece model's BPE: bytes and characters first, "▁" for the space."""
    text = [line.replace(" ", "▁") for line in lines()]
    tokenizer = bpe(900, texts=text, specials=["<unk>", "<s>", "</s>"] + BYTES, unk="<unk>", max_token_length=12,
                    pre=pre_tokenizers.Split(Regex(r"[^▁\n]?[^▁\n]*▁?|\n"), "isolated"),
                    model_options={"byte_fallback": True, "fuse_unk": True, **(options or {})})
    saved = json.loads(tokenizer.to_str())
    saved["added_tokens"] = [t for t in saved["added_tokens"] if t["content"] not in BYTES]
    saved["normalizer"] = saved["pre_tokenizer"] = None
    tokenizer = Tokenizer.from_str(json.dumps(saved))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre is not None:
        tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoder
    return tokenizer


def spm_decoder(strip=True):
    return decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()] +
                             ([decoders.Strip(" ", 1, 0)] if strip else []))


def llama2():
    tokenizer = spm_bpe(normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None, spm_decoder())
    tokenizer.add_special_tokens(CONTROL + ODD[:3])
    tokenizer.add_tokens(ODD[3:])
    tokenizer.post_processor = template(tokenizer, "<s> $A", "<s>")
    return tokenizer, dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def llama2_metaspace():
    """The newer form: Metaspace at the text's start only; pieces that no token spells are unknown, one by one."""
    tokenizer = spm_bpe(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False), spm_decoder(),
                        dict(byte_fallback=False, fuse_unk=False))
    tokenizer.add_special_tokens(CONTROL + ODD[:3])
    tokenizer.add_tokens(ODD[3:])
    tokenizer.post_processor = template(tokenizer, "<s> $A </s>", "<s>", "</s>")
    return tokenizer, dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def gemma():
    tokenizer = spm_bpe(normalizers.Replace(" ", "▁"), pre_tokenizers.Split(" ", "merged_with_previous"), spm_decoder(False))
    tokenizer.add_special_tokens(CONTROL)
    tokenizer.add_tokens([AddedToken("\n" * n, normalized=False) for n in range(2, 6)])
    tokenizer.add_tokens([AddedToken("▁" * n, normalized=False) for n in range(2, 6)])
    tokenizer.post_processor = template(tokenizer, "<s> $A", "<s>")
    return tokenizer, dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def qwen2():
    tokenizer = byte_level(620, QWEN2, normalizers.NFC())
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens([AddedToken("<tool>", normalized=False)])
    return tokenizer, dict(eos_token="<|im_end|>", pad_token="<|endoftext|>", add_bos_token=True, bos_token="<|im_start|>")


def tekken():
    tokenizer = byte_level(620, TEKKEN)
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>", "[INST]", "[/INST]"])
    tokenizer.post_processor = template(tokenizer, "<s> $A", "<s>")
    return tokenizer, dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def neox():
    """Runs of spaces are added tokens in normalized text; some settings come from tokenizer_config.json alone."""
    tokenizer = byte_level(600, None, normalizers.NFC())
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True) for n in range(2, 9)])
    size = tokenizer.get_vocab_size()
    added = {size: dict(content="<|pad|>", special=True, normalized=False), size + 1: dict(content="</think>", lstrip=True)}
    return tokenizer, dict(bos_token="<|endoftext|>", eos_token="<|endoftext|>", additional_special_tokens=["<|extra|>"],
                           added_tokens_decoder={str(k): v for k, v in added.items()})


def deepseek():
    steps = [pre_tokenizers.Split(Regex(p), "isolated") for p in DEEPSEEK] + [pre_tokenizers.Digits(individual_digits=True)]
    tokenizer = byte_level(620, steps=steps, normalizer=normalizers.Sequence([]))
    tokenizer.add_special_tokens(CONTROL)
    tokenizer.post_processor = template(tokenizer, "<s> $A", "<s>")
    return tokenizer, dict(bos_token="<s>", eos_token="</s>")


def han_apart():
    tokenizer = byte_level(640, HAN_APART)
    tokenizer.add_special_tokens(["[BOS]", "[EOS]"])
    return tokenizer, dict(bos_token="[BOS]", eos_token="[EOS]")


# Vocabularies counted by hand: the trainers of these models give others from run to run.

def words_of(normalizer, pre):
    """(word, count), the most frequent first."""
    counts = Counter()
    for line in lines():
        text = normalizer.normalize_str(line) if normalizer is not None else line
        counts.update(word for word, _ in pre.pre_tokenize_str(text))
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def parts_of(words, size, longest=8):
    """(part of a word, whether it begins one, count), those that cover most first."""
    counts = Counter()
    for word, n in words:
        for begin in range(len(word)):
            for end in range(begin + 2, min(begin + longest, len(word)) + 1):
                counts[word[begin:end], begin == 0] += n
    return sorted(((part, first, n) for (part, first), n in counts.items()), key=lambda p: (-p[2] * len(p[0]), p))[:size]


def word_piece(normalizer, pre, names, size=500):
    words = words_of(normalizer, pre)
    characters = sorted({c for word, _ in words for c in word})
    tokens = names + characters + [f"##{c}" for c in characters]
    tokens += [part if first else f"##{part}" for part, first, _ in parts_of(words, size)]
    return {token: i for i, token in enumerate(dict.fromkeys(tokens))}


def bert():
    normalizer, pre = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(word_piece(normalizer, pre, names), unk_token="[UNK]", max_input_chars_per_word=20))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre
    tokenizer.add_special_tokens(names)
    tokenizer.add_tokens([AddedToken("River", normalized=True), AddedToken("<TOOL>", normalized=False)])
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = template(tokenizer, "[CLS] $A [SEP]", "[CLS]", "[SEP]")
    return tokenizer, dict(zip(["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"], names),
                           clean_up_tokenization_spaces=True)


def bert_cased():
    normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False, handle_chinese_chars=False)
    pre = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("merged_with_previous")])
    names = ["[UNK]", "[CLS]", "[SEP]"]
    tokenizer = Tokenizer(models.WordPiece(word_piece(normalizer, pre, names), unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre
    tokenizer.add_special_tokens(names)
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    tokenizer.post_processor = processors.BertProcessing(*((t, tokenizer.token_to_id(t)) for t in ("[SEP]", "[CLS]")))
    return tokenizer, dict(unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", clean_up_tokenization_spaces=True)


def unigram(pre, normalizer, decoder, byte_fallback, size=600):
    words = words_of(normalizer, pre)
    characters = Counter(c for word, n in words for c in word * n)
    pieces = dict.fromkeys(["<pad>", "</s>", "<unk>"] + (BYTES if byte_fallback else []), 0.0)
    pieces |= {c: round(math.log(n / 5e4), 4) for c, n in sorted(characters.items()) if n > 1}  # rare ones are unknown
    pieces |= {part: round(math.log(n / 1e4), 4) for part, _, n in parts_of(words, size)}
    tokenizer = Tokenizer(models.Unigram(list(pieces.items()), unk_id=2, byte_fallback=byte_fallback))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tokenizer.decoder = decoder
    return tokenizer


def pairs_by_hand(words, n_merges, prefix, suffix):
    """Vocabulary and merges of a BPE with marks inside words and at their ends."""
    spelled = [([(c if i == 0 else prefix + c) + (suffix if i + 1 == len(word) else "") for i, c in enumerate(word)], n)
               for word, n in words]
    tokens, merges = sorted({symbol for symbols, _ in spelled for symbol in symbols}), []
    for _ in range(n_merges):
        counts = Counter()
        for symbols, n in spelled:
            for pair in zip(symbols, symbols[1:]):
                counts[pair] += n
        left, right = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append((left, right))
        tokens.append(left + right[len(prefix):])
        for symbols, _ in spelled:
            i = 0
            while i + 1 < len(symbols):
                if (symbols[i], symbols[i + 1]) == (left, right):
                    symbols[i:i + 2] = [tokens[-1]]
                i += 1
    return {token: i for i, token in enumerate(["<unk>", *dict.fromkeys(tokens)])}, merges


def charsmap():
    saved = {"type": "Precompiled", "precompiled_charsmap": make_charsmap()}
    empty = json.loads(Tokenizer(models.BPE()).to_str())
    return Tokenizer.from_str(json.dumps({**empty, "normalizer": saved})).normalizer


def t5():
    space = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer = unigram(space, charsmap(), decoders.Metaspace(prepend_scheme="always"), False)
    tokenizer.add_special_tokens([AddedToken("<extra_id_0>", special=True, normalized=False, lstrip=True, rstrip=True)])
    tokenizer.post_processor = template(tokenizer, "$A </s>", "</s>")
    return tokenizer, dict(eos_token="</s>", unk_token="<unk>", pad_token="<pad>", clean_up_tokenization_spaces=True)


def albert():
    normalizer = normalizers.Sequence([normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(),
                                       normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip(),
                                       normalizers.Replace(Regex(" {2,}"), " ")])
    space = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer = unigram(space, normalizer, decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()]), True)
    tokenizer.add_special_tokens(CONTROL[:1])
    tokenizer.add_tokens([AddedToken("Orrery", normalized=True)])
    tokenizer.post_processor = template(tokenizer, "<s> $A </s>", "<s>", "</s>")
    return tokenizer, dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def word_level():
    """No decoder; every kind of cutting that the others lack."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents(),
                                                 normalizers.Nmt(), normalizers.Strip(right=False)])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(),
                                                       pre_tokenizers.UnicodeScripts(), pre_tokenizers.FixedLength(4)])
    tokenizer.train_from_iterator(lines(), trainers.WordLevelTrainer(vocab_size=700, special_tokens=["<unk>", "<s>"],
                                                                     show_progress=False))
    return tokenizer, dict(unk_token="<unk>", bos_token="<s>")


def clip():
    """BPE over characters with marks for the inside and the end of words."""
    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    pre = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"), "removed", invert=True),
                                   pre_tokenizers.Split("the", "merged_with_next"),
                                   pre_tokenizers.Split(Regex("[aeiou]"), "contiguous")])
    vocabulary, merges = pairs_by_hand(words_of(normalizer, pre), 300, "@@", "</w>")
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", continuing_subword_prefix="@@",
                                     end_of_word_suffix="</w>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre
    tokenizer.add_special_tokens(["<unk>"])
    tokenizer.add_tokens(ODD[3:])
    tokenizer.decoder = decoders.BPEDecoder()
    return tokenizer, dict(unk_token="<unk>")


def byte_characters():
    """Bytes spelled out by the normalizer, cut at a character."""
    normalizer = normalizers.Sequence([normalizers.Prepend("|"), normalizers.ByteLevel()])
    tokenizer = bpe(500, normalizer, pre_tokenizers.Sequence([pre_tokenizers.CharDelimiterSplit("Ġ"), pre_tokenizers.Split(
        Regex("[|.,]"), "merged_with_next", invert=True)]), ALPHABET)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, dict()


KINDS = [gpt2, gpt2_prefix, llama3, llama2, llama2_metaspace, gemma, qwen2, tekken, neox, deepseek, han_apart, bert, bert_cased,
         t5, albert, word_level, clip, byte_characters]


def save(folder, tokenizer, config):
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    saved = json.loads(tokenizer.to_str())
    (folder / "tokenizer.json").write_text(json.dumps(saved, ensure_ascii=False, separators=(",", ":")) + "\n")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False, indent=1) + "\n")
    (folder / "config.json").write_text('{"model_type": "llama"}\n')


def text_of(data):
    """Each byte that belongs to no character is U+FFFD."""
    out = ""
    while data:
        try:
            return out + data.decode()
        except UnicodeDecodeError as error:
            out += data[:error.start].decode() + "\ufffd"
            data = data[error.start + 1:]
    return out


def is_new(text):
    """True where it holds characters from after Unicode 14, which the packaged libraries take for unassigned."""
    return any(unicodedata.category(c) == "Cn" and regex.fullmatch(r"\P{Cn}", c) for c in text)


def digest(numbers):
    return zlib.crc32(np.asarray([*numbers, -1], dtype="<i4").tobytes())


def digests_of(tokenizer, text):
    """Ids with what stands around a text and its special tokens parsed; without both; the first decoded, with and without
    control tokens. Zeros where the text is left out."""
    if is_new(text):
        return [0] * 4
    ids = tokenizer(text, add_special_tokens=True, split_special_tokens=False)["input_ids"]
    plain = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    decoded = [tokenizer.decode(ids, skip_special_tokens=skip).encode() for skip in (False, True)]
    return [digest(ids), digest(plain), digest(decoded[0]), digest(decoded[1])]


def make(assets):
    folder = assets / "goldens" / "hf_tokenizer"
    strings = (assets / "goldens" / "tokenizer" / "families" / "strings.hex").read_text().split()
    texts = [text_of(bytes.fromhex(line)) for line in strings]
    for kind in KINDS:
        tokenizer, config = kind()
        save(folder / kind.__name__, tokenizer, config)
        reference = AutoTokenizer.from_pretrained(folder / kind.__name__)
        digests = np.array([digests_of(reference, text) for text in texts], dtype="<u4")
        np.save(folder / kind.__name__ / "digests.npy", digests.view("<i4"))
        print(f"{kind.__name__}: {len(reference)} tokens, {len(texts)} texts, {sum(not row.any() for row in digests)} left out")
