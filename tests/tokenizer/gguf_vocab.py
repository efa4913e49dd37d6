"""Vocabulary-only GGUF files: metadata in, metadata out. No tensors. Format: the GGUF specification, version 3."""

import struct

UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


def pack_string(text):
    data = text if isinstance(text, bytes) else text.encode("utf-8")
    return struct.pack("<Q", len(data)) + data


def pack_value(kind, value):
    if kind == STRING:
        return pack_string(value)
    if isinstance(kind, tuple):  # (ARRAY, element kind)
        element = kind[1]
        head = struct.pack("<IQ", element, len(value))
        if element == STRING:
            return head + b"".join(pack_string(v) for v in value)
        return head + struct.pack("<%d%s" % (len(value), NUMBERS[element]), *value)
    return struct.pack("<" + NUMBERS[kind], value)


def build(entries):
    """The bytes of a file with the given (key, kind, value) entries."""
    out = [b"GGUF", struct.pack("<IQQ", 3, 0, len(entries))]
    for key, kind, value in entries:
        number = kind[0] if isinstance(kind, tuple) else kind
        out += [pack_string(key), struct.pack("<I", number), pack_value(kind, value)]
    data = b"".join(out)
    return data + bytes(-len(data) % 32)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, layout):
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return values

    def string(self):
        (n,) = self.take("Q")
        self.at += n
        return self.data[self.at - n : self.at].decode("utf-8")

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            element, n = self.take("IQ")
            if element in (STRING, ARRAY):
                return [self.value(element) for _ in range(n)]
            return list(self.take("%d%s" % (n, NUMBERS[element])))
        return self.take(NUMBERS[kind])[0]


def read_metadata(path):
    """All metadata of a file as a dictionary. Reads no more than its first 64 MiB."""
    with open(path, "rb") as file:
        reader = Reader(file.read(64 << 20))
    _, _, _, n = reader.take("4sIQQ")
    out = {}
    for _ in range(n):
        key = reader.string()
        (kind,) = reader.take("I")
        out[key] = reader.value(kind)
    return out


def merge_text(merge):
    return merge if isinstance(merge, str) else " ".join(merge)


def from_tokenizer_json(tokenizer, pre, special_ids):
    """Metadata entries for a tokenizer.json, with the keys that converters write. pre None: SentencePiece style."""
    model = tokenizer["model"]
    added = {t["id"]: t for t in tokenizer["added_tokens"]}
    n = max(max(model["vocab"].values()), max(added, default=0)) + 1
    tokens, types = ["[PAD%d]" % i for i in range(n)], [5] * n
    for text, i in model["vocab"].items():
        tokens[i], types[i] = text, 1
    for i, token in added.items():
        tokens[i], types[i] = token["content"], 3 if token["special"] else 4
    merges = [merge_text(m) for m in model["merges"]]
    entries = [("general.architecture", STRING, "llama")]
    if pre is None:
        scores = {}
        for rank, merge in enumerate(merges):
            scores.setdefault(merge.replace(" ", ""), -float(rank))
        for i, text in enumerate(tokens):
            if text == "<unk>":
                types[i] = 2
            elif len(text) == 6 and text.startswith("<0x"):
                types[i] = 6
        entries += [
            ("tokenizer.ggml.model", STRING, "llama"),
            ("tokenizer.ggml.pre", STRING, "default"),
            ("tokenizer.ggml.scores", (ARRAY, FLOAT32), [scores.get(t, -1e9) for t in tokens]),
        ]
    else:
        entries += [
            ("tokenizer.ggml.model", STRING, "gpt2"),
            ("tokenizer.ggml.pre", STRING, pre),
            ("tokenizer.ggml.merges", (ARRAY, STRING), merges),
        ]
    entries += [
        ("tokenizer.ggml.tokens", (ARRAY, STRING), tokens),
        ("tokenizer.ggml.token_type", (ARRAY, INT32), types),
    ]
    return entries + [("tokenizer.ggml.%s_token_id" % k, UINT32, v) for k, v in special_ids.items()]
