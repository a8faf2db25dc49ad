"""A signal ends the process at once, wherever it is; SIGTERM lets a training save its state first, but not for ever."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from tests.command_line import ROOT

# Like a library that takes every exception for its own.
DEAF = """
from clusterlm_jax import main, preemption
main.end_at_signals()
print("ready", flush=True)
while True:
    try:
        while True: pass
    except BaseException: pass
"""


# Like a training that does not come to the end of its epoch; and where the grace period is short.
UNSAVED = DEAF.replace("print(", "training = preemption.held_off()\ntraining.__enter__()\nprint(")
IMPATIENT = UNSAVED.replace("training =", "preemption.GRACE_SECONDS = 0.1\ntraining =")


def ended_by(code: str, *numbers: str) -> tuple[int, str]:
    """The exit code of a program that gets these signals once it says that it is ready, and what it told last."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in a background shell
    try:
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        assert process.stdout.readline() == "ready\n"
        for number in numbers:
            process.send_signal(getattr(signal, number))
            time.sleep(0.2)  # two of one kind at once would be one
        told = process.communicate(timeout=60)[1]
    return process.returncode, told.strip()


@pytest.mark.parametrize(
    ("program", "numbers", "code", "word"),
    [
        (DEAF, ["SIGINT"], 130, "interrupted"),
        (DEAF, ["SIGTERM"], 75, "terminated"),
        (UNSAVED, ["SIGTERM", "SIGTERM"], 143, "terminated"),
        (UNSAVED, ["SIGTERM", "SIGINT"], 130, "interrupted"),
        (IMPATIENT, ["SIGTERM"], 143, "terminated"),
    ],
    ids=["SIGINT", "SIGTERM", "a second SIGTERM", "SIGINT after it", "the end of the grace period"],
)
def test_a_signal_ends_the_process_wherever_it_is(program, numbers, code, word):
    told = f"clusterlm_jax: {word}; the same command goes on from what is finished."
    assert ended_by(program, *numbers) == (code, told)


def test_a_signal_that_is_ignored_stays_so():
    """As in a background job of a shell, where Ctrl-C is meant for what runs in front."""
    ignoring = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN){DEAF.split('while')[0]}"
    code = ignoring + "signal.raise_signal(signal.SIGINT); print('alive')"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout.split()) == (0, ["ready", "alive"])
