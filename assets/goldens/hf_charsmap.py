"""A small SentencePiece character map (precompiled_charsmap), written as a double array by hand."""

import base64
import struct
import unicodedata

# Shortest match wins, so "e" must not be there beside "e\u0301".
RULES = {chr(c): unicodedata.normalize("NFKC", chr(c)) for c in [*range(0xff01, 0xff5f), *range(0x2460, 0x2470), 0xbd, 0xfb01, 0xb2,
                                                                  0x2122, 0x3000, 0xa0, 0xfdfa]}
RULES |= {"e\u0301": "é", "e\u0302": "ê", "\t": " ", "\r": "", "\n": " ", "\r\n": " ", "\u200b": "", "\u00ad": "", "\u0301": "´", "ß": "ss"}


def make_charsmap():
    """Base64 of: u32 bytes of the trie, the trie, NUL-ended replacements."""
    replacements, place = b"", {}
    for value in sorted(set(RULES.values())):
        place[value] = len(replacements)
        replacements += value.encode() + b"\0"
    trie = {}
    for key, value in RULES.items():
        node = trie
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[None] = place[value]
    units, used, taken = {}, {0}, set()

    def place_children(index, node, label):
        """Children of `index` go to index ^ offset ^ byte; the value, whose byte is 0, to index ^ offset."""
        labels = [0 if byte is None else byte for byte in node]
        offset = next(o for o in range(1, 1 << 21) if o not in taken and
                      not any((index ^ o ^ b) in used for b in labels) and all((index ^ o ^ b) > 0 for b in labels))
        taken.add(offset)
        used.update(index ^ offset ^ b for b in labels)
        units[index] = label | (0x100 if None in node else 0) | offset << 10
        for byte, child in node.items():
            if byte is None:
                units[index ^ offset] = 0x80000000 | child
            else:
                place_children(index ^ offset ^ byte, child, byte)

    place_children(0, trie, 0)
    size = (max(units) | 255) + 1
    # 0x1ff labels no byte: what no rule uses never matches.
    blob = b"".join(struct.pack("<I", units.get(i, 0x80000000)) for i in range(size))
    return base64.b64encode(struct.pack("<I", len(blob)) + blob + replacements).decode()
