"""Strings that tokenizers get wrong. The same for the same seed."""

import random

WORDS = """the of and hello world I'm you're we'll they'd it's CAN'T Don'T 'S 'Ll 'tis rock'n'roll naïve café Straße ﬁne
ſpecial 'ſ 'S don’t über Ångström façade résumé señor İstanbul ıı ΑΒΓ αβγ Привет мир здравствуйте שלום مرحبا नमस्ते สวัสดี
안녕하세요 한국어 こんにちは 日本語 東京都 你好 世界 中文字符 ខ្មែរ ქართული Հայերեն ᚠᚢᚦ 𐍈 𝒜𝒷𝒸 𝟘𝟙 ①②③ Ⅷ ½ ¾ ١٢٣ १२३ ４５６ e.g. U.S.A.
http://example.com/a?b=c&d=e foo_bar fooBar FOO_BAR x1y2 3.14159 1,000,000 0xDEADBEEF 1e-10 12345678901234567890""".split()
CODE = [
    "int main(void) {\n\treturn 0;\n}\n", "def f(x):\n    if x:\n        return x**2\n\n\n", "for (;;) { i += 1; } // done",
    "<div class=\"a b\">&nbsp;</div>\r\n", "SELECT * FROM t WHERE a <> 'b';", "a->b[c] = *d++ ^ ~e;", "#include <stdio.h>\n",
    "```python\nprint('hi')\n```", "{\"key\": [1, 2.5, null]}", "x = [i for i in range(10)]", "\t\t\t\tif (a&&b||!c)\r\n\r\n", "$$\\alpha_{1}^{2}$$",
]
EMOJI = [
    "😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪🇫🇷", "1️⃣", "❤️‍🔥", "☃︎", "🫠", "🧑🏿‍🚀", "©️", "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
]
SPACES = [
    " ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", "\r", " \n", "\n ", "\u00a0", "\u2003", "\u3000", "\u200b", "\u180e", "\u2028", "\u0085",
    "\x0b", "\x0c", "\x1c", "\u1680", "\ufeff", "\u202f", "\u205f", " \t \n  ", "\u2581", "\u2581 ", " \u2581",
]
MARKS = ["\u0301", "\u0323", "\u0327", "\u0308", "\u0345", "\u05b0", "\u0651", "\u093c", "\u3099", "\u1161", "\u11a8", "\u20dd", "\u0334"]
BASES = ["a", "e", "o", "A", "ΐ", "ｶ", "か", "\u1100", "\uac00", "क", "ا", "\u1e69", "\u212b", "\u2126", "\ufb1d", "\u0958", "\ufa10", "\u0344", " ", "1", "q"]
PLANES = [
    (0x20, 0x7F), (0x80, 0x250), (0x250, 0x600), (0x600, 0x1100), (0x1100, 0x3400), (0x3400, 0xA000), (0xA000, 0xD800),
    (0xE000, 0x10000), (0x10000, 0x20000), (0x20000, 0x33480), (0xE0000, 0xE01F0), (0x1F000, 0x1FB00), (0, 0x110000), (0, 0x20),
]
# Marks and composed characters of Unicode 10 and later: the tables that tokenizers normalizes by are older than
# utf8proc's, so that the two put them into different orders.
NEW_MARKS = [
    (0x7FD, 0x7FD), (0x897, 0x897), (0x898, 0x89F), (0x8CA, 0x8D3), (0x9FE, 0x9FE), (0xC3C, 0xC3C),
    (0xCF3, 0xCF3), (0xD3B, 0xD3C), (0xEBA, 0xEBA), (0xECE, 0xECE), (0x1715, 0x1715), (0x1ABF, 0x1ACE),
    (0x1DF6, 0x1DFA), (0xA82C, 0xA82C), (0x105C9, 0x105E4), (0x10D24, 0x10D27), (0x10D69, 0x10D6D), (0x10EAB, 0x10EAC),
    (0x10EFC, 0x10EFF), (0x10F46, 0x10F50), (0x10F82, 0x10F85), (0x11070, 0x11070), (0x11241, 0x11241), (0x1133B, 0x1133B),
    (0x11383, 0x11391), (0x113B8, 0x113E2), (0x1145E, 0x1145E), (0x11839, 0x1183A), (0x11938, 0x11938), (0x1193D, 0x1193E),
    (0x11943, 0x11943), (0x119E0, 0x119E0), (0x11A34, 0x11A34), (0x11A47, 0x11A47), (0x11A99, 0x11A99), (0x11D42, 0x11D42),
    (0x11D44, 0x11D45), (0x11D97, 0x11D97), (0x11F00, 0x11F5A), (0x13440, 0x13455), (0x1611E, 0x1612F), (0x16D68, 0x16D6A),
    (0x16FF0, 0x16FF1), (0x1E08F, 0x1E08F), (0x1E130, 0x1E136), (0x1E2AE, 0x1E2AE), (0x1E2EC, 0x1E2EF), (0x1E4EC, 0x1E4EF),
    (0x1E5EE, 0x1E5EF),
]


def is_new_mark(c):
    return any(low <= ord(c) <= high for low, high in NEW_MARKS)


def character(rng):
    while True:
        low, high = rng.choice(PLANES)
        c = rng.randrange(low, high)
        if not 0xD800 <= c < 0xE000:
            return chr(c)


def part(rng, specials):
    kind = rng.randrange(14)
    if kind <= 3:
        return rng.choice(["", " "]) + rng.choice(WORDS)
    if kind == 4:
        return rng.choice(CODE)
    if kind == 5:
        return "".join(rng.choice(EMOJI) for _ in range(rng.randint(1, 3)))
    if kind == 6:
        return rng.choice(SPACES) * rng.choice([1, 1, 1, 2, 3, 5, 17, 40])
    if kind == 7:
        return rng.choice(BASES) + "".join(rng.choice(MARKS) for _ in range(rng.randint(0, 5)))
    if kind == 8:
        return "".join(rng.choice("0123456789") for _ in range(rng.randint(1, 12)))
    if kind == 9:
        return "".join(rng.choice("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") for _ in range(rng.randint(1, 6)))
    if kind == 10:
        return rng.choice(["'", "’"]) + rng.choice(["s", "T", "re", "VE", "m", "LL", "d", "x", "ſ"])
    if kind == 11 and specials:
        token = rng.choice(specials)
        return rng.choice([token, token, token[:-1], token[1:], token + token, " " + token + " "])
    if kind == 12:
        return rng.choice(["a", "ab", "the", "é", "中", "=", "-"]) * rng.randint(1, 120)
    return "".join(character(rng) for _ in range(rng.randint(1, 8)))


def texts(seed, n, specials, nfc):
    """n strings; specials: texts of special tokens to strew in; nfc: leave out what utf8proc may not know."""
    rng = random.Random(seed)
    out = ["", " ", "  ", "\n", "'", "a", "\u2581", "\x00", "\ufffd"]
    while len(out) < n:
        text = "".join(part(rng, specials) for _ in range(rng.choice([1, 2, 3, 5, 8, 20])))
        out.append("".join(c for c in text if not is_new_mark(c)) if nfc else text)
    return out


def broken(seed, n):
    """n byte strings that are mostly not UTF-8."""
    rng = random.Random(seed)
    fixed = [b"\xff", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\x80abc", b"a\xe2\x82b", b"\xf4\x90\x80\x80"]
    out = list(fixed)
    while len(out) < n:
        data = bytearray("".join(part(rng, []) for _ in range(rng.randint(1, 4))).encode("utf-8"))
        for _ in range(rng.randint(1, 4)):
            at = rng.randint(0, len(data))
            if rng.random() < 0.5:
                data[at:at] = rng.choice(fixed)
            else:
                del data[at : at + 1]
        out.append(bytes(data))
    return out


def mixed_text(seed, n_bytes):
    """Text as people and programs write it, for measuring: words of a few thousand, code, some other scripts."""
    rng = random.Random(seed)
    syllables = ["ta", "re", "lo", "mi", "shon", "ver", "ing", "ed", "pre", "con", "sti", "ble", "qua", "ther", "an", "u"]
    lexicon = ["".join(rng.choice(syllables) for _ in range(rng.randint(1, 4))) for _ in range(20000)]
    lexicon += WORDS * 20
    out, size = [], 0
    while size < n_bytes:
        r = rng.random()
        if r < 0.9:
            word = lexicon[min(int(rng.paretovariate(0.6)), len(lexicon)) - 1]
            text = word + rng.choice([" ", " ", " ", " ", " ", ", ", ". ", "\n"])
        elif r < 0.95:
            text = rng.choice(CODE)
        elif r < 0.98:
            text = str(rng.randrange(10 ** rng.randint(1, 9))) + " "
        else:
            text = rng.choice(EMOJI) + " "
        out.append(text)
        size += len(text.encode("utf-8"))
    return "".join(out)
