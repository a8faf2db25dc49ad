"""Fixtures of the training tests."""

from __future__ import annotations

import pytest

from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.records import Dataset
from tests.conftest import SMALL_DATA


@pytest.fixture(scope="module")
def other() -> Dataset:
    """A dataset of another seed, larger than `dataset`."""
    return synthesise(SMALL_DATA, seed=4)
