#!/usr/bin/env python3
"""test_plan_command.py RUN DRIVERS HORNITO GPU_BENCH WRITE_MODEL: what `hornito plan` says of files with the shapes of Llama-3.1-8B, and
`gpu-bench --fits` without them.

The files are headers alone, and the devices are described by their size. RUN is drivers/on; what needs a device that is here is left out
where the driver is not there.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

run, drivers, hornito, gpu_bench, write_model = sys.argv[1:]
work = tempfile.TemporaryDirectory()
folder = pathlib.Path(work.name)
failed = 0

MIB = 1 << 20
GIB = 1 << 30
MAX_SECONDS = 0.3
MAX_WIDTH = 100
CARD = ["--device", "6GiB-discrete"]
HOST_NAMES = {"token_embd.weight", "staging", "self-test", "logits, read back", "tokens and rotation", "tokens"}
# Tokens wholly on the device in 5632 MiB, at least.
LONGEST = {("q4_0", "q8_0"): 21500, ("q4_0", "q4_0"): 39500, ("q4_k_m", "q8_0"): 17700, ("q4_k_m", "q4_0"): 32500}


def check(ok, what):
    global failed
    if not ok:
        print("FAILED:", what)
        failed += 1


def call(*arguments, code=0, before=(), env=None):
    done = subprocess.run([*before, hornito, "plan", *map(str, arguments)], capture_output=True, text=True, cwd=folder,
                          env={**os.environ, **(env or {})})
    if code is not None:
        check(done.returncode == code, f"{arguments}: exit code {done.returncode}, not {code}: {done.stderr[-300:]}")
    return done


def refused(*arguments, code, says, env=None):
    done = call(*arguments, code=code, env=env)
    check(done.stdout == "" and done.stderr.count("\n") == 1 and done.stderr.startswith("hornito: ") and says in done.stderr,
          f"{arguments}: {done.stdout[:100]}{done.stderr}")


def plan(*arguments, code=0, before=()):
    done = call(*arguments, "--json", code=code, before=before)
    check(done.stderr == "", f"{arguments}: {done.stderr}")
    p = json.loads(done.stdout)
    check(p["fits"] == (done.returncode == 0), f"{arguments}: fits {p['fits']}, exit code {done.returncode}")
    check_sums(p, arguments)
    return p


def check_sums(p, what):
    """Items lie one behind the other in their allocations; the sums are those of the items, rounded up to 64 KiB an allocation."""
    ends, heaps = {}, {}
    for i in p["items"]:
        check(i["offset"] == ends.get(i["allocation"], 0), f"{what}: {i}")
        check(heaps.setdefault(i["allocation"], i["heap"]) == i["heap"], f"{what}: {i}")
        ends[i["allocation"]] = i["offset"] + i["bytes"]
    for heap in ("device", "host"):
        rounded = sum(-(-ends[a] // 65536) * 65536 for a in ends if heaps[a] == heap)
        check(p[heap + "_bytes"] == rounded, f"{what}: {heap}: {p[heap + '_bytes']}, not {rounded}")
    check(not p["fits"] or p["device_bytes"] <= p["budget_bytes"], f"{what}: {p['device_bytes']} of {p['budget_bytes']}")
    cache = sum(i["bytes"] for i in p["items"] if i["name"].startswith("KV cache"))
    read = sum(i["bytes"] for i in p["items"] if i["layer"] is not None or i["name"].startswith("output")
               or i["name"] == "token_embd.weight" and i["heap"] == "device")
    check(p["token_device_bytes"] + p["token_host_bytes"] == read, f"{what}: a token reads {read}")
    device = p["device"]
    seconds = p["token_device_bytes"] / (device["device_gb_s"] * 1e9) + p["token_host_bytes"] / (device["host_gb_s"] * 1e9)
    check(abs(p["tok_s_full"] * seconds - 1) < 1e-6, f"{what}: {p['tok_s_full']} tok/s")
    if p["token_host_bytes"] == 0:
        seconds -= cache / (device["device_gb_s"] * 1e9)
        check(abs(p["tok_s_empty"] * seconds - 1) < 1e-6, f"{what}: {p['tok_s_empty']} tok/s")


def bytes_of(p, *names):
    return sum(i["bytes"] for i in p["items"] if i["name"] in names)


def check_card(kind, kv):
    """6 GiB with 512 MiB left to the desktop: all that is read lies on the device, and a budget loses no further margin."""
    what = f"{kind}, {kv}"
    p = plan(files[kind], *CARD, "--vram-budget", "5632MiB", "--kv", kv)
    check(p["fits"] and p["ctx"] == p["ctx_max"] >= LONGEST[kind, kv], f"{what}: {p['ctx']} tokens")
    check((p["budget_bytes"], p["kv"], p["host_layers"], p["host_positions"]) == (5632 * MIB, kv, 0, 0), what)
    check({i["name"] for i in p["items"] if i["heap"] == "host"} == HOST_NAMES, f"{what}: on the host")
    check(bytes_of(p, "activations", "logits") <= 64 * MIB, f"{what}: activations and logits")
    block = bytes_of(p, "KV cache") // -(-p["ctx"] // 64)
    check(5632 * MIB - p["device_bytes"] < block + MIB, f"{what}: {5632 * MIB - p['device_bytes']} bytes are left")
    check(plan(files[kind], *CARD, "--kv", kv)["ctx"] == p["ctx"], f"{what}: 512 MiB less is what is taken without a budget")
    longest = plan(files[kind], *CARD, "--vram-budget", "6GiB", "--kv", kv, "--ctx", "max")
    check(longest["ctx"] == longest["ctx_train"] == 131072 and longest["host_layers"] == 0, f"{what}: max")
    # Where attention has its parts of all blocks, some of the blocks have no room any more.
    fewer = longest["host_positions"] - (131072 - longest["ctx_max"])
    check(longest["ctx_max"] > p["ctx"] and 0 <= fewer <= 64 * (1 + bytes_of(longest, "parts of attention") // block), f"{what}: {fewer} more on the host")
    check(bytes_of(longest, "KV cache, last positions") > bytes_of(longest, "KV cache"), f"{what}: the cache of max")


def check_small_card():
    """Layers go to the host, the last ones; without a host to go to, a larger budget is what helps."""
    p = plan(files["q4_0"], "--device", "4GiB-discrete", "--ctx", "8192")
    check(0 < p["host_layers"] < 32 and p["ctx_max"] == 0, f"{p['host_layers']} layers on the host")
    for i in p["items"]:
        if i["name"].startswith("blk."):
            check((i["heap"] == "host") == (i["layer"] >= 32 - p["host_layers"]), f"{i}")
    p = plan(files["q4_0"], *CARD, "--vram-budget", "300MiB", code=1)
    check_advice(files["q4_0"], p, CARD, "--vram-budget")
    p = plan(files["q4_0"], "--device", "300MiB-discrete", code=1)
    check(p["would_fit"] == [], f"{p['would_fit']}")


def check_advice(path, p, options, *expected):
    """What is said to fit does, beside the other options."""
    check(all(any(a.startswith(e) for a in p["would_fit"]) for e in expected) and p["would_fit"], f"{p['would_fit']} lacks one of {expected}")
    for a in p["would_fit"]:
        plan(path, *options, *a.split())


def check_integrated():
    """Half of the memory stays free; what does not fit says so, and what would help."""
    for kind in files:
        small, large = ["--device", "8GiB-integrated"], ["--device", "16GiB-integrated"]
        p = plan(files[kind], *small, code=1)
        check(p["device"]["unified"] and p["budget_bytes"] + p["host_bytes"] <= 4 * GIB, f"{kind}: 8 GiB")
        check_advice(files[kind], p, small, "--vram-budget")
        p = plan(files[kind], *large)
        check(p["device_bytes"] + p["host_bytes"] <= 8 * GIB and p["ctx"] == p["ctx_max"] > 30000, f"{kind}: 16 GiB: {p['ctx']}")
        p = plan(files[kind], *large, "--ctx", 60000, code=1)
        check_advice(files[kind], p, large, "--ctx", "--kv q4_0", "--vram-budget")
        check(p["would_fit"][0] == f"--ctx {p['ctx_max']}", f"{p['would_fit']}, {p['ctx_max']}")
        p = plan(files[kind], *large, "--ctx", "max", "--kv", "q4_0", code=1)
        check_advice(files[kind], p, [*large, "--kv", "q4_0"], "--ctx")


def check_text():
    for arguments, code, says in (
            (CARD, 0, ["fits      yes: a context of 17", "17728 tokens at most wholly on the device", "at most about 65.0 tok/s", "(assumed)",
                       "weights of the layers", "embedding table", "KV cache", "activations", "budget", "layers 0 to 31"]),
            ([*CARD, "--ctx", "max"], 0, ["fits      yes: a context of 131072 tokens, the last 11", "which is slower", "host: the last 11"]),
            (["--device", "4GiB-discrete"], 0, ["7 of 32 layers", "device: layers 0 to 24; host: 25 to 31"]),
            (["--device", "8GiB-integrated"], 1, ["fits      no: ", "This would fit:", "  --vram-budget ", "half of a memory"]),
            (["--device", "200MiB-discrete"], 1, ["fits      no: ", "one of fewer bits"])):
        done = call("q4_k_m.gguf", *arguments, code=code)
        check(done.stderr == "" and all(s in done.stdout for s in says), f"{arguments}: {done.stdout}")
        for line in done.stdout.splitlines():
            check(len(line) <= MAX_WIDTH and line == line.rstrip(), f"too long, or blanks at its end: {line!r}")


def check_bandwidths():
    p = plan(files["q4_0"], *CARD, "--device-bandwidth", "100", "--host-bandwidth", "2.5")
    check((p["device"]["device_gb_s"], p["device"]["host_gb_s"]) == (100, 2.5), f"{p['device']}")
    p = plan(files["q4_0"], "--device", "16GiB-integrated", "--device-bandwidth", "100")
    check(p["device"]["host_gb_s"] == 100, "a shared memory has one bandwidth")
    text = call(files["q4_0"], *CARD, "--device-bandwidth", "100", "--host-bandwidth", "5").stdout
    check("at 100 GB/s from the device's memory, 5 GB/s from the host's\n" in text, text)


def check_speed():
    seconds = []
    for _ in range(3):
        start = time.monotonic()
        call(files["q4_k_m"], *CARD, "--json")
        seconds.append(time.monotonic() - start)
    check(min(seconds) < MAX_SECONDS, f"a plan takes {min(seconds):.2f} s")


def check_refusals():
    tiny = write("tiny.gguf")
    data = tiny.read_bytes()
    (folder / "mamba.gguf").write_bytes(data.replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0mamba", 1))
    (folder / "short.gguf").write_bytes(data[:2000])
    (folder / "text.gguf").write_text("no model")
    refused("mamba.gguf", *CARD, code=2, says="mamba")
    refused("short.gguf", *CARD, code=2, says="short.gguf")
    refused("text.gguf", *CARD, code=2, says="text.gguf")
    refused("missing.gguf", *CARD, code=2, says="missing.gguf")
    refused(tiny, *CARD, "--ctx", 513, code=2, says="512")
    refused(tiny, "--device", "cpu", code=2, says="nothing to plan")
    for device in ("6GB-discrete", "0GiB-discrete", "6 GiB-integrated", "1e3MiB-discrete"):
        refused(tiny, "--device", device, code=2, says="6GiB-discrete")
    for wrong in (["--kv", "f16"], ["--vram-budget", "6GB"], ["--device-bandwidth", "0"], ["--ctx", "0"], ["--threads", "2"]):
        refused(tiny, *wrong, code=2, says=wrong[0])
    refused(code=2, says="FILE")
    nothing = {"VK_DRIVER_FILES": "/none", "VK_ICD_FILENAMES": "/none"}
    refused(tiny, code=1, says="--device 6GiB-discrete", env=nothing)
    refused(tiny, "--device", "GeForce-discrete", code=1, says="no usable Vulkan device matches GeForce-discrete", env=nothing)
    call(tiny, *CARD, env=nothing)
    return tiny


def on(driver):
    """What starts a program on it; nothing where it is not there."""
    before = ["sh", run, drivers, driver]
    if subprocess.run([*before, hornito, "--version"], capture_output=True).returncode == 0:
        return before
    print(f"left out: no {driver}")
    return []


def fits(before, *arguments, code=None):
    done = subprocess.run([*before, gpu_bench, "--fits", *arguments], capture_output=True, text=True, cwd=folder)
    check(code is None or done.returncode == code, f"--fits {arguments}: exit code {done.returncode}, not {code}: {done.stderr}")
    return done


def check_fits(driver, tiny):
    """gpu-bench, which knows the shapes by heart, says what `hornito plan` says of the file, and no longer context fits."""
    before = on(driver)
    if not before:
        return
    done = fits(before, "-o", "json")
    rows = json.loads(done.stdout)["fits"]
    check([(r["model"], r["kv"]) for r in rows] == [(m, k) for m in ("8B-Q4_0", "8B-Q4_K_M") for k in ("q8_0", "q4_0")], f"{rows}")
    check(done.returncode == (0 if all(r["fits"] for r in rows) else 1), f"--fits: exit code {done.returncode}")
    for r in rows:
        kind = r["model"].removeprefix("8B-").lower()
        p = plan(files[kind], "--kv", r["kv"], code=0 if r["fits"] else 1, before=before)
        check(all(r[k] == p[k] for k in r if k not in ("model", "ctx_max_host")), f"{driver}: {r}")
        longest = r["ctx_max_host"]
        check(longest >= r["ctx_max"] and (longest > 0 or not r["fits"]), f"{driver}: {r}")
        if longest > 0:
            plan(files[kind], "--kv", r["kv"], "--ctx", longest, code=0, before=before)
        if 0 < longest < r["ctx_train"]:
            plan(files[kind], "--kv", r["kv"], "--ctx", longest + 1, code=1, before=before)
    one = json.loads(fits(before, "8B-Q4_K_M", "-o", "json").stdout)["fits"]
    check(one == rows[2:], f"{driver}: {one}")
    text = fits(before, tiny.name, code=0).stdout
    check([line.split() for line in text.splitlines()[-2:]] == [["tiny.gguf", k, "yes", "512", "512", "512"] for k in ("q8_0", "q4_0")], text)
    check("| tiny.gguf | q8_0 | yes | 512 |" in fits(before, tiny.name, "-o", "md", code=0).stdout, "--fits -o md")
    for wrong in (["mamba.gguf"], ["missing.gguf"], ["-o", "csv"]):
        error = fits(before, *wrong, code=2).stderr
        check(error.startswith("gpu-bench: ") and error.count("\n") == 1, f"--fits {wrong}: {error}")


def check_present(path):
    """On a device that is here."""
    before = on("lavapipe-256")
    if not before:
        return
    p = plan(path, before=before)
    check(p["device"]["present"] and p["device"]["type"] == "software" and p["device"]["device_gb_s"] == 10, f"{p['device']}")
    check(plan(path, "--device", "0", before=before) == p, "the best one is not number 0")
    check(p["ctx"] == 512 and p["host_layers"] == 0, "tiny")
    p = plan(path, "--vram-budget", "5500KiB", before=before)
    check(p["budget_bytes"] == 5500 << 10 and p["host_positions"] > 0, f"{p['host_positions']} on the host")


def write(name, *options):
    path = folder / name
    subprocess.run([write_model, *options, path], check=True)
    return path


files = {kind: write(kind + ".gguf", "--shape", "llama-8b", "--type", kind, "--header-only") for kind in ("q4_0", "q4_k_m")}
for kind, kv in LONGEST:
    check_card(kind, kv)
check_small_card()
check_integrated()
check_text()
check_bandwidths()
check_speed()
tiny = check_refusals()
check_present(tiny)
for driver in ("lavapipe-256", "lavapipe-new-256"):
    check_fits(driver, tiny)
sys.exit(1 if failed else 0)
