"""Random blocks of every quantized type and what gguf's Python reference makes of them."""

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

# Where a block keeps its half floats. Every other byte may be anything.
HALF_FLOATS = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "IQ4_NL": [0], "MXFP4": [],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_XS": [0],
}
# The least, a negative subnormal one, the greatest, minus zero: the scales of the first blocks.
ODD_HALVES = [0x0001, 0x83FF, 0x7BFF, 0x8000]
ODD_EXPONENTS = [0, 1, 2, 254, 255]  # of MXFP4, whose scale is the first byte


def random_blocks(name, n_rows, n_blocks, rng):
    """[n_rows, n_blocks * bytes] of random bytes whose half floats are finite."""
    block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[name]][1]
    blocks = rng.integers(0, 256, (n_rows * n_blocks, block_bytes), dtype=np.uint8)
    blocks[4], blocks[5] = 0xFF, 0x00
    for at in HALF_FLOATS[name]:
        sign_and_fraction = rng.integers(0, 1 << 16, len(blocks)) & 0x83FF
        halves = (sign_and_fraction | rng.integers(0, 31, len(blocks)) << 10).astype("<u2")
        halves[:len(ODD_HALVES)] = ODD_HALVES
        blocks[:, at:at + 2] = halves.view(np.uint8).reshape(-1, 2)
    if name == "MXFP4":
        blocks[:len(ODD_EXPONENTS), 0] = ODD_EXPONENTS
    return blocks.reshape(n_rows, -1)


def make(assets):
    folder = assets / "goldens" / "quants"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(4)
    for name in HALF_FLOATS:
        block_size = GGML_QUANT_SIZES[GGMLQuantizationType[name]][0]
        blocks = random_blocks(name, 3, 3 if block_size == 256 else 7, rng)
        with np.errstate(over="ignore"):  # MXFP4's greatest scales times 12
            values = dequantize(blocks, GGMLQuantizationType[name])
        assert values.dtype == np.float32 and not np.isnan(values).any()
        np.save(folder / f"{name}.blocks.npy", blocks)
        np.save(folder / f"{name}.values.npy", values)
