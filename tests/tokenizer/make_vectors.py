"""Writes the vectors that test_tokenizer reads: make_vectors.py SMOLLM2.gguf > vectors

The ids come from the Hugging Face tokenizers library (requirements.txt), over the tokens and merges of the model file.
A line is p (plain) or s (special tokens parsed), the string's UTF-8 in hexadecimal or "-", and the ids.
"""

import sys

import tokenizers

import compare
import texts

N = 400
MAX_BYTES = 160

tokenizer, _ = compare.byte_level_from_gguf(sys.argv[1], compare.smollm_steps())
specials = [t.content for t in tokenizer.get_added_tokens_decoder().values()]
print("# Made by make_vectors.py with tokenizers %s from SmolLM2-135M-Instruct's vocabulary." % tokenizers.__version__)
strings = [t for t in texts.texts(7, 4 * N, specials, False) if len(t.encode("utf-8")) <= MAX_BYTES][:N]
for text in strings:
    found = {}
    for kind in "ps":
        tokenizer.encode_special_tokens = kind == "p"
        found[kind] = tokenizer.encode(text, add_special_tokens=False).ids
    for kind in "ps" if found["p"] != found["s"] else "p":
        print(kind, text.encode("utf-8").hex() or "-", *found[kind])
