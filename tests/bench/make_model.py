#!/usr/bin/env python3
"""Writes a model of a real shape with seeded random weights as GGUF, without a tokenizer: for timing, not for talking.

    python3 tests/bench/make_model.py SHAPE DTYPE FILE

Shapes: 1b (1.2 billion weights: 16 layers of 2048, output tied), 8b (32 layers of 4096), tiny (for trying it out).
Dtypes: BF16, Q4_K, Q8_0. The same arguments give the same bytes. Needs nothing but Python.
"""

import random
import struct
import sys

SHAPES = {
    "tiny": {"layers": 2, "d": 256, "ffn": 512, "heads": 4, "kv_heads": 2, "vocab": 1000, "tied": True},
    "1b": {"layers": 16, "d": 2048, "ffn": 8192, "heads": 32, "kv_heads": 8, "vocab": 128256, "tied": True},
    "8b": {"layers": 32, "d": 4096, "ffn": 14336, "heads": 32, "kv_heads": 8, "vocab": 128256, "tied": False},
}
CONTEXT = 32768
ALIGNMENT = 32
# GGUF's number of the type, elements of a block, bytes of a block.
F32, BF16, Q8_0, Q4_K = (0, 1, 4), (30, 1, 2), (8, 32, 34), (12, 256, 144)
DTYPES = {"BF16": BF16, "Q8_0": Q8_0, "Q4_K": Q4_K}
SPREAD = 0.02  # about the standard deviation of the weights
STRETCH_BLOCKS = 1 << 16  # so many random blocks, again and again


def half(value):
    return struct.pack("<e", value)


def random_blocks(dtype):
    """A stretch of random blocks of this type."""
    source = random.Random(20261122)
    blocks = bytearray(source.randbytes(STRETCH_BLOCKS * dtype[2]))
    for at in range(0, len(blocks), dtype[2]):
        if dtype is BF16:  # either sign, 0.008 to 0.03
            blocks[at + 1] = 0x3C | blocks[at + 1] & 0x80
        elif dtype is Q8_0:  # whole numbers of a standard deviation of 74
            blocks[at : at + 2] = half(SPREAD / 74)
        else:  # scales of 0 to 63 times 0 to 15, less minima that centre them
            blocks[at : at + 4] = half(SPREAD / 256) + half(7.5 * SPREAD / 256)
    return bytes(blocks)


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def metadata(shape):
    """Keys and values; type 8 is a string, 4 a uint32, 6 a float32."""
    prefix = "llama."
    integers = {
        "block_count": shape["layers"],
        "context_length": CONTEXT,
        "embedding_length": shape["d"],
        "feed_forward_length": shape["ffn"],
        "attention.head_count": shape["heads"],
        "attention.head_count_kv": shape["kv_heads"],
        "vocab_size": shape["vocab"],
    }
    floats = {"attention.layer_norm_rms_epsilon": 1e-5, "rope.freq_base": 500000.0}
    entries = [text("general.architecture") + struct.pack("<I", 8) + text("llama")]
    entries += [text(prefix + key) + struct.pack("<II", 4, value) for key, value in integers.items()]
    entries += [text(prefix + key) + struct.pack("<If", 6, value) for key, value in floats.items()]
    return entries


def tensors(shape, dtype):
    """(name, rows, columns, dtype) in the order of the file; rows of None: a vector."""
    d, ffn = shape["d"], shape["ffn"]
    kv = d // shape["heads"] * shape["kv_heads"]
    yield "token_embd.weight", shape["vocab"], d, dtype
    for layer in range(shape["layers"]):
        name = f"blk.{layer}."
        yield name + "attn_norm.weight", None, d, F32
        yield name + "attn_q.weight", d, d, dtype
        yield name + "attn_k.weight", kv, d, dtype
        yield name + "attn_v.weight", kv, d, dtype
        yield name + "attn_output.weight", d, d, dtype
        yield name + "ffn_norm.weight", None, d, F32
        yield name + "ffn_gate.weight", ffn, d, dtype
        yield name + "ffn_up.weight", ffn, d, dtype
        yield name + "ffn_down.weight", d, ffn, dtype
    yield "output_norm.weight", None, d, F32
    if not shape["tied"]:
        yield "output.weight", shape["vocab"], d, dtype


def n_bytes(rows, columns, dtype):
    return (rows or 1) * columns // dtype[1] * dtype[2]


def padding(at):
    return -at % ALIGNMENT


def write_random(file, stretch, size, at):
    """size bytes of the repeated stretch from `at` on, which is the beginning of a block."""
    while size > 0:
        part = memoryview(stretch)[at : at + size]
        file.write(part)
        size -= len(part)
        at = 0


def write(path, shape, dtype):
    listed = list(tensors(shape, dtype))
    entries = metadata(shape)
    infos, offset = [], 0
    for name, rows, columns, kind in listed:
        dims = [columns] if rows is None else [columns, rows]
        infos.append(text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind[0], offset))
        offset += n_bytes(rows, columns, kind)
        offset += padding(offset)
    stretch = random_blocks(dtype)
    starts = random.Random(7)  # where in the stretch a tensor begins: no two are alike
    with open(path, "wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, len(listed), len(entries)) + b"".join(entries) + b"".join(infos))
        file.write(bytes(padding(file.tell())))
        for _, rows, columns, kind in listed:
            size = n_bytes(rows, columns, kind)
            if kind is F32:  # a norm
                file.write(struct.pack("<f", 1.0) * columns)
            else:
                write_random(file, stretch, size, starts.randrange(STRETCH_BLOCKS) * kind[2])
            file.write(bytes(padding(size)))


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in SHAPES or sys.argv[2] not in DTYPES:
        sys.exit(__doc__.strip())
    write(sys.argv[3], SHAPES[sys.argv[1]], DTYPES[sys.argv[2]])


if __name__ == "__main__":
    main()
