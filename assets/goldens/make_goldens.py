"""Makes the tiny test models and the golden files of this folder. See README.md for what each file is.

    python assets/goldens/make_goldens.py llama

Every part is deterministic: the same versions give the same bytes.
"""

import argparse
import pathlib
import platform
from importlib.metadata import version


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["llama"])
    parser.add_argument("--assets", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    args = parser.parse_args()
    names = ["torch", "transformers", "tokenizers", "gguf", "safetensors", "numpy"]
    print("python", platform.python_version(), *(f"{n} {version(n)}" for n in names))
    import torch
    torch.manual_seed(0)
    torch.set_num_threads(1)
    if args.part == "llama":
        import llama_goldens
        llama_goldens.make(args.assets)


if __name__ == "__main__":
    main()
