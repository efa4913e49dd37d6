"""Writes seeds for fuzz_tokenizer: make_corpus.py FOLDER. Small vocabularies, whole and damaged, and texts."""

import os
import struct
import sys

import texts
from gguf_vocab import ARRAY, FLOAT32, INT32, STRING, UINT32, build

BPE = ["h", "e", "l", "o", "Ġ", "he", "ll", "hell", "hello", "Ã", "<|x|>", "<u>"]
SPM = ["<unk>", "<s>", "</s>", "<0x0A>", "▁", "h", "i", "hi", "▁hi", "▁▁"]


def bpe(pre, merges, **more):
    return [
        ("tokenizer.ggml.model", STRING, "gpt2"),
        ("tokenizer.ggml.pre", STRING, pre),
        ("tokenizer.ggml.tokens", (ARRAY, STRING), BPE),
        ("tokenizer.ggml.token_type", (ARRAY, INT32), more.get("types", [1] * 10 + [3, 4])),
        ("tokenizer.ggml.merges", (ARRAY, STRING), merges),
        ("tokenizer.ggml.eos_token_id", UINT32, more.get("eos", 10)),
    ]


def spm(scores, types):
    return [
        ("tokenizer.ggml.model", STRING, "llama"),
        ("tokenizer.ggml.tokens", (ARRAY, STRING), SPM),
        ("tokenizer.ggml.scores", (ARRAY, FLOAT32), scores),
        ("tokenizer.ggml.token_type", (ARRAY, INT32), types),
    ]


MERGES = ["h e", "l l", "he ll", "hell o"]
SPM_TYPES = [2, 3, 3, 6, 1, 1, 1, 1, 1, 1]
FILES = [bpe(pre, MERGES) for pre in ("gpt-2", "default", "llama-bpe", "smollm", "qwen2", "none")]
FILES += [bpe("gpt-2", m) for m in ([], ["h"], [" h"], ["h "], ["h unknown"], ["h e"] * 3)]
FILES += [bpe("gpt-2", MERGES, eos=12), bpe("gpt-2", MERGES, types=[1]), bpe("gpt-2", MERGES, types=[-7] * 12)]
FILES += [spm([-float(i) for i in range(10)], SPM_TYPES), spm([float("nan")] * 10, SPM_TYPES), spm([0.0], SPM_TYPES), spm([0.0] * 10, [9] * 10)]

os.makedirs(sys.argv[1], exist_ok=True)
for i, entries in enumerate(FILES):
    image = build(entries)
    with open(os.path.join(sys.argv[1], "file%d" % i), "wb") as file:
        file.write(b"\xff" + struct.pack("<H", len(image)) + image + "hello <|x|> hi\n<u> ▁ é".encode("utf-8"))
for i, data in enumerate([t.encode("utf-8") for t in texts.texts(3, 40, [], False)] + texts.broken(3, 20)):
    with open(os.path.join(sys.argv[1], "text%d" % i), "wb") as file:
        file.write(bytes([i % 4]) + data[:2000])
