"""Fixtures of the training tests."""

from __future__ import annotations

import pytest

from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.records import Dataset
from clusterlm_jax.training import loop
from tests.conftest import SMALL_DATA


@pytest.fixture(scope="module", autouse=True)
def several_dispatches():
    """The tests' epochs have 13 or 14 steps: three dispatches of five, the last filled up with padding."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "STEPS_PER_DISPATCH", 5)
        yield


@pytest.fixture(scope="module")
def other() -> Dataset:
    """A dataset of another seed, larger than `dataset`."""
    return synthesise(SMALL_DATA, seed=4)
