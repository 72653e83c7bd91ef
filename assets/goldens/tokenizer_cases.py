"""Texts that pull pre-tokenizers and merges apart: scripts, spaces, digits, contractions, code, emoji, broken UTF-8."""

import numpy as np

TEXTS = [
    "", " ", "  ", "   ", "a", " a", "  a", "   a", "a ", "a  ", "a   b", "\n", "\n\n", "\n\n\n", "\r\n", "\r\n\r\n", "\r",
    "\t", "\t\t", "\ta", "\t a", " \ta", " \n", "\n ", " \n ", "a\nb", "a\n b", "a\n  b", "a \n b", "a\n\n\tb", "a\r\nb",
    "a \r\n\r\n  b", "x\n\n\n  y", "  \n  \n  z", "trailing   \n", "\n   \n\tend", "\v\f", "a\vb\fc",
    "Hello, world!", "hello world", "Hello  World", "HELLO", "The model writes, and we watch it think.",
    "A river remembers the shape of its bed.", "one,two;three:four.five!six?seven", "...", "....!!!???", "-- --- ----",
    "a-b_c/d\\e|f", "(a)[b]{c}<d>", "\"quoted\" 'single' `tick`", "#include <vector>", "@user #tag $5 %d ^x &y *z",
    "I'm you're he's we've they'll I'd can't", "I'M YOU'RE HE'S WE'VE THEY'LL I'D CAN'T", "'s 't 're 've 'm 'll 'd",
    "'S 'T 'Re 'vE 'M 'lL 'D", "it's'nt o'clock rock'n'roll", "don\u2019t you\u2019ll", "''s ' s '", "x's\ny'll",
    "1", "12", "123", "1234", "12345", "1234567890", " 1", " 12", " 1234", "1 2 3", "3.14159", "1,000,000", "a1b2c3",
    "abc123def", "2026-11-22T04:27:35", "v1.2.3-rc4", "0xDEADBEEF", "1e-5", "+49 30 1234567", "50%", "$9.99", "007 0012",
    "١٢٣٤ ٥٦", "१२३ ४५", "１２３４", "Ⅷ Ⅻ ⅳ", "x² y³ ½ ¾", "①②③", "一二三 十百千",
    "naïve café résumé", "nai\u0308ve cafe\u0301", "Straße Größe Übermut", "Ça va? Où est l'été?", "¿Qué tal? ¡Muy bien!",
    "Zażółć gęślą jaźń", "Příliš žluťoučký kůň", "İstanbul ığdır", "Tiếng Việt có nhiều dấu", "Ǆ ǅ ǆ ﬁ ﬂ", "ⅰⅱ ª º",
    "Река помнит форму своего русла.", "Ποτάμι, που θυμάται.", "ΑΒΓΔ αβγδ ς", "Գետը հիշում է", "მდინარე ახსოვს",
    "الماء يتذكر شكل النهر", "مَرْحَبًا", "שלום עולם", "שָׁלוֹם", "नदी को याद है", "क्षत्रिय ज्ञ", "நதி நினைவில்", "แม่น้ำจำรูปร่างได้",
    "ແມ່ນ້ຳ", "མཚོ་", "ខ្មែរ", "မြန်မာ", "አማርኛ", "河は川床の形を覚えている。", "カタカナ ﾊﾝｶｸ ひらがな", "강은 바닥을 기억한다", "\u1112\u1161\u11ab\u1100\u1173\u11af",
    "河流记得河床的形状。", "漢字，標點：「引」！", "𠮷野家 𪚥", "𝓗𝓮𝓵𝓵𝓸 𝟙𝟚𝟛", "𐍈 𐤀 𓀀 𒀀",
    "😀", "😀😀", " 😀", "a😀b", "👍🏽", "👩‍👩‍👧‍👦 family", "🏳️‍🌈🏴‍☠️", "🇩🇪🇫🇷🇯🇵", "❤️ ☺ ✈︎", "1️⃣2️⃣#️⃣", "🧑🏿‍🚀🚀", "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "a\u00a0b", "\u00a0\u00a0a", "a\u3000b", "\u2003 x", "a\u200bb", "\ufeffBOM", "a\u2028b\u2029c", "a\u0085b", "\u1680x", "a\u202fb", "x\u00ady",
    "a\u180eb", "\u200e\u200fmarks", "\u0001\u0002\u007f", "\u0000", "a\u0000b", "\u001b[31mred\u001b[0m", "\u001c\u001d", "\ue000\uf8ff", "\ufffd\uffff",
    "\u0378\u0e80", "e\u0301\u0302\u0303\u0304", "\u0301", " \u0301a", "Z̷̛͔a̴l̶g̵o̷",
    "def f(x):\n    return x + 1\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}\n", "if a==b&&c!=d||!e:", "x=>y->z::w",
    "<html>\n  <body class=\"x\">&amp;</body>\n</html>", "{\"key\": [1, 2.5, null, true]}", "SELECT * FROM t WHERE id=42;",
    "https://example.org/a/b?c=d&e=%20f#g", "user@example.org", "C:\\Users\\me\\file.txt", "# Title\n\n- item\n- item\n\n```\ncode\n```",
    "$$\\int_0^1 x^2\\,dx$$", "camelCaseWord snake_case_word CONSTANT_NAME", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "abcabcabcabcabc",
    "=================", "\n\n\n\n\n\n\n\n", "                                 x", "\t\t\t\t\t\t\tx", "!!!!!!!!\n\n!!!!", "?\n", "!\n\n a", "word\n\nword",
    "one.\nTwo.\r\n\r\nThree.", "end of line \\\n", "mixedРусский中文123abc", "日本語text混在123です", "a中b文c", "²a ªb", "ǅungla", "Orrery Orrery's",
]

# As hex; only the last two are whole UTF-8. Code points past U+10FFFF (f4 90 80 80) are left out: they end llama.cpp.
BYTES = [
    "ff", "80", "c3", "e282", "f09f98", "61ff62", "c328", "e28261", "f09f9861", "c080", "c1bf", "e08080", "eda080", "eda080edb080",
    "f8888080", "fe", "ffff", "20ff20", "0aff0a", "c3a9c3", "61c3", "e2e2e2", "80808080", "48656c6c6f20e28048656c6c6f",
    "f09f9880f09f98", "efbbbf61", "31ff32", "27ff73", "c2", "efbfbd", "f3a08081",
]

# Overlong forms and surrogates: not UTF-8, but llama.cpp reads a code point from them where strict readers put U+FFFD.
DECODED_ANYWAY = {"c080", "c1bf", "e08080", "eda080", "eda080edb080"}


def with_specials(specials):
    """Texts around the special tokens of a vocabulary."""
    out = []
    for s in specials:
        out += [s, f"a{s}b", f" {s} ", f"{s}{s}", f"{s}\n{s}", s[:-1], s[1:], f"x {s}", s.upper(), f"<{s}>", f"12{s}34"]
    if len(specials) > 1:
        out.append(f"{specials[0]}user\nHello{specials[1]}\n{specials[0]}assistant\n")
        out.append("".join(specials))
    return list(dict.fromkeys(out))


def mixtures(count, seed, extra=()):
    """Random splices of the texts above, so that every boundary meets every other."""
    rng = np.random.default_rng(seed)
    pool = [t for t in TEXTS if t] + list(extra)
    out = []
    for _ in range(count):
        parts = []
        for index in rng.integers(0, len(pool), rng.integers(2, 7)):
            text = pool[index]
            begin = int(rng.integers(0, len(text)))
            parts.append(text[begin:begin + int(rng.integers(1, 13))])
        out.append("".join(parts))
    return out


# What the small vocabularies are trained on.
CORPUS = """\
The river remembers the shape of its bed, and the bed remembers the river. When the water is low the stones tell what the flood was like;
when it is high the water tells what the stones are worth. A model that writes has no memory but what it keeps: keys and values, a state, a few
numbers that fade. We open it while it is running, and what we see is drawn from what it computed, not from what we would like to see.
I'm sure you're right; he's late, we've waited, they'll come, I'd stay, it isn't far. Don't you think that's what the teacher'll say? We can't know.
Hello, hello world! Hello World. The orrery turns; the planets turn with it. One, two, three: 1, 2, 3, 10, 12, 100, 123, 2026, 3.14, 1000 and 12345.
def watch(model, prompt):\n    for token in model.generate(prompt):\n        print(token)\n        if token == 0:\n            return None\n
int main() {\n\tfor (int i = 0; i < 10; ++i) {\n\t\tstd::cout << i << "\\n";\n\t}\n\treturn 0;\n}\n
<html>\n  <body class="main">text &amp; more text</body>\n</html>\n# Title\n\n- item one\n- item two\n\n
Der Fluss erinnert sich an die Form seines Bettes; die Größe der Straße überrascht. La rivière se souvient de la forme de son lit, l'été comme l'hiver.
El río recuerda la forma de su lecho. ¿Qué tal? ¡Muy bien! Řeka si pamatuje tvar koryta. Rzeka pamięta kształt. Nehir yatağının şeklini hatırlar.
Река помнит форму своего русла, а русло помнит реку. Модель пишет, и мы смотрим, как она думает. Το ποτάμι θυμάται το σχήμα της κοίτης του.
النهر يتذكر شكل مجراه والمجرى يتذكر النهر. הנהר זוכר את צורת הערוץ. नदी को अपने तल का आकार याद है। แม่น้ำจำรูปร่างของท้องน้ำได้
河は川床の形を覚えている。モデルは書く、わたしたちは見る。河流记得河床的形状，河床也记得河流。强은 바닥의 모양을 기억한다。강은 바닥을 기억하고 바닥은 강을 기억한다.
😀 😀 👍🏽 👩‍👩‍👧‍👦 🚀 ❤️ — … “quoted” ‘single’ don’t you’ll — naïve café résumé déjà vu. ١٢٣ १२३ １２３ ½ ² №
"""
