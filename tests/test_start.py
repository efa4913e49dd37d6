#!/usr/bin/env python3
"""test_start.py RUN DRIVERS DRIVER HORNITO MODEL COLD WARM: the seconds from the start of `hornito run` to its first byte are at most COLD
where no cache knows the shaders, and at most WARM where the driver's has them. RUN is drivers/on. Exit 77 where something is missing.

Other work on the machine only makes it slower, so the best of some attempts counts, and an attempt within the limit is enough. What was
compiled is kept by the driver: lavapipe's own pipeline cache is empty, its compiler runs at the first dispatch and has a cache of Mesa's.
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ATTEMPTS = 5
run, drivers, driver, hornito, model = sys.argv[1:6]
cold, warm = map(float, sys.argv[6:])


def first_byte(folder):
    """Seconds; the chat format's own system prompt makes it 31 tokens."""
    environment = dict(os.environ, XDG_CACHE_HOME=str(folder), HORNITO_SHADER_CACHE=str(folder / "mesa"))
    command = ["sh", run, drivers, driver, hornito, "run", "-m", model, "-p", "Hello", "-n", "2", "--temp", "0"]
    begin = time.monotonic()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        got = process.stdout.read(1)
        seconds = time.monotonic() - begin
        _, notes = process.communicate()
    if process.returncode == 77:
        print(notes.decode().strip())
        sys.exit(77)
    if process.returncode or not got:
        print(f"FAILED: exit code {process.returncode}: {notes.decode()[-300:]}")
        sys.exit(1)
    return seconds


def best(limit, measure):
    seconds = []
    while len(seconds) < ATTEMPTS and (not seconds or min(seconds) > limit):
        seconds.append(measure())
    return min(seconds)


def from_nothing():
    with tempfile.TemporaryDirectory() as folder:
        return first_byte(pathlib.Path(folder))


if not os.path.isfile(model):
    print(f"skipped: no model {model}")
    sys.exit(77)
failed = 0
with tempfile.TemporaryDirectory() as kept:
    first_byte(pathlib.Path(kept))
    for name, limit, measure in (("cold", cold, from_nothing), ("warm", warm, lambda: first_byte(pathlib.Path(kept)))):
        seconds = best(limit, measure)
        ok = seconds <= limit
        print(f"{'ok' if ok else 'FAILED'}: {driver}, {name}: {seconds:.2f} s to the first byte, at most {limit:g}")
        failed += not ok
sys.exit(1 if failed else 0)
