"""Sides of a benchmark take turns, each in a process of its own."""

from __future__ import annotations

import os
from functools import partial

import pytest

from benchmarks import measuring
from clusterlm_jax.records import UserError


def fails() -> None:
    raise UserError("No such side.")


def test_sides_take_turns_and_tell_their_own_peak_memory() -> None:
    small, large = partial(partial, bytearray, 1), partial(partial, bytearray, 300 * measuring.MIB)
    measured = measuring.in_turns({"small": small, "large": large}, repeats=3)
    assert [len(side.turns) for side in measured.values()] == [3, 3]
    assert measured["large"].seconds in measured["large"].turns
    assert measured["large"].seconds > measured["small"].seconds
    if os.path.exists("/proc/self/status"):
        assert measured["large"].host_mib - measured["small"].host_mib == pytest.approx(300, abs=10)


def test_what_a_side_refuses_is_told_as_it_is() -> None:
    with pytest.raises(UserError, match="No such side"):
        measuring.in_turns({"one": fails})
