"""What the bar of a training says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tqdm import tqdm

from clusterlm_jax.experiments import phases

METRICS = {"training_loss": 1.25, "training_subset_accuracy": 0.5, "validation_accuracy": 0.375}


def shown(monkeypatch: pytest.MonkeyPatch, *metrics: dict[str, float], evaluator: Any = None) -> str:
    """The words on the bar at the end of an epoch, with these metrics of each seed."""
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    with tqdm(total=3) as bar:
        seeds = tuple(SimpleNamespace(metrics=each) for each in metrics)
        phases._show(bar, SimpleNamespace(epoch=2, seeds=seeds), evaluator)
        assert bar.n == 2
        return bar.postfix


def test_accuracies_are_named_as_accuracies(monkeypatch):
    assert shown(monkeypatch, METRICS) == (
        "training loss=1.250, training subset accuracy=0.500, validation accuracy=0.375"
    )


def test_seeds_stand_side_by_side_and_cells_at_the_end(monkeypatch):
    other = METRICS | {"validation_accuracy": 0.25}
    words = shown(monkeypatch, METRICS, other, evaluator=SimpleNamespace(finished=3, queued=9))
    assert words.endswith("validation accuracy=0.375 0.250, cells=3/9")


def test_without_hard_examples_there_is_no_subset(monkeypatch):
    metrics = {key: value for key, value in METRICS.items() if "subset" not in key}
    assert shown(monkeypatch, metrics) == "training loss=1.250, validation accuracy=0.375"
