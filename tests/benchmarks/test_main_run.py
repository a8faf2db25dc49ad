"""The profile of a run: its parts add up to the wall time, and nothing counts twice."""

from __future__ import annotations

import threading
import time

import pytest

from benchmarks.main_run import COMPILING, Profile

COMPILE = "/jax/core/compile/"


def test_a_part_inside_another_is_taken_from_it() -> None:
    profile = Profile()
    inner = profile.timed("inner", lambda: time.sleep(0.05))
    outer = profile.timed("outer", lambda: [time.sleep(0.02), inner(), inner()])
    start = time.perf_counter()
    outer()
    wall = time.perf_counter() - start
    assert profile.seconds["inner"] >= 0.1
    assert 0.02 <= profile.seconds["outer"] <= wall - 0.1
    assert sum(profile.seconds.values()) == pytest.approx(wall, abs=0.01)


def test_a_trace_inside_another_counts_once() -> None:
    """jax tells the inner one first. Other events, and those of other threads, are none of the main thread's time."""
    profile = Profile()

    def compiles() -> None:
        time.sleep(0.05)
        profile.compiled(COMPILE + "jaxpr_trace_duration", 0.02)
        profile.compiled(COMPILE + "jaxpr_trace_duration", 0.04)
        profile.compiled("/jax/something/else", 1.0)
        thread = threading.Thread(target=profile.compiled, args=(COMPILE + "backend_compile_duration", 1.0))
        thread.start()
        thread.join()

    start = time.perf_counter()
    profile.timed("stage", compiles)()
    assert profile.seconds[COMPILING] == pytest.approx(0.04)
    assert sum(profile.seconds.values()) == pytest.approx(time.perf_counter() - start, abs=0.01)
