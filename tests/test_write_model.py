#!/usr/bin/env python3
"""test_write_model.py RUN DRIVERS DRIVER HORNITO WRITE_MODEL: the files of write_model are models of the shapes they are named after.

RUN is drivers/on. Exit 77 where the driver is not there.
"""
import array
import json
import math
import pathlib
import subprocess
import sys
import tempfile
import time

run, drivers, driver, hornito, write_model = sys.argv[1:]
work = tempfile.TemporaryDirectory()
folder = pathlib.Path(work.name)
failed = 0

MAX_INFO_SECONDS = 1
MAX_DISK = 16 << 20  # bytes; the vocabulary of an 8B model takes a third
TOKENS = "49135,1,300,5000,48000,7,7,7"
TEXT = "Hello wörld, 123 ab\n\tc"

# Of Llama-3.1-8B: the tensors' bytes and the layers with Q6_K in Q4_K_M, as its files have them.
TENSOR_BYTES = {"q4_0": 4653375744, "q4_k_m": 4912898304}
FINER_LAYERS = [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]


def check(ok, what):
    global failed
    if not ok:
        print("FAILED:", what)
        failed += 1


def call(*command, code=0):
    done = subprocess.run(list(map(str, command)), capture_output=True)
    if done.returncode == 77 and command[0] == "sh":
        print(done.stderr.decode().strip())
        sys.exit(77)
    check(done.returncode == code, f"{command}: exit code {done.returncode}, not {code}: {done.stderr[-300:]}")
    return done.stdout


def write(name, *options):
    path = folder / name
    call(write_model, *options, path)
    return path


def info(path):
    return json.loads(call(hornito, "info", "--json", path))


def types_of(described):
    return {t["name"]: t["type"] for t in described["tensors"]}


def check_8b(kind):
    path = write("header.gguf", "--shape", "llama-8b", "--type", kind, "--header-only")
    start = time.monotonic()
    i = info(path)
    seconds = time.monotonic() - start
    check(seconds < MAX_INFO_SECONDS, f"info took {seconds:.2f} s")
    stat = path.stat()
    check(stat.st_blocks * 512 < MAX_DISK, f"a header takes {stat.st_blocks * 512} bytes")
    check(sum(t["bytes"] for t in i["tensors"]) == TENSOR_BYTES[kind], f"{kind}: the tensors' bytes")
    last = i["tensors"][-1]
    check(stat.st_size == last["offset"] + last["bytes"] == i["file_bytes"], f"{kind}: the file's size")
    shape = {"n_vocab": 128256, "n_ctx_train": 131072, "n_embd": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "head_dim": 128,
             "n_ff": 14336, "rope_theta": 500000, "rope_scaling": "llama3", "tied_output": False, "pre_tokenizer": "llama-bpe",
             "supported": True}
    check({k: i[k] for k in shape} == shape, f"{kind}: {({k: i[k] for k in shape})}")
    types = types_of(i)
    own = "Q4_0" if kind == "q4_0" else "Q4_K"
    check(types["token_embd.weight"] == own and types["output.weight"] == "Q6_K", f"{kind}: the vocabulary's tensors")
    for part in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        finer = [n for n in range(32) if types[f"blk.{n}.{part}.weight"] == "Q6_K"]
        check(finer == (FINER_LAYERS if kind == "q4_k_m" and part in ("attn_v", "ffn_down") else []), f"{kind}: {part} is Q6_K in {finer}")
        check(all(types[f"blk.{n}.{part}.weight"] == own for n in range(32) if n not in finer), f"{kind}: {part}")
    path.unlink()


def logits(path, device):
    out = folder / "logits.f32"
    call("sh", run, drivers, driver, hornito, "eval", "-m", path, "--device", device, "--ctx", "64", "--tokens", TOKENS, "--logits", out)
    return out.read_bytes() if out.exists() else b""


def check_logits(path, n_layers):
    """The GPU's are those of the CPU, and they are as spread as a dot product of 1 / sqrt(n) weights with a normed vector."""
    cpu = logits(path, "cpu")
    check(cpu == logits(path, "0") and len(cpu) == 8 * 49152 * 4, f"{path.name}: logits of cpu and {driver}")
    numbers = array.array("f", cpu)
    check(all(map(math.isfinite, numbers)), f"{path.name}: logits are not finite")
    deviation = math.sqrt(sum(x * x for x in numbers) / len(numbers))
    check(0.3 < deviation < 3, f"{path.name}: the logits of {n_layers} layers have a deviation of {deviation}")
    check(len({cpu[i * 49152 * 4:(i + 1) * 49152 * 4] for i in range(8)}) == 8, f"{path.name}: logits of two positions are the same")


def check_smollm2(kind, n_layers, types):
    path = write(f"{kind}.gguf", "--shape", "smollm2", "--type", kind, "--layers", n_layers, "--ctx", 100)
    i = info(path)
    check((i["n_layers"], i["n_ctx_train"], i["n_vocab"]) == (n_layers, 100, 49152), f"{kind}: {i['n_layers']}, {i['n_ctx_train']}")
    check({t["type"] for t in i["tensors"]} == types, f"{kind}: types {({t['type'] for t in i['tensors']})}")
    check_logits(path, n_layers)
    return path


def check_text(path):
    """A text is made of bytes and pairs of them; a chat is answered, with the same text on both devices."""
    ids = call(hornito, "tokenize", "-m", path, "--ids", "--no-bos", TEXT).decode().strip().split(",")
    check(len(TEXT.encode()) // 2 < len(ids) < len(TEXT.encode()), f"{TEXT!r} is {ids}")
    i = info(path)
    check((i["bos_token"], i["eos_token"], i["chat_format"]) == (49152 - 17, 49152 - 15, "chatml"), f"special tokens: {i}")
    said = [call("sh", run, drivers, driver, hornito, "run", "-m", path, "--device", device, "-p", TEXT, "-n", 8, "--temp", 0)
            for device in ("cpu", "0")]
    check(said[0] == said[1] and len(said[0]) > 4, f"said {said}")


def check_options():
    tiny = write("tiny.gguf").read_bytes()
    check(tiny == write("again.gguf", "--seed", 1, "--shape", "tiny").read_bytes(), "the same seed gives another file")
    check(tiny != write("again.gguf", "--seed", 2).read_bytes(), "another seed gives the same file")
    types = types_of(info(folder / "tiny.gguf"))
    check(types["blk.0.attn_v.weight"] == "Q8_0" and types["token_embd.weight"] == "Q4_0" and len(types) == 20, f"tiny: {types}")
    out = folder / "out"
    for wrong in ([], [out, out], ["--shape", "big", out], ["--type", "q3", out], ["--layers", "0", out], ["--layers", "x", out],
                  ["--ctx", "-1", out], ["--what", "1", out], ["--seed"]):
        call(write_model, *wrong, code=2)
    check(not out.exists(), "wrong options leave a file")
    call(write_model, folder / "no" / "folder", code=1)


for kind in TENSOR_BYTES:
    check_8b(kind)
check_smollm2("q4_0", 2, {"F32", "Q4_0", "Q8_0"})
check_text(check_smollm2("q4_k_m", 2, {"F32", "Q4_K", "Q5_0", "Q6_K", "Q8_0"}))
check_options()
sys.exit(1 if failed else 0)
