"""The texts that every kind of tokenizer is held to: those of tokenizer_cases.py, splices of them, and drawn ones that
bring every script, class of character and kind of broken UTF-8 next to every other. Always the same bytes."""

import numpy as np

import tokenizer_cases as cases

# Special tokens of the made vocabularies: some overlap, some are as long as others, some say nothing special.
CONTROL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<mask>", "[MASK]", "<|end|>", "<|endoftext|>"]
USER_DEFINED = ["<tool>", "<tool>x", "<b", "b>x", "\n\n\n", "=====", "<|channel|>"]
UNKNOWN = "<unk>"

BLOCKS = [  # ranges of code points to draw from
    (0x20, 0x7e), (0x20, 0x7e), (0x20, 0x7e), (0xa0, 0x17f), (0x180, 0x24f), (0x250, 0x36f), (0x370, 0x3ff), (0x400, 0x52f),
    (0x531, 0x5f4), (0x600, 0x6ff), (0x700, 0x7ff), (0x900, 0x97f), (0x980, 0xaff), (0xb80, 0xdff), (0xe00, 0xeff), (0xf00, 0xfff),
    (0x1000, 0x109f), (0x10a0, 0x11ff), (0x1200, 0x13ff), (0x1680, 0x17ff), (0x1800, 0x1bff), (0x1c00, 0x1dff), (0x1e00, 0x1fff),
    (0x2000, 0x206f), (0x2070, 0x21ff), (0x2200, 0x23ff), (0x2460, 0x27bf), (0x2c00, 0x2dff), (0x2e00, 0x303f), (0x3040, 0x30ff),
    (0x3100, 0x31ff), (0x3200, 0x4dff), (0x4e00, 0x9fff), (0xa000, 0xabff), (0xac00, 0xd7ff), (0xe000, 0xe0ff), (0xf900, 0xfaff),
    (0xfb00, 0xfdff), (0xfe00, 0xffff), (0x10000, 0x10fff), (0x11000, 0x11fff), (0x12000, 0x1254f), (0x16800, 0x16fff),
    (0x1b000, 0x1b2ff), (0x1d400, 0x1d7ff), (0x1e000, 0x1efff), (0x1f000, 0x1faff), (0x20000, 0x2ffff), (0x30000, 0x323af),
    (0xe0000, 0xe01ef), (0xf0000, 0xf00ff)]
SPACES = [" ", " ", " ", "\n", "\n", "\r", "\t", "\r\n", "\u00a0", "\u0085", "\u2003", "\u3000", "\u2028", "\v", "\u1680", "\u202f"]
WORDS = ["the", "The", "THE", "river", "a", "I", "don't", "WE'LL", "it's", "x", "été", "ÉTÉ", "Река", "дом", "水", "かな", "カナ", "강",
         "ab1", "12", "1234567", "٣", "५६", "½", "_", "camelCase", "HTTPServer", "e\u0301", "\u0301", "!", "...", "'", "''s", "'S", "’s",
         "\"", "-", "/", "//", "~", "`", "$", "<", ">", "=", "+", "|", "^", "\\", "#", "@", "&", "(", ")", "😀", "👩‍👩‍👧", "€", "。", "、", "！", "IMGIMGABZ",
         "<sentinel:12>", "\u200b", "\ufeff", "\u0000", "\u001c", "\u017f", "\u0130", "\u212a", "\u01c5", "\u3400", "\ufa6e", "〇", "々", "ー", "\u2ff0", "\U00031350"]


def draw_digits(rng):
    out = []
    for length in range(1, 24):
        digits = "".join(str(d) for d in rng.integers(0, 10, length))
        out += [digits, f"a{digits}", f" {digits} ", f"{digits}b", f"{digits}.{digits}", f"({digits})", f"x {digits}_", f"{digits}'s"]
    return out + ["١٢٣٤٥٦٧", "12३४56७", "१२३४ 12", "１２３４５", "1²³4", "Ⅷ12ⅧⅧ345", "12345,678.9012e-345"]


def draw_spaces(rng):
    out = ["".join(rng.choice(SPACES) for _ in range(n)) + tail for n in range(1, 24) for tail in ("", "x", "\n", "1", "水", " !")]
    return out + [" " * n + tail for n in (31, 32, 33, 64, 127, 300, 600) for tail in ("", "x", "\n", "\nx")]


def draw_words(rng, count):
    return ["".join(rng.choice(WORDS) + (rng.choice(SPACES) if rng.random() < 0.45 else "") for _ in range(rng.integers(1, 9)))
            for _ in range(count)]


def draw_scripts(rng, count):
    out = []
    for _ in range(count):
        low, high = BLOCKS[rng.integers(len(BLOCKS))]
        points = rng.integers(low, high + 1, rng.integers(1, 10))
        out.append("".join(chr(p) if rng.random() < 0.85 else str(rng.choice(WORDS + SPACES)) for p in points
                           if not 0xd800 <= p < 0xe000))
    return out


def is_readable(data):
    """False for what lies beyond U+10FFFF, which ends llama.cpp."""
    for i in range(len(data) - 3):
        if data[i] in range(0xf4, 0xf8) and all(b & 0xc0 == 0x80 for b in data[i + 1:i + 4]):
            if data[i] > 0xf4 or data[i + 1] >= 0x90:
                return False
    return True


def draw_bytes(rng, count):
    out = []
    pool = [t.encode("utf-8", "surrogatepass") for t in cases.TEXTS if t]
    while len(out) < count:
        data = bytearray(pool[rng.integers(len(pool))][:24])
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(0, len(data) + 1))
            data[at:at] = bytes(rng.integers(128, 256, rng.integers(1, 4)).astype(np.uint8))
        if is_readable(data):
            out.append(bytes(data))
    return out


def strings():
    """Bytes, none of them empty, without repeats."""
    rng = np.random.default_rng(20)
    specials = CONTROL + USER_DEFINED + [UNKNOWN]
    texts = cases.TEXTS + cases.with_specials(specials) + cases.mixtures(500, 21, specials) + draw_digits(rng)
    texts += draw_spaces(rng) + draw_words(rng, 500) + draw_scripts(rng, 500)
    texts += [f"{a} \n{b}" for a, b in zip(specials, specials[1:])] + ["<b>x", "<tool>xb>x", "\n\n\n\n\n", "====== ="]
    data = [t.encode("utf-8", "surrogatepass") for t in texts] + [bytes.fromhex(b) for b in cases.BYTES] + draw_bytes(rng, 250)
    return [d for d in dict.fromkeys(data) if d]
