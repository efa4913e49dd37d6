#!/usr/bin/env python3
"""test_gpu_bench.py RUN DRIVERS DRIVER GPU_BENCH WRITE_MODEL: what gpu-bench prints, saves, compares and draws, on one driver.

RUN is drivers/on. Exit 77 where the driver is not there.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

run, drivers, driver, bench, write_model = sys.argv[1:]
work = tempfile.TemporaryDirectory()
folder = pathlib.Path(work.name)
model = folder / "model.gguf"
failed = 0


def check(ok, what):
    global failed
    if not ok:
        print("FAILED:", what)
        failed += 1


def call(*arguments, code=0):
    done = subprocess.run(["sh", run, drivers, driver, bench, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode == 77:
        print(done.stderr.strip())
        sys.exit(77)
    check(done.returncode == code, f"{arguments}: exit code {done.returncode}, not {code}: {done.stderr[-300:]}")
    return done


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def check_stat(stat, what):
    check(isinstance(stat, dict) and all(is_number(stat.get(k)) for k in ("median", "min", "max", "runs")), f"{what}: {stat}")
    if isinstance(stat, dict):
        check(stat["min"] <= stat["median"] <= stat["max"], f"{what}: {stat}")


def check_result(result):
    check(result["version"] == 1, "version")
    check(result["device"]["name"] and result["device"]["driver"], "the device's names")
    for key in ("read_gb_s", "write_gb_s", "copy_gb_s", "upload_gb_s", "download_gb_s"):
        check(is_number(result["memory"][key]), key)
        check_stat(result["memory"][key + "_runs"], key)
    for group, key in (("compute", "int8_gop_s"), ("compute", "f32_gflop_s"), ("launch", "dispatch_us"), ("launch", "dependent_us")):
        check(is_number(result[group][key]), key)
    (one,) = result["models"]
    check(one["file"] == str(model), "the model's file")
    check([(t["name"], t["n"], t["depth"]) for t in one["tests"]]
          == [("prompt", 16, 0), ("prompt", 70, 0), ("decode", 2, 0), ("decode", 2, 200)], f"tests: {one['tests']}")
    for test in one["tests"]:
        check_stat(test["tok_s"], "tok_s")
        check_stat(test["gb_s"], "gb_s")
    for key in ("first_token_ms", "peak_device_bytes", "peak_rss_bytes", "plan_device_bytes", "plan_host_bytes", "load_rss_bytes", "load_s",
                "load_gb_s"):
        check(is_number(one[key]), key)
    check(one["load_rss_bytes"] <= one["peak_rss_bytes"], "the memory of loading is more than all")
    check(one["peak_device_bytes"] <= one["plan_device_bytes"], "more memory than planned")
    check(abs(one["load_s"] * one["load_gb_s"] * 1e9 / model.stat().st_size - 1) < 1e-6, "the speed of loading")
    step = one["step"]
    # 5 dispatches a layer, one more as v is of another type, and embed, norm_quant, matvec, argmax; a barrier behind each, and behind the
    # copy of the input.
    check((step["dispatches"], step["barriers"], step["submits"]) == (2 * 6 + 4, 2 * 6 + 5, 1), f"a step: {step}")
    check(is_number(step["barriers"]) and is_number(step["host_us"]), f"a step: {step}")
    check(step["host_us"] < one["tests"][2]["us_per_token"], f"the host's work takes longer than the step: {step}")


def check_kernels(result):
    kernels = {k["module"].removesuffix("_intf32") for k in result["kernels"]}
    check(kernels == {"embed_q4_0", "norm_quant", "matvec_q4_0", "matvec_rope_q4_0", "matvec_rope_q8_0", "matvec_norm_q4_0",
                      "matvec_swiglu_q4_0", "matmat_q4_0", "matmat_q8_0", "rope_store_q8_0", "attention_q8_0", "attention_prompt_q8_0",
                      "swiglu_quant", "argmax"}, f"kernels: {kernels}")
    for k in result["kernels"]:
        check_stat(k["us"], k["module"])
        check(all(is_number(k[key]) for key in ("bytes", "ops", "gb_s", "gop_s", "roofline_percent")), f"{k}")
    spans = result["timeline"]
    check(len(spans) == 2 * 6 + 4 + 3, f"{len(spans)} spans")  # three copies
    check(all(a["start_us"] <= a["end_us"] <= b["start_us"] for a, b in zip(spans, spans[1:])), "spans overlap")


def check_picture(path):
    root = xml.etree.ElementTree.parse(path).getroot()
    text = " ".join("".join(t.itertext()) for t in root.iter("{http://www.w3.org/2000/svg}text"))
    for word in ("matvec_q4_0", "matmat_q8_0", "attention_q8_0", "memory read", "int8 dot products"):
        check(word in text, f"the picture lacks {word}")


def faster(result):
    """The same of a machine twice as fast."""
    for test in result["models"][0]["tests"]:
        test["tok_s"] = {k: v * (1 if k == "runs" else 2) for k, v in test["tok_s"].items()}
    return result


subprocess.run([write_model, model], check=True)
short = ["-m", model, "-p", "16,70", "-n", "2", "--depth", "0,200", "-r", "3"]
saved, picture = folder / "saved.json", folder / "roofline.svg"
done = call(*short, "--kernels", "--timeline", "-o", "json", "--save", saved, "--svg", picture)
check(done.stderr == "", f"progress in a pipe: {done.stderr[:200]}")
result = json.loads(done.stdout)
check_result(result)
check_kernels(result)
check(json.loads(saved.read_text()) == result, "what is saved is not what is printed")
check_picture(picture)

few = ["-m", model, "-p", "4", "-n", "1", "--depth", "0", "-r", "1"]
table = call(*few, "--kernels", "matvec").stdout
check("* device 0: " in table and "prompt 4 tokens" in table and "matvec_q4_0" in table and "matmat" not in table, table)
check("a token: " not in table, "the growth from a single depth")

growth = json.loads(call("-m", model, "--growth", "-n", "3", "-r", "2", "--models-only", "-o", "json").stdout)["models"][0]
check([(t["name"], t["n"], t["depth"]) for t in growth["tests"]]
      == [("prompt", 128, 0), ("prompt", 512, 0), ("decode", 3, 0), ("decode", 3, 509)], f"clipped: {growth['tests']}")
for test in growth["tests"]:
    check(abs(test["us_per_token"] * test["tok_s"]["median"] / 1e6 - 1) < 1e-9, f"us_per_token: {test}")
first, second = (t["us_per_token"] for t in growth["tests"][2:])
check(abs(growth["growth"]["us_per_1024"] - (second - first) * 1024 / 509) < 1e-6 * second, f"the slope: {growth['growth']}")
check(growth["growth"]["residual_percent"] is None, "a line through two points is exact")
table = call("-m", model, "--growth", "-p", "4", "-n", "1", "--depth", "0,100,300,5000", "-r", "1", "--models-only").stdout
check("on the line" in table and "decode 1 at depth 511" in table and "more per 1024 positions" in table, table)
os.environ["XDG_CACHE_HOME"] = str(folder)
if driver != "swiftshader":  # minutes there; check_kernels has tried the choices on it
    text = call("-m", model, "--tune", "-p", "40", "-n", "1", "-r", "1").stdout
    files = list((folder / "hornito/pipelines").glob("tuning-*.txt"))
    check(text.count(" best\n") > 0 and len(files) == 1, f"--tune: {text}")
    call(*few, "--models-only")
(folder / "fast.json").write_text(json.dumps(faster(result)))
check("SLOWER" in call(*short, "--compare", folder / "fast.json", code=1).stdout, "nothing is called slower")
check(call(*few, "--device", "all", "-o", "csv").stdout.count("\n") > 20, "csv")
check("| " in call(*few, "-o", "md").stdout, "md")
check("models[].tests[].tok_s" in call("--help-json").stdout, "--help-json")
for wrong in (["-r", "0"], ["-o", "xml"], ["--depth", "1,x"], ["-m", folder / "nothing.gguf"], ["-m"], ["--what"], ["--save"]):
    error = call(*wrong, code=2).stderr
    check(error.startswith("gpu-bench: ") and error.count("\n") == 1, f"{wrong}: {error}")
call("--device", "no such device", code=1)
sys.exit(1 if failed else 0)
