"""Strict settings for every test, and the small things tests share."""

from __future__ import annotations

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # KMeans is reproducible only so

import jax
import numpy as np
import pytest

from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.records import Dataset
from tests.command_line import SMALL

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
