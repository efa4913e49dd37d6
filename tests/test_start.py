#!/usr/bin/env python3
"""test_start.py RUN DRIVERS DRIVER HORNITO MODEL COLD WARM: the seconds from the start of `hornito run` to its first byte are at most COLD
where no cache knows the shaders, and at most WARM where the driver's has them. RUN is drivers/on. Exit 77 where something is missing.

Other work on the machine makes it slower, so an attempt within the limit is enough, and where others used the processors during all that
are not, the test is skipped. What was compiled is kept by the driver: lavapipe's own pipeline cache is empty, its compiler runs at the
first dispatch and has a cache of Mesa's.
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ATTEMPTS = 3
OTHERS = 0.1  # of the processors' time: more of it disturbs
run, drivers, driver, hornito, model = sys.argv[1:6]
cold, warm = map(float, sys.argv[6:])


def busy_seconds():
    """Of all processors, since the machine was started."""
    user, nice, system, _, _, irq, softirq, steal = map(int, pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def first_byte(folder):
    """Seconds, and whether others were at work; the chat format's own system prompt makes it 31 tokens."""
    environment = dict(os.environ, XDG_CACHE_HOME=str(folder), HORNITO_SHADER_CACHE=str(folder / "mesa"))
    command = ["sh", run, drivers, driver, hornito, "run", "-m", model, "-p", "Hello", "-n", "2", "--temp", "0"]
    busy, own, begin = busy_seconds(), os.times(), time.monotonic()
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
    now = os.times()
    others = busy_seconds() - busy - (now.children_user + now.children_system - own.children_user - own.children_system)
    return seconds, others > OTHERS * os.cpu_count() * (now.elapsed - own.elapsed)


def judge(name, limit, measure):
    """Whether it is fast enough; None where that cannot be told."""
    attempts = []
    while len(attempts) < ATTEMPTS and (not attempts or min(attempts)[0] > limit):
        attempts.append(measure())
    seconds = min(attempts)[0]
    ok = True if seconds <= limit else None if all(disturbed for _, disturbed in attempts) else False
    print(f"{ {True: 'ok', False: 'FAILED', None: 'skipped: others are at work'}[ok]}: {driver}, {name}: {seconds:.2f} s to the first byte, "
          f"at most {limit:g}")
    return ok


def from_nothing():
    with tempfile.TemporaryDirectory() as folder:
        return first_byte(pathlib.Path(folder))


if not os.path.isfile(model):
    print(f"skipped: no model {model}")
    sys.exit(77)
with tempfile.TemporaryDirectory() as kept:
    first_byte(pathlib.Path(kept))
    results = [judge("cold", cold, from_nothing), judge("warm", warm, lambda: first_byte(pathlib.Path(kept)))]
sys.exit(1 if False in results else 77 if None in results else 0)
