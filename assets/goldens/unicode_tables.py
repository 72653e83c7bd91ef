"""engine/tokenizers/unicode_ranges.inc: the general categories of Unicode 15.1, the version of llama.cpp's tables.

    python assets/goldens/unicode_tables.py > engine/tokenizers/unicode_ranges.inc    (needs unicodedata2 == 15.1.0)
"""

import unicodedata2 as unicodedata

CLASSES = "CNZLMPS"  # in the order of UnicodeClass, which starts with kUnassigned


def category(code_point):
    name = unicodedata.category(chr(code_point))
    return 0 if name == "Cn" else 1 + CLASSES.index(name[0])


def wrapped(numbers, width=118):
    line = ""
    for number in numbers:
        text = f"{number:#x},"
        if len(line) + len(text) > width:
            yield line
            line = ""
        line += text
    yield line


def ranges():
    previous = None
    for code_point in range(0x110000):
        kind = category(code_point)
        if kind != previous:
            yield code_point << 3 | kind
        previous = kind


def simple_map(image):
    """code point, image pairs of code points that change; without Hangul syllables, which are decomposed by arithmetic."""
    for code_point in range(0x110000):
        if 0xd800 <= code_point < 0xe000 or 0xac00 <= code_point < 0xd7a4:
            continue
        changed = image(chr(code_point))
        if changed != code_point:
            yield code_point
            yield changed


def main():
    assert unicodedata.unidata_version == "15.1.0"
    print("// Made by assets/goldens/unicode_tables.py from Unicode 15.1; not for editing.")
    print("// clang-format off")
    for name, numbers in [
            ("kCategoryRanges", ranges()),  # first code point << 3 | UnicodeClass, to the next entry
            ("kLowerCase", simple_map(lambda c: ord(c.lower()[0]))),
            ("kBaseLetters", simple_map(lambda c: ord(unicodedata.normalize("NFD", c)[0])))]:
        print(f"constexpr uint32_t {name}[] = {{")
        print("\n".join(wrapped(numbers)))
        print("};")
    print("// clang-format on")


if __name__ == "__main__":
    main()
