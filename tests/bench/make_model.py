#!/usr/bin/env python3
"""Writes a model of a real shape with seeded random weights as GGUF, without a tokenizer: for timing, not for talking.

    python3 tests/bench/make_model.py SHAPE DTYPE FILE

Shapes: 1b (1.2 billion weights: 16 layers of 2048, output tied), 8b (32 layers of 4096), tiny (for trying it out);
30x16 (30 layers of 16 heads: for sizes of recordings);
lfm2-350m (short convolutions and attention), granite-350m-h (Mamba-2 and attention), and lfm2-350m-dense,
granite-350m-h-dense: as many bytes of weights in layers of attention and feed-forward alone.
Dtypes: BF16, Q4_K, Q8_0. The same arguments give the same bytes. Needs nothing but Python.
"""

import random
import struct
import sys

SHAPES = {
    "tiny": {"layers": 2, "d": 256, "ffn": 512, "heads": 4, "kv_heads": 2, "vocab": 1000, "tied": True},
    "lfm2-350m": {"family": "lfm2", "layers": 16, "attention": [2, 5, 8, 10, 12, 14], "d": 1024, "ffn": 4608,
                  "heads": 16, "kv_heads": 8, "vocab": 65536, "tied": True, "taps": 3},
    "granite-350m-h": {"family": "granitehybrid", "layers": 32, "attention": [10, 13, 17, 27], "d": 768, "ffn": 2048,
                       "heads": 12, "kv_heads": 4, "vocab": 100352, "tied": True, "taps": 4, "d_inner": 1536,
                       "d_state": 128, "ssm_heads": 48, "groups": 1},
    "30x16": {"layers": 30, "d": 1024, "ffn": 2048, "heads": 16, "kv_heads": 4, "vocab": 8192, "tied": True},
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
    """Keys and values; type 8 is a string, 4 a uint32, 5 an int32, 6 a float32, 7 a bool, 9 an array."""
    family = shape.get("family", "llama")
    integers = {
        "block_count": shape["layers"],
        "context_length": CONTEXT,
        "embedding_length": shape["d"],
        "feed_forward_length": shape["ffn"],
        "attention.head_count": shape["heads"],
        "vocab_size": shape["vocab"],
    }
    floats = {"attention.layer_norm_rms_epsilon": 1e-5, "rope.freq_base": 500000.0}
    if family == "llama":
        integers["attention.head_count_kv"] = shape["kv_heads"]
    if family == "lfm2":
        integers["shortconv.l_cache"] = shape["taps"]
    if family == "granitehybrid":
        integers |= {"ssm.conv_kernel": shape["taps"], "ssm.inner_size": shape["d_inner"],
                     "ssm.state_size": shape["d_state"], "ssm.time_step_rank": shape["ssm_heads"],
                     "ssm.group_count": shape["groups"]}
        floats |= {"embedding_scale": 12.0, "residual_scale": 0.22, "attention.scale": 0.015625, "logit_scale": 6.0}
    entries = [text("general.architecture") + struct.pack("<I", 8) + text(family)]
    entries += [text(f"{family}.{key}") + struct.pack("<II", 4, value) for key, value in integers.items()]
    entries += [text(f"{family}.{key}") + struct.pack("<If", 6, value) for key, value in floats.items()]
    if family == "granitehybrid":
        entries.append(text("granitehybrid.rope.scaling.finetuned") + struct.pack("<I?", 7, False))
    if family != "llama":  # 0 where a layer has no attention
        counts = [shape["kv_heads"] if layer in shape["attention"] else 0 for layer in range(shape["layers"])]
        entries.append(text(f"{family}.attention.head_count_kv") +
                       struct.pack(f"<IIQ{len(counts)}i", 9, 5, len(counts), *counts))
    return entries


def attention(name, shape, dtype):
    d, width = shape["d"], shape["d"] // shape["heads"]
    kv = width * shape["kv_heads"]
    yield name + "attn_q.weight", d, d, dtype
    yield name + "attn_k.weight", kv, d, dtype
    yield name + "attn_v.weight", kv, d, dtype
    yield name + "attn_output.weight", d, d, dtype
    if shape.get("family") == "lfm2":
        yield name + "attn_q_norm.weight", None, width, F32
        yield name + "attn_k_norm.weight", None, width, F32


def short_convolution(name, shape, dtype):
    d = shape["d"]
    yield name + "shortconv.in_proj.weight", 3 * d, d, dtype
    yield name + "shortconv.conv.weight", d, shape["taps"], F32
    yield name + "shortconv.out_proj.weight", d, d, dtype


def mamba2(name, shape, dtype):
    d_inner, heads = shape["d_inner"], shape["ssm_heads"]
    channels = d_inner + 2 * shape["groups"] * shape["d_state"]
    yield name + "ssm_in.weight", d_inner + channels + heads, shape["d"], dtype
    yield name + "ssm_conv1d.weight", channels, shape["taps"], F32
    yield name + "ssm_conv1d.bias", None, channels, F32
    yield name + "ssm_dt.bias", None, heads, F32
    yield name + "ssm_a", heads, 1, F32
    yield name + "ssm_d", heads, 1, F32
    yield name + "ssm_norm.weight", shape["groups"], d_inner // shape["groups"], F32
    yield name + "ssm_out.weight", shape["d"], d_inner, dtype


def tensors(shape, dtype):
    """(name, rows, columns, dtype) in the order of the file; rows of None: a vector."""
    d, ffn, family = shape["d"], shape["ffn"], shape.get("family", "llama")
    mixers = {"lfm2": short_convolution, "granitehybrid": mamba2}
    yield "token_embd.weight", shape["vocab"], d, dtype
    for layer in range(shape["layers"]):
        name = f"blk.{layer}."
        yield name + "attn_norm.weight", None, d, F32
        mixer = attention if family == "llama" or layer in shape["attention"] else mixers[family]
        yield from mixer(name, shape, dtype)
        yield name + "ffn_norm.weight", None, d, F32
        yield name + "ffn_gate.weight", ffn, d, dtype
        yield name + "ffn_up.weight", ffn, d, dtype
        yield name + "ffn_down.weight", d, ffn, dtype
    yield "token_embd_norm.weight" if family == "lfm2" else "output_norm.weight", None, d, F32
    if not shape["tied"]:
        yield "output.weight", shape["vocab"], d, dtype


def dense_twin(shape):
    """Layers of attention and feed-forward alone, with the feed-forwards as wide as makes the same number of weights."""
    def weights(of):
        return sum((rows or 1) * columns for _, rows, columns, _ in tensors(of, BF16))
    twin = {key: shape[key] for key in ("layers", "d", "heads", "kv_heads", "vocab", "tied")} | {"ffn": 0}
    width = (weights(shape) - weights(twin)) / (3 * twin["d"] * twin["layers"])
    return twin | {"ffn": round(width / 256) * 256}


def n_bytes(rows, columns, dtype):
    return (rows or 1) * columns // dtype[1] * dtype[2]


def small_numbers(name, n):
    """What is stored as F32: decays between -16 and -1, random taps and time steps, ones for norms and skips."""
    source = random.Random(name)
    if name.endswith("ssm_a"):
        values = [-source.uniform(1.0, 16.0) for _ in range(n)]
    elif name.endswith("ssm_dt.bias"):
        values = [source.uniform(-6.0, -2.0) for _ in range(n)]
    elif "conv" in name:
        values = [source.uniform(-0.5, 0.5) for _ in range(n)]
    else:
        values = [1.0] * n
    return struct.pack(f"<{n}f", *values)


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
        for name, rows, columns, kind in listed:
            size = n_bytes(rows, columns, kind)
            if kind is F32:
                file.write(small_numbers(name, (rows or 1) * columns))
            else:
                write_random(file, stretch, size, starts.randrange(STRETCH_BLOCKS) * kind[2])
            file.write(bytes(padding(size)))


def main():
    shapes = SHAPES | {f"{name}-dense": dense_twin(shape) for name, shape in SHAPES.items() if "family" in shape}
    if len(sys.argv) != 4 or sys.argv[1] not in shapes or sys.argv[2] not in DTYPES:
        sys.exit(__doc__.strip())
    write(sys.argv[3], shapes[sys.argv[1]], DTYPES[sys.argv[2]])


if __name__ == "__main__":
    main()
