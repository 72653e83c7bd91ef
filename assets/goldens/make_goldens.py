"""Makes the tiny test models and the golden files of this folder. See README.md for what each file is.

    python assets/goldens/make_goldens.py llama
    python assets/goldens/make_goldens.py decoders
    python assets/goldens/make_goldens.py hybrids [--only NAME]
    python assets/goldens/make_goldens.py quants
    python assets/goldens/make_goldens.py rope
    python assets/goldens/make_goldens.py loops
    python assets/goldens/make_goldens.py tokenizer [--llama-python PYTHON] [--smollm2 MODEL.gguf]
    python assets/goldens/make_goldens.py families --llama-python PYTHON [--smollm2 MODEL.gguf] [--gemma3 MODEL.gguf]
    python assets/goldens/make_goldens.py smollm2 --llama-python PYTHON --smollm2 MODEL.gguf
    python assets/goldens/make_goldens.py gemma3 --llama-python PYTHON --gemma3 MODEL.gguf

Every part is deterministic: the same versions give the same bytes.
"""

import argparse
import pathlib
import platform
from importlib.metadata import version


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["llama", "decoders", "hybrids", "rope", "loops", "tokenizer", "families", "smollm2", "gemma3", "quants", "chat"])
    parser.add_argument("--assets", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    parser.add_argument("--llama-python", help="a Python that has llama_cpp (0.3.36 here)")
    parser.add_argument("--smollm2", type=pathlib.Path, help="SmolLM2-135M-Instruct, Q4_1, as GGUF")
    parser.add_argument("--gemma3", type=pathlib.Path, help="Gemma-3-270M, Q4_K_M, as GGUF")
    parser.add_argument("--only", help="hybrids whose names begin so")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    names = ["torch", "transformers", "tokenizers", "gguf", "safetensors", "numpy"]
    print("python", platform.python_version(), *(f"{n} {version(n)}" for n in names))
    import torch
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    if args.part == "llama":
        import llama_goldens
        llama_goldens.make(args.assets)
    if args.part == "decoders":
        import decoder_goldens
        decoder_goldens.make(args.assets)
    if args.part == "hybrids":
        import hybrid_goldens
        hybrid_goldens.make(args.assets, args.only)
    if args.part == "rope":
        import rope_goldens
        rope_goldens.make(args.assets)
    if args.part == "loops":
        import loop_goldens
        loop_goldens.make(args.assets)
    if args.part == "quants":
        import quant_goldens
        quant_goldens.make(args.assets)
    if args.part == "chat":
        import chat_goldens
        chat_goldens.make(args.assets)
    import tokenizer_goldens
    llama = tokenizer_goldens.LlamaCpp(args.llama_python) if args.llama_python else None
    if args.part == "smollm2":
        import smollm2_goldens
        smollm2_goldens.make(args.assets, llama, args.smollm2, args.threads)
    if args.part == "gemma3":
        import gemma3_goldens
        gemma3_goldens.make(args.assets, llama, args.gemma3, args.threads)
    if args.part == "families":
        import tokenizer_families
        models = {"smollm2": args.smollm2, "gemma3": args.gemma3}
        tokenizer_families.make(args.assets, tokenizer_goldens.LlamaCpp(args.llama_python, "llama_vocab_worker.py"),
                                {name: path for name, path in models.items() if path})
    if args.part == "tokenizer":
        tokenizer_goldens.make(args.assets, llama)
        import hf_tokenizer_goldens
        hf_tokenizer_goldens.make(args.assets)
        if args.smollm2:
            tokenizer_goldens.make_smollm2(args.assets, llama, args.smollm2)


if __name__ == "__main__":
    main()
