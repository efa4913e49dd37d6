"""Compares tokenizer_cli with the Hugging Face tokenizers library, id for id, and measures both.

    compare.py CACHE TOKENIZER_CLI [--model SMOLLM2.gguf] [--count N] [--seed N] [--no-speed]

CACHE is the folder that setup filled. Exit status: 0 equal and faster, 1 not, 77 something is missing.
"""

import argparse
import json
import os
import struct
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

try:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
except ImportError:
    print("skipped: the Python package tokenizers is not installed")
    sys.exit(77)

import gguf_vocab
import texts

N_BROKEN = 2000
SPEED_BYTES = 4 << 20
SPEED_ROUNDS = 7


class Cli:
    def __init__(self, program, mode, model):
        self.mode = mode
        self.process = subprocess.Popen([os.path.abspath(program), mode, model], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def read(self, n):
        data = self.process.stdout.read(n)
        if len(data) != n:
            raise RuntimeError("tokenizer_cli %s stopped" % self.mode)
        return data

    def send(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def encode(self, data):
        self.send(struct.pack("<I", len(data)) + data)
        (n,) = struct.unpack("<I", self.read(4))
        return list(struct.unpack("<%di" % n, self.read(4 * n)))

    def time(self, data):
        self.send(struct.pack("<I", len(data)) + data)
        return struct.unpack("<IQ", self.read(12))

    def decode(self, ids):
        self.send(struct.pack("<I%di" % len(ids), len(ids), *ids))
        (n,) = struct.unpack("<I", self.read(4))
        return self.read(n).decode("utf-8")

    def close(self):
        self.process.stdin.close()
        return self.process.wait()


def from_package(cache, name, pre, special_ids):
    """A tokenizer.json of a package, and a vocabulary-only GGUF of it."""
    path = os.path.join(cache, name, "tokenizer.json")
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    gguf = os.path.join(cache, name + ".gguf")
    with open(gguf, "wb") as file:
        file.write(gguf_vocab.build(gguf_vocab.from_tokenizer_json(data, pre, special_ids)))
    return Tokenizer.from_file(path), gguf


def byte_level_from_gguf(path, pre_tokenizer, pre=None, out=None):
    """The Hugging Face tokenizer of a byte-level GGUF's own tokens and merges."""
    meta = gguf_vocab.read_metadata(path)
    tokens, types = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    merges = [tuple(m.split(" ")) for m in meta["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t, k in zip(tokens, types) if k == 3])
    if pre is not None:
        entries = [
            ("tokenizer.ggml.model", gguf_vocab.STRING, "gpt2"),
            ("tokenizer.ggml.pre", gguf_vocab.STRING, pre),
            ("tokenizer.ggml.tokens", (gguf_vocab.ARRAY, gguf_vocab.STRING), tokens),
            ("tokenizer.ggml.token_type", (gguf_vocab.ARRAY, gguf_vocab.INT32), types),
            ("tokenizer.ggml.merges", (gguf_vocab.ARRAY, gguf_vocab.STRING), meta["tokenizer.ggml.merges"]),
        ]
        with open(out, "wb") as file:
            file.write(gguf_vocab.build(entries))
        path = out
    return tokenizer, path


def smollm_steps():
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )


def default_steps():
    from tokenizers import Regex

    words = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
    steps = [r"[\p{P}\$\+<=>\^~\|]+", words, r"\p{N}+", r"[0-9][0-9][0-9]"]
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(step), "isolated") for step in steps]
        + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


def show(name, what, text, ours, theirs):
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    print("%s: %s differs at token %d of %r" % (name, what, at, text[:300]))
    print("  hornito  %s" % ours[max(0, at - 3) : at + 5])
    print("  expected %s" % theirs[max(0, at - 3) : at + 5])


def compare(name, tokenizer, gguf, program, count, seed, nfc):
    """Returns the number of strings that are equal in ids; -1 after a difference."""
    specials = [t.content for t in tokenizer.get_added_tokens_decoder().values()]
    strings = texts.texts(seed, count, specials, nfc)
    plain, special, decoder = (Cli(program, mode, gguf) for mode in ("encode", "encode-special", "decode"))
    bad = 0
    for parse, cli in ((False, plain), (True, special)):
        tokenizer.encode_special_tokens = not parse
        for text in strings:
            theirs = tokenizer.encode(text, add_special_tokens=False).ids
            ours = cli.encode(text.encode("utf-8"))
            if ours != theirs:
                bad += 1
                if bad <= 5:
                    show(name, "special" if parse else "plain", text, ours, theirs)
    tokenizer.encode_special_tokens = True
    for data in texts.broken(seed, N_BROKEN):
        text = data.decode("utf-8", "replace")
        if nfc and any(texts.is_new_mark(c) for c in text):
            continue
        ours, theirs = plain.encode(data), tokenizer.encode(text, add_special_tokens=False).ids
        if ours != theirs:
            bad += 1
            show(name, "invalid UTF-8", repr(data), ours, theirs)
    for text in strings[: count // 4]:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        ours, theirs = decoder.decode(ids), tokenizer.decode(ids, skip_special_tokens=True)
        if ours != theirs:
            bad += 1
            if bad <= 5:
                show(name, "decoding", text, list(ours), list(theirs))
    for cli in (plain, special, decoder):
        if cli.close() != 0:
            bad += 1
    return len(strings) if bad == 0 else -1


def speed(tokenizer, gguf, program):
    """Medians of seconds for the same text, measured in turn: ours, theirs."""
    text = texts.mixed_text(1, SPEED_BYTES)
    data = text.encode("utf-8")
    tokenizer.encode_special_tokens = True
    cli = Cli(program, "time", gguf)
    ours, theirs = [], []
    for _ in range(SPEED_ROUNDS):
        _, nanoseconds = cli.time(data)
        ours.append(nanoseconds / 1e9)
        start = time.perf_counter()
        tokenizer.encode_batch_fast([text], add_special_tokens=False)
        theirs.append(time.perf_counter() - start)
    cli.close()
    return sorted(ours)[SPEED_ROUNDS // 2], sorted(theirs)[SPEED_ROUNDS // 2], len(data)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cache")
    parser.add_argument("cli")
    parser.add_argument("--model", default=os.environ.get("HORNITO_TEST_MODEL"))
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only")
    parser.add_argument("--no-speed", action="store_true")
    args = parser.parse_args()
    vocabularies = {
        "llama-3.1": lambda: from_package(args.cache, "llama3_1", "llama-bpe", {"bos": 128000, "eos": 128009}),
        "qwen2.5": lambda: from_package(args.cache, "qwen2_5", "qwen2", {"eos": 151645}),
        "llama-2": lambda: from_package(args.cache, "llama2", None, {"bos": 1, "eos": 2, "unknown": 0}),
    }
    if args.model:
        gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        vocabularies["smollm2"] = lambda: byte_level_from_gguf(args.model, smollm_steps())
        for pre, steps in (("gpt-2", gpt2), ("default", default_steps())):
            out = os.path.join(args.cache, pre + ".gguf")
            vocabularies["smollm2 with " + pre] = lambda s=steps, p=pre, o=out: byte_level_from_gguf(args.model, s, p, o)
    failed = skipped = False
    for name, load in vocabularies.items():
        if args.only and args.only != name:
            continue
        try:
            tokenizer, gguf = load()
        except FileNotFoundError as error:
            print("skipped: %s: %s is not there" % (name, error.filename))
            skipped = True
            continue
        equal = compare(name, tokenizer, gguf, args.cli, args.count, args.seed, name.startswith("qwen"))
        print("%s: %s" % (name, "%d strings equal" % equal if equal >= 0 else "DIFFERENT"), flush=True)
        failed = failed or equal < 0
        if not args.no_speed:
            ours, theirs, size = speed(tokenizer, gguf, args.cli)
            print("%s: %.1f MB/s, tokenizers %.1f MB/s, ratio %.2f" % (name, size / ours / 1e6, size / theirs / 1e6, theirs / ours), flush=True)
            failed = failed or ours >= theirs
    if not args.model:
        print("skipped: smollm2: no model file given (--model or HORNITO_TEST_MODEL)")
        skipped = True
    return 1 if failed else 77 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
