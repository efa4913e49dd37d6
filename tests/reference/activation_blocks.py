#!/usr/bin/env python3
"""What rounding activations to int8 costs: a choice of block length, measured on real weights.

An independent forward pass of the llama architecture in numpy. "Truth" is the dequantized weights in float64.
Against it runs the arithmetic of hornito, simulated: every matrix input rounded to int8 in blocks of B along K, and
(unless --no-attn) the int8 attention: q int8 per 32, K int8 with an f16 scale per 32, V int8 with one f16 scale per
position and head, weights of 11 bits per 64 positions. Products are summed in float32, so this shows what rounding
loses, not the order of additions; bit-exact comparisons belong to the C reference.

  pip install numpy gguf
  activation_blocks.py MODEL.gguf TEXT                       the table
  activation_blocks.py MODEL.gguf TEXT --save PREFIX         also PREFIX_truth.bin and PREFIX_tokens.txt (see README.md)
  activation_blocks.py MODEL.gguf TEXT --logits A.f32 ...    also measures logits that a program computed for the first
                                                             tokens of the text
  activation_blocks.py MODEL.gguf TEXT --write-f32 OUT.gguf  the model with every tensor dequantized, nothing else
"""
import argparse
import re
import struct
import sys
import time

import gguf
import numpy as np

CTX = 512  # length of a window
HALF = CTX // 2  # perplexity is often measured over positions CTX/2 .. CTX-2 of a window
POSITIONS, TOP, SAMPLES = 500, 192, 64  # of the file that --save writes


# ---------------------------------------------------------------- model and tokens
class Model:
    def __init__(self, path):
        r = gguf.GGUFReader(path)
        self.field = lambda name: r.fields[name].contents()
        f = lambda name: self.field("llama." + name)
        assert self.field("general.architecture") == "llama"
        self.layers, self.dim = f("block_count"), f("embedding_length")
        self.heads, self.kv_heads = f("attention.head_count"), f("attention.head_count_kv")
        self.head_dim = self.dim // self.heads
        self.eps, self.theta = f("attention.layer_norm_rms_epsilon"), f("rope.freq_base")
        self.w = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32) for t in r.tensors}
        self.head = self.w.get("output.weight", self.w["token_embd.weight"])


def tokenize(m, text):
    """Byte-level BPE; the pattern is that of the "smollm" pre-tokenizer, right for ASCII only."""
    assert text.isascii() and m.field("tokenizer.ggml.pre") == "smollm"
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    chars, n = {b: chr(b) for b in printable}, 0
    for b in range(256):
        if b not in chars:
            chars[b], n = chr(256 + n), n + 1
    ids = {t: i for i, t in enumerate(m.field("tokenizer.ggml.tokens"))}
    rank = {tuple(s.split(" ")): i for i, s in enumerate(m.field("tokenizer.ggml.merges"))}
    words = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")
    out, cache = [], {}
    for piece in re.split(r"([0-9])", text):
        for word in [piece] if piece.isdigit() else words.findall(piece):
            if word not in cache:
                s = [chars[b] for b in word.encode()]
                while len(s) > 1:
                    best = min(range(len(s) - 1), key=lambda i: rank.get((s[i], s[i + 1]), 1 << 30))
                    if (s[best], s[best + 1]) not in rank:
                        break
                    s[best:best + 2] = [s[best] + s[best + 1]]
                cache[word] = [ids[x] for x in s]
            out += cache[word]
    return out


# ---------------------------------------------------------------- rounding
def int8_blocks(x, block):
    """x rounded to int8 in blocks of the last axis (the last one may be shorter): integers and scales, expanded."""
    q, d = np.empty_like(x), np.empty_like(x)
    for i in range(0, x.shape[-1], block):
        v = x[..., i:i + block]
        amax = np.abs(v).max(-1, keepdims=True)
        inverse = np.where(amax < 2.0**-60, 0, 127 / np.maximum(amax, 2.0**-60)).astype(x.dtype)
        q[..., i:i + block] = np.rint(v * inverse)
        d[..., i:i + block] = amax * (1 / 127)
    return q, d


def rounded(x, block, f16=False):
    q, d = int8_blocks(x, block)
    return q * (d.astype(np.float16).astype(x.dtype) if f16 else d)


# ---------------------------------------------------------------- forward
def rmsnorm(x, w, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + x.dtype.type(eps)) * w


def rope(x, theta):
    """x [T, heads, d]; GGUF files of this architecture hold wq and wk permuted, so that pairs are neighbours."""
    d = x.shape[-1]
    angle = np.arange(x.shape[0])[:, None] * theta ** (-np.arange(0, d, 2) / d)
    c, s = np.cos(angle)[:, None].astype(x.dtype), np.sin(angle)[:, None].astype(x.dtype)
    out = np.empty_like(x)
    out[..., 0::2] = x[..., 0::2] * c - x[..., 1::2] * s
    out[..., 1::2] = x[..., 0::2] * s + x[..., 1::2] * c
    return out


def attention_exact(q, k, v, scale):
    t = q.shape[1]
    s = q @ k.transpose(0, 2, 1) * scale
    s[:, np.triu(np.ones((t, t), bool), 1)] = -np.inf
    p = np.exp(s - s.max(-1, keepdims=True))
    return (p / p.sum(-1, keepdims=True)) @ v


def attention_rounded(q, k, v, scale):
    """Blocks of 64 positions, 11-bit weights, merged from left to right. Arguments [heads, T, d]."""
    t = q.shape[1]
    q, k = rounded(q, 32), rounded(k, 32, f16=True)
    vi, vd = int8_blocks(v, v.shape[-1])
    vd = vd[..., 0].astype(np.float16).astype(v.dtype)
    out = np.zeros_like(q)
    big_m, big_l = np.full(q.shape[:2], -np.inf, q.dtype), np.zeros(q.shape[:2], q.dtype)
    for b in range(0, t, 64):
        see = np.s_[:, b:]  # queries before b see nothing of this block
        e = min(b + 64, t)
        s = q[see] @ k[:, b:e].transpose(0, 2, 1) * scale
        s[:, np.arange(b, t)[:, None] < np.arange(b, e)[None, :]] = -np.inf
        m = s.max(-1)
        p = np.exp(s - m[..., None])
        l = p.sum(-1)
        p *= vd[:, None, b:e]
        a = p.max(-1)
        w = np.rint(p * (2047 / np.maximum(a, 2.0**-60))[..., None])
        o = (w @ vi[:, b:e]) * np.where(a < 2.0**-60, 0, a * (1 / 2047))[..., None].astype(q.dtype)
        new = np.maximum(big_m[see], m)
        old_f, new_f = np.exp(big_m[see] - new), np.exp(m - new)
        out[see] = out[see] * old_f[..., None] + o * new_f[..., None]
        big_l[see] = big_l[see] * old_f + l * new_f
        big_m[see] = new
    return out / big_l[..., None]


def forward(m, tokens, block=0, attn=False, dtype=np.float32):
    """Logits [T, vocab]. block 0: matrix inputs are not rounded."""
    w = lambda name: m.w[name].astype(dtype, copy=False)
    act = (lambda x: rounded(x, block)) if block else (lambda x: x)
    t, group = len(tokens), m.heads // m.kv_heads
    x = w("token_embd.weight")[tokens] if dtype == np.float32 else m.w["token_embd.weight"][tokens].astype(dtype)
    heads = lambda y, n: y.reshape(t, n, m.head_dim)
    for i in range(m.layers):
        p = f"blk.{i}."
        h = act(rmsnorm(x, w(p + "attn_norm.weight"), m.eps))
        q = rope(heads(h @ w(p + "attn_q.weight").T, m.heads), m.theta).transpose(1, 0, 2)
        k = rope(heads(h @ w(p + "attn_k.weight").T, m.kv_heads), m.theta).transpose(1, 0, 2).repeat(group, 0)
        v = heads(h @ w(p + "attn_v.weight").T, m.kv_heads).transpose(1, 0, 2).repeat(group, 0)
        o = (attention_rounded if attn else attention_exact)(q, k, v, dtype(m.head_dim**-0.5))
        x = x + act(o.transpose(1, 0, 2).reshape(t, m.dim)) @ w(p + "attn_output.weight").T
        h = act(rmsnorm(x, w(p + "ffn_norm.weight"), m.eps))
        g = h @ w(p + "ffn_gate.weight").T
        h = act(g / (1 + np.exp(-g)) * (h @ w(p + "ffn_up.weight").T))
        x = x + h @ w(p + "ffn_down.weight").T
    h = act(rmsnorm(x, w("output_norm.weight"), m.eps))
    return (h.astype(np.float32) @ m.head.T) if dtype == np.float32 else h @ m.head.astype(dtype).T


# ---------------------------------------------------------------- measures
def log_softmax(x):
    x = x.astype(np.float64)
    x -= x.max(-1, keepdims=True)
    x -= np.log(np.exp(x).sum(-1, keepdims=True))
    return x


class Tally:
    """KL(truth || other), agreement of the first choice and log-likelihood of the next token, per position."""

    def __init__(self):
        self.kl, self.same, self.nll = [], [], []

    def add(self, truth, other, following):
        """truth, other: log-probabilities [n, vocab]; following: the n tokens that come next."""
        self.kl.append((np.exp(truth) * (truth - other)).sum(-1))
        self.same.append(truth.argmax(-1) == other.argmax(-1))
        self.nll.append(-other[np.arange(len(following)), following])

    def row(self, pick=None):
        kl, same, nll = (np.concatenate(a) for a in (self.kl, self.same, self.nll))
        if pick is not None:
            kl, same, nll = kl[pick], same[pick], nll[pick]
        error = kl.std() / len(kl) ** 0.5
        return (f"{kl.mean():9.5f} {error:8.5f} {np.median(kl):9.5f} {np.quantile(kl, .99):8.4f} "
                f"{100 * same.mean():7.2f} {np.exp(nll.mean()):9.4f}")


HEADER = f"{'':30s} {'mean KL':>9s} {'+-':>8s} {'median':>9s} {'99 %':>8s} {'top-1 %':>7s} {'ppl':>9s}"


def read_logits(path, n_vocab):
    """Rows of f32 of the first tokens, as `hornito eval --logits` and peer_logits.c write them."""
    return np.fromfile(path, "<f4").reshape(-1, n_vocab)


# ---------------------------------------------------------------- files
def save_truth(prefix, tokens, logits):
    """Format: README.md. The tail is sampled systematically, in order of falling logit, in proportion to p."""
    lp = log_softmax(logits)
    with open(prefix + "_truth.bin", "wb") as f:
        f.write(b"HNTRUTH1" + struct.pack("<6I", POSITIONS, TOP, SAMPLES, logits.shape[1], 0, 0))
        for i in range(POSITIONS):
            order = np.argsort(-logits[i], kind="stable")
            p = np.exp(lp[i][order[TOP:]])
            edges = np.cumsum(p)
            at = (np.arange(SAMPLES) + 0.5) / SAMPLES * edges[-1]
            ids = np.concatenate([order[:TOP], order[TOP:][np.searchsorted(edges, at)]])
            f.write(struct.pack("<3f", logits[i][order[0]] - lp[i][order[0]], edges[-1], -lp[i][tokens[i + 1]]))
            f.write(logits[i][ids].astype("<f4").tobytes() + ids.astype("<u2").tobytes())
    with open(prefix + "_tokens.txt", "w") as f:
        f.write(",".join(map(str, tokens)) + "\n")


def estimate_kl(path, logits):
    """The mean KL as a test computes it from the file: README.md has the formula."""
    raw = open(path, "rb").read()
    n, top, samples = struct.unpack_from("<3I", raw, 8)
    lp, total, at = log_softmax(logits), [], 32
    for i in range(n):
        lse, tail, _ = struct.unpack_from("<3f", raw, at)
        z = np.frombuffer(raw, "<f4", top + samples, at + 12).astype(np.float64) - lse
        ids = np.frombuffer(raw, "<u2", top + samples, at + 12 + 4 * (top + samples))
        at += 12 + 6 * (top + samples)
        y = lp[i][ids]
        q_tail = 1 - np.exp(y[:top]).sum()
        coarse = (np.exp(z[:top]) * (z[:top] - y[:top])).sum() + tail * np.log(tail / q_tail)
        delta = z[top:] - y[top:] - np.log(tail / q_tail)
        total.append((coarse, tail * (np.exp(-delta) - 1 + delta).mean()))
    assert at == len(raw)
    return np.mean(total, 0)


def write_f32(source, out):
    r = gguf.GGUFReader(source)
    w = gguf.GGUFWriter(out, r.fields["general.architecture"].contents())
    for key, f in r.fields.items():
        if key.startswith("GGUF.") or key in ("general.architecture", "general.file_type"):
            continue
        sub = f.types[-1] if f.types[0] == gguf.GGUFValueType.ARRAY else None
        w.add_key_value(key, f.contents(), f.types[0], sub_type=sub)
    w.add_file_type(0)
    for t in r.tensors:
        w.add_tensor(t.name, gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("model")
    a.add_argument("text")
    a.add_argument("--windows", type=int, default=4)
    a.add_argument("--blocks", default="32,64,128,256")
    a.add_argument("--no-attn", action="store_true", help="leave out the rows with int8 attention")
    a.add_argument("--save", metavar="PREFIX")
    a.add_argument("--logits", nargs="*", default=[], metavar="FILE")
    a.add_argument("--write-f32", metavar="OUT")
    a = a.parse_args()
    if a.write_f32:
        return write_f32(a.model, a.write_f32)
    start = time.time()
    m = Model(a.model)
    tokens = tokenize(m, open(a.text).read())
    n = min(a.windows, len(tokens) // CTX)
    print(f"{len(tokens)} tokens, {n} windows of {CTX}", file=sys.stderr)
    windows = [np.array(tokens[i * CTX:(i + 1) * CTX]) for i in range(n)]

    cases = [(0, False)] + ([] if a.no_attn else [(0, True)])
    for b in map(int, filter(None, a.blocks.split(","))):
        cases += [(b, False)] + ([] if a.no_attn else [(b, True)])
    name = lambda c: f"{'int8 per ' + str(c[0]) if c[0] else 'f32 activations'}{', int8 attention' if c[1] else ''}"
    tallies = {c: Tally() for c in cases}
    peers = [(p, read_logits(p, len(m.w["token_embd.weight"]))[:POSITIONS], Tally()) for p in a.logits]
    truth_tally, notes = Tally(), []
    for wi, win in enumerate(windows):
        logits = forward(m, win, dtype=np.float64)
        truth = log_softmax(logits)[:-1]
        truth_tally.add(truth, truth, win[1:])
        if wi == 0 and a.save:
            save_truth(a.save, win, logits)
        for c in cases:
            sim = forward(m, win, *c)
            tallies[c].add(truth, log_softmax(sim)[:-1], win[1:])
            if wi == 0 and a.save:
                coarse, rest = estimate_kl(a.save + "_truth.bin", sim)
                exact = np.concatenate(tallies[c].kl)[:POSITIONS].mean()
                notes.append(f"{name(c):30s} {exact:9.6f} {coarse:9.6f} {coarse + rest:9.6f}")
            del sim
            print(f"{time.time() - start:6.0f} s  window {wi}  {name(c)}", file=sys.stderr)
        for _, rows, tally in peers if wi == 0 else []:
            tally.add(truth[:len(rows)], log_softmax(rows), win[1:len(rows) + 1])
        del truth, logits

    position = np.tile(np.arange(CTX - 1), n)
    for title, pick in ((f"positions {HALF} .. {CTX - 2} of {n} windows", position >= HALF),
                        (f"all {n * (CTX - 1)} positions", position >= 0),
                        (f"the first {POSITIONS} positions", np.arange(len(position)) < POSITIONS)):
        print(f"\n{title}\n{HEADER}\n{'truth (f64)':30s} {truth_tally.row(pick)}")
        for c in cases:
            print(f"{name(c):30s} {tallies[c].row(pick)}")
    if peers:
        print(f"\nlogits from files, against the same truth\n{HEADER}")
    for p, rows, tally in peers:
        print(f"{p.split('/')[-1]:30s} {tally.row()}   {len(rows)} positions")
    if notes:
        print(f"\nmean KL from the saved file\n{'':30s} {'exact':>9s} {'bound':>9s} {'estimate':>9s}", *notes, sep="\n")


if __name__ == "__main__":
    main()
