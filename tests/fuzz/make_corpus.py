"""Makes the seeds of tests/fuzz/corpus: small sound files of every kind, for the fuzzers to start from.

    python tests/fuzz/make_corpus.py        (needs gguf and numpy; goldens and tiny models must be there)

Files that a fuzzer found (crash-*, found-*) stay.
"""

import json
import pathlib
import sqlite3
import struct

import gguf
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CORPUS = ROOT / "tests" / "fuzz" / "corpus"


def write(kind, name, data):
    folder = CORPUS / kind
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def byte_alphabet():
    """GPT-2's spelling of the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]


def vocabulary(kind):
    """(tokens, types, scores, merges) of a tiny vocabulary of that tokenizer.ggml.model."""
    normal, unknown, control, byte = 1, 2, 3, 6
    if kind in ("llama", "t5", "gemma4"):
        tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + list("▁helowrd") + ["▁he", "ll", "▁hell"]
        types = [unknown, control, control] + [byte] * 256 + [normal] * 11
        return tokens, types, [0.0] * 259 + [-float(i) for i in range(11)], ["▁ h", "▁h e", "l l"]
    if kind == "rwkv":
        tokens = ["<s>"] + [f"\\x{b:02x}" for b in range(256)] + ["he", "hell", "wor"]
        return tokens, [control] + [normal] * 259, None, None
    tokens = byte_alphabet() + ["he", "ll", "hell", "Ġw", "<|im_end|>"]
    return tokens, [normal] * 260 + [control], None, ["h e", "l l", "he ll", "Ġ w"]


def make_gguf(path, model, pre=None, weights=True, arch="llama"):
    writer = gguf.GGUFWriter(path, arch)
    rng = np.random.default_rng(1)
    d, heads, ffn, n_layers = 8, 2, 12, 1
    writer.add_context_length(64)
    writer.add_embedding_length(d)
    writer.add_block_count(n_layers)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    if arch == "gemma3":
        writer.add_key_length(4)
        writer.add_value_length(4)
        writer.add_sliding_window(8)
    writer.add_array("test.numbers", [1, 2, 3])
    tokens, types, scores, merges = vocabulary(model)
    writer.add_tokenizer_model(model)
    if pre:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if scores:
        writer.add_token_scores(scores)
    if merges:
        writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{% for m in messages %}<|im_start|>{{ m['role'] }}{% endfor %}")
    if weights:
        def add(name, *shape):
            writer.add_tensor(name, rng.standard_normal(shape).astype(np.float32))
        add("token_embd.weight", len(tokens), d)
        add("output_norm.weight", d)
        for name, rows, cols in [("attn_q", d, d), ("attn_k", 4, d), ("attn_v", 4, d), ("attn_output", d, d),
                                 ("ffn_gate", ffn, d), ("ffn_up", ffn, d), ("ffn_down", d, ffn)]:
            add(f"blk.0.{name}.weight", rows, cols)
        norms = {"attn_norm": d, "ffn_norm": d}
        if arch == "gemma3":
            norms |= {"post_attention_norm": d, "post_ffw_norm": d, "attn_q_norm": 4, "attn_k_norm": 4}
        for name, n in norms.items():
            add(f"blk.0.{name}.weight", n)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    if weights:
        writer.write_tensors_to_file()
    writer.close()


def gguf_seeds():
    folder = CORPUS / "gguf"
    folder.mkdir(parents=True, exist_ok=True)
    for name, model, pre, weights, arch in [
            ("llama-bpe.gguf", "gpt2", "llama-bpe", True, "llama"), ("default.gguf", "gpt2", None, False, "llama"),
            ("qwen2.gguf", "gpt2", "qwen2", False, "qwen2"), ("spm.gguf", "llama", None, True, "llama"),
            ("gemma3.gguf", "llama", None, True, "gemma3"), ("ugm.gguf", "t5", None, False, "llama"),
            ("rwkv.gguf", "rwkv", None, False, "rwkv7"), ("gemma4.gguf", "gemma4", None, False, "gemma3")]:
        make_gguf(folder / name, model, pre, weights, arch)


def folder_seeds():
    for config in sorted((ROOT / "assets" / "models").glob("*/config.json")):
        write("config", config.parent.name + ".json", config.read_bytes())
    write("config", "scaled.json", json.dumps({"model_type": "llama", "rope_scaling": {
        "type": "longrope", "short_factor": [1, 2], "long_factor": [3.5, 4], "factor": 4}, "hidden_size": 24}))
    sound = (ROOT / "assets" / "models" / "tiny-llama-e" / "model.safetensors").read_bytes()
    n = struct.unpack("<Q", sound[:8])[0]
    write("safetensors", "sound", sound)
    write("safetensors", "no-data", sound[:8 + n])
    for name, header in [("empty", {}), ("one", {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}),
                         ("types", {t: {"dtype": t, "shape": [], "data_offsets": [0, 0]} for t in
                                    ("F8_E4M3", "BF16", "I64", "BOOL")}), ("meta", {"__metadata__": {"format": "pt"}})]:
        text = json.dumps(header).encode()
        write("safetensors", name, struct.pack("<Q", len(text)) + text + bytes(16))


def tokenizer_seeds():
    vocab = {t: i for i, t in enumerate(["<unk>", "<s>", "</s>", "h", "e", "l", "o", "▁", "Ġ", "he", "ll", "<0x0A>"])}
    bpe = {"type": "BPE", "vocab": vocab, "merges": ["h e", ["l", "l"]], "unk_token": "<unk>", "byte_fallback": True,
           "fuse_unk": True}
    unigram = {"type": "Unigram", "unk_id": 0, "vocab": [[t, -float(i)] for t, i in vocab.items()], "byte_fallback": True}
    added = [{"id": 1, "content": "<s>", "special": True, "lstrip": True, "rstrip": False, "single_word": False,
              "normalized": False}]
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
    split = {"type": "Split", "pattern": {"Regex": "\\p{L}+|\\s+(?!\\S)|."}, "behavior": "Isolated", "invert": False}
    cases = {
        "bytelevel": dict(model=bpe, pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True, "use_regex": True},
                          decoder={"type": "ByteLevel"}, post_processor={"type": "ByteLevel"}),
        "split": dict(model=bpe, normalizer={"type": "NFC"}, pre_tokenizer={"type": "Sequence", "pretokenizers": [
            split, {"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "use_regex": False}]},
            post_processor={"type": "Sequence", "processors": [template]}, decoder={"type": "ByteLevel"}),
        "spm": dict(model=bpe, normalizer={"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
            decoder={"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
                {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}),
        "unigram": dict(model=unigram, normalizer={"type": "NFKC"}, pre_tokenizer={
            "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True},
            decoder={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}),
        "bert": dict(model={"type": "WordPiece", "vocab": vocab, "unk_token": "<unk>", "continuing_subword_prefix": "##",
                            "max_input_chars_per_word": 100}, normalizer={"type": "BertNormalizer", "lowercase": True,
                            "clean_text": True, "handle_chinese_chars": True, "strip_accents": None},
                     pre_tokenizer={"type": "BertPreTokenizer"}, decoder={"type": "WordPiece", "prefix": "##",
                                                                          "cleanup": True},
                     post_processor={"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]}),
        "wordlevel": dict(model={"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
                          pre_tokenizer={"type": "Sequence", "pretokenizers": [
                              {"type": "Whitespace"}, {"type": "Punctuation", "behavior": "Isolated"},
                              {"type": "CharDelimiterSplit", "delimiter": "-"}, {"type": "WhitespaceSplit"}]}),
    }
    for name, parts in cases.items():
        whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
                 "pre_tokenizer": None, "post_processor": None, "decoder": None} | parts
        write("tokenizer_json", name + ".json", json.dumps(whole, ensure_ascii=False))


def template_seeds():
    write("chat_template", "chatml", "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + "
          "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}"
          "{{ '<|im_start|>assistant\\n' }}{% endif %}")
    write("chat_template", "loops", "{%- set ns = namespace(n=0) -%}{%- for m in messages if m.role != 'system' -%}"
          "{%- set ns.n = ns.n + 1 -%}{{ loop.index0 ~ m.content | trim | upper }}{% else %}none{%- endfor -%}")
    write("chat_template", "macro", "{% macro show(m, end='</s>') -%}[INST] {{ m['content'][1:-1:2] }}{{ end }}{%- endmacro %}"
          "{{ bos_token }}{% for m in messages %}{{ show(m) }}{% endfor %}{# comment #}")
    write("chat_template", "tests", "{% if messages[0]['role'] == 'system' and messages | length > 1 %}"
          "{% set system = messages[0].content %}{% set messages = messages[1:] %}{% elif tools is defined %}"
          "{{ tools | tojson(indent=4) }}{% endif %}{{ raise_exception('no ' + (1 + 2 * 3) | string) if not messages }}"
          "{{ strftime_now('%d %b %Y') }}{{ {'a': [1, 2.5, none, true]}['a'][-1] in [true] }}")
    write("chat_template", "blocks", "{% raw %}{{ not read }}{% endraw %}{%- generation -%}{{ 'x' * 3 }}{%- endgeneration -%}"
          "{% filter upper %}a{% endfilter %}{{ messages | map(attribute='role') | join(', ') }}"
          "{{ messages | selectattr('role', 'equalto', 'user') | list }}{{ 'a,b'.split(',')[0].strip() }}")


def session_seeds():
    path = ROOT / "assets" / "sessions" / "schema1.orrery"
    write("session", "whole", b"F" + path.read_bytes())
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    db.text_factory = bytes
    rows = {"s": "SELECT settings FROM run", "q": "SELECT prompt FROM run", "e": "SELECT edits FROM run",
            "l": "SELECT level FROM run", "m": "SELECT config FROM model", "y": "SELECT layers FROM model",
            "g": "SELECT segment FROM token"}
    for letter, sql in rows.items():
        write("session", "column-" + letter, letter.encode() + db.execute(sql).fetchone()[0])
    for letter, sql in {"c": "SELECT rowid, codec FROM chunk", "p": "SELECT rowid, probe FROM chunk",
                        "d": "SELECT rowid, data FROM chunk"}.items():
        for rowid, value in db.execute(sql + " WHERE rowid IN (1, 2, 13, 23)").fetchall():
            write("session", f"chunk-{letter}{rowid}", letter.encode() + bytes([rowid - 1]) + value)
    write("session", "chunk-r1", b"r" + bytes([0]) + struct.pack("<qq", 0, 20))
    for letter in "tvan":
        write("session", "numbers-" + letter, letter.encode() + struct.pack("<qq", 3, 9) + b"text")


def main():
    gguf_seeds()
    folder_seeds()
    tokenizer_seeds()
    template_seeds()
    session_seeds()
    for kind in sorted(CORPUS.iterdir()):
        files = list(kind.iterdir())
        print(kind.name, len(files), "files,", sum(f.stat().st_size for f in files), "bytes")


if __name__ == "__main__":
    main()
