"""What llama.cpp's tokenizers say: one JSON request on stdin, one JSON line on stdout. Run by the Python that has llama_cpp."""

import ctypes
import json
import sys

import llama_cpp

from llama_cpp_worker import load, silence


def tokenize(vocab, data, special):
    room = 8 * len(data) + 16
    ids = (llama_cpp.llama_token * room)()
    n = llama_cpp.llama_tokenize(vocab, data, len(data), ids, room, special, special)
    assert n >= 0
    return list(ids[:n])


def piece(vocab, token):
    buffer = ctypes.create_string_buffer(4096)
    n = llama_cpp.llama_token_to_piece(vocab, token, buffer, 4096, 0, True)
    return buffer.raw[:max(n, 0)]


def main():
    silence()
    request = json.load(sys.stdin)
    vocab = llama_cpp.llama_model_get_vocab(load(request["model"], True))
    n_vocab = llama_cpp.llama_vocab_n_tokens(vocab)
    if request["op"] == "tokenize":
        answer = {"ids": [tokenize(vocab, bytes.fromhex(c["hex"]), c["special"]) for c in request["cases"]]}
    elif request["op"] == "pieces":
        answer = {"hex": [piece(vocab, t).hex() for t in range(n_vocab)]}
    elif request["op"] == "ends":
        answer = {"ids": [t for t in range(n_vocab) if llama_cpp.llama_vocab_is_eog(vocab, t)]}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
