"""Strict settings for every test, and the fixtures that tests of several rooms use."""

from __future__ import annotations

import os

from tests.command_line import QUICK_TO_COMPILE, SMALL

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # KMeans is reproducible on one thread only
os.environ.update(QUICK_TO_COMPILE | os.environ)  # jax reads them when it is imported

import jax
import numpy as np
import pytest

from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.records import Dataset

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")

SMALL_DATA = DataSpec(**{key.removeprefix("data."): value for key, value in SMALL.items() if key.startswith("data.")})


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """Eight tasks of short instructions, two of them hard."""
    return synthesise(SMALL_DATA, seed=3)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: one that begins last would leave the other cores idle for minutes."""
    slow = {item.path for item in items if "slow" in item.keywords}
    items.sort(key=lambda item: item.path not in slow)
