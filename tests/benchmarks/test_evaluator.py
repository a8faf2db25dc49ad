"""The states that the benchmark of the evaluator makes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks import evaluator
from clusterlm_jax.analysis.cells import cells_of, keys_of
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.scoring.scorer import Scorer


@pytest.mark.parametrize("prompts", [False, True])
def test_they_have_what_a_cell_needs(prompts: bool, tmp_path: Path) -> None:
    """Breaks when a label is missing that rows are made of."""
    of = evaluator.sizes(prompts)
    spec = dataclasses.replace(of.spec, jobs=("raw",), kmeans_restarts=1, null_draws=1)
    store = HiddenStore(tmp_path, owner=True)
    for states in evaluator.states(of.labels, width=4, layers=1).values():
        store.save(states)
    for cell in cells_of("main", 0, 0, 0, of.scored, states.layers, spec):
        [(_, rows)] = Scorer(spec, None).score([cell], store)
        assert {(row.label, row.score) for row in rows} == keys_of(cell, spec)
