"""What llama.cpp says: one JSON request on stdin, one JSON line on stdout. Run by the Python that has llama_cpp."""

import ctypes
import json
import sys

import llama_cpp
import numpy as np


def silence():
    @llama_cpp.llama_log_callback
    def quiet(_level, _text, _user):
        return
    silence.keep = quiet
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))


def load(path, vocab_only=False):
    llama_cpp.llama_backend_init()
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = vocab_only
    params.n_gpu_layers = 0
    model = llama_cpp.llama_load_model_from_file(path.encode(), params)
    if not model:
        raise SystemExit(f"llama.cpp does not load {path}")
    return model


def tokenize(vocab, data, special):
    room = len(data) + 8
    ids = (llama_cpp.llama_token * room)()
    n = llama_cpp.llama_tokenize(vocab, data, len(data), ids, room, special, special)
    if n < 0:
        raise SystemExit(f"llama.cpp wants {-n} tokens for {data!r}")
    return list(ids[:n])


def piece(vocab, token):
    buffer = ctypes.create_string_buffer(256)
    n = llama_cpp.llama_token_to_piece(vocab, token, buffer, 256, 0, True)
    return buffer.raw[:max(n, 0)]


class Context:
    """One sequence on the CPU, every position's logits on request."""

    def __init__(self, model, n_ctx, kv, threads, n_batch):
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = params.n_ubatch = n_batch
        params.n_threads = params.n_threads_batch = threads
        params.type_k = params.type_v = {"f32": 0, "f16": 1}[kv]
        params.flash_attn_type = 0
        self.handle = llama_cpp.llama_init_from_model(model, params)
        self.n_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
        self.past = 0

    def eval(self, ids, every=False):
        batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0] = token, self.past + i, 1, 0
            batch.logits[i] = int(every or i + 1 == len(ids))
        if llama_cpp.llama_decode(self.handle, batch) != 0:
            raise SystemExit("llama_decode failed")
        llama_cpp.llama_batch_free(batch)
        self.past += len(ids)
        rows = range(len(ids)) if every else [len(ids) - 1]
        return np.stack([np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(self.handle, i), (self.n_vocab,)).copy()
                         for i in rows]).astype(np.float64)


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def greedy(model, vocab, request):
    out = []
    for prompt in request["prompts"]:
        ids = tokenize(vocab, prompt.encode(), True)
        room = max(512, len(ids) + request["n"])
        context = Context(model, room, request["kv"], request["threads"], room)
        logp = log_softmax(context.eval(ids)[-1])
        steps, generated = [], []
        for step in range(request["n"]):
            best = np.argsort(-logp, kind="stable")[:5]
            steps.append([[int(i), float(np.exp(logp[i]))] for i in best])
            generated.append(int(best[0]))
            if step + 1 < request["n"]:
                logp = log_softmax(context.eval([generated[-1]])[-1])
        out.append({"prompt": prompt, "prompt_ids": ids, "ids": generated, "top": steps,
                    "bytes_hex": b"".join(piece(vocab, t) for t in generated).hex()})
    return {"runs": out}


def score(model, request):
    """Of every row: the two likeliest tokens, and the nats of the one that follows. In batches of at most `rows`."""
    ids, rows = request["ids"], request["rows"]
    context = Context(model, len(ids), request["kv"], request["threads"], rows)
    top, nats = [], []
    for at in range(0, len(ids), rows):
        for i, logp in enumerate(log_softmax(context.eval(ids[at:at + rows], every=True)), at):
            best = np.argpartition(-logp, 2)[:2]
            top.append([[int(t), float(np.exp(logp[t]))] for t in sorted(best, key=lambda t: (-logp[t], t))])
            nats += [float(-logp[ids[i + 1]])] if i + 1 < len(ids) else []
    return {"top": top, "nats": nats}


def main():
    silence()
    request = json.load(sys.stdin)
    model = load(request["model"], request["op"] in ("tokenize", "pieces"))
    vocab = llama_cpp.llama_model_get_vocab(model)
    if request["op"] == "tokenize":
        answer = {"ids": [tokenize(vocab, bytes.fromhex(c["hex"]), c["special"]) for c in request["cases"]]}
    elif request["op"] == "pieces":
        answer = {"hex": [b"".join(piece(vocab, t) for t in ids).hex() for ids in request["lists"]]}
    elif request["op"] == "greedy":
        answer = greedy(model, vocab, request)
    elif request["op"] == "score":
        answer = score(model, request)
    elif request["op"] == "logits":
        ids = request["ids"]
        context = Context(model, len(ids), request["kv"], request["threads"], len(ids))
        np.save(request["out"], context.eval(ids, every=True).astype(np.float32))
        answer = {"version": llama_cpp.__version__}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
