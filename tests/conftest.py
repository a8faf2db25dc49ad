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

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")

SMALL_DATA = DataSpec(
    number_of_tasks=8,
    hard_tasks=2,
    validation_tasks=3,
    max_distributions_per_task=2,
    instructions_per_distribution=6,
    validation_instructions_per_distribution=2,
    hard_instructions_per_distribution=2,
    mappings_per_task=3,
    task_vocabulary_size=9,
    instruction_vocabulary_size=12,
    max_characters=5,
    longest_instruction=20,
)


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """Eight tasks of short instructions, two of them hard."""
    return synthesise(SMALL_DATA, seed=3)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
