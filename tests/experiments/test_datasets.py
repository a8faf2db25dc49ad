"""The datasets of a work directory, and what `run.json` notes of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clusterlm_jax.data import storage
from clusterlm_jax.experiments import datasets
from clusterlm_jax.records import Dataset, UserError
from clusterlm_jax.workdir import WorkDir

CONFIG = SimpleNamespace(seeds=(3,))


@pytest.fixture
def workdir(dataset: Dataset, tmp_path: Path) -> WorkDir:
    """With the dataset of seed 3, loaded once."""
    workdir = WorkDir(tmp_path)
    storage.save(dataset, workdir.dataset(3))
    datasets.load(CONFIG, workdir)
    return workdir


def test_sizes_are_noted_once(dataset: Dataset, workdir: WorkDir) -> None:
    noted = workdir.read_json("run.json")["dataset"]["3"]
    assert noted == storage.statistics(dataset) | {"sha256": storage.digest(dataset)}
    assert datasets.load(CONFIG, workdir)[3].vocabulary == dataset.vocabulary
    assert workdir.read_json("run.json")["dataset"]["3"] == noted


@pytest.mark.parametrize("damage", [[], 1.5, "all", {"validation": "many"}, {"tasks": None}])
def test_a_damaged_note_is_named(workdir: WorkDir, damage: Any) -> None:
    noted = workdir.read_json("run.json")["dataset"]["3"]
    workdir.update_run(dataset={"3": noted | damage if isinstance(damage, dict) else damage})
    with pytest.raises(UserError, match=r"run\.json is damaged \(what it says of the dataset of seed 3\)"):
        datasets.load(CONFIG, workdir)


def test_another_dataset_is_refused(workdir: WorkDir) -> None:
    workdir.update_run(dataset={"3": {"sha256": "0"}})
    with pytest.raises(UserError, match="not the one this run began with"):
        datasets.load(CONFIG, workdir)
