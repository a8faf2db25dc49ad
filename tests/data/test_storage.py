"""A dataset survives the disk, for a program and for a person."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest

from clusterlm_jax.data import storage
from clusterlm_jax.records import UserError, Vocabulary


def test_round_trip(dataset, tmp_path):
    storage.save(dataset, tmp_path)
    loaded = storage.load(tmp_path)
    assert storage.digest(loaded) == storage.digest(dataset)
    assert loaded.vocabulary == dataset.vocabulary
    assert loaded.expressions == dataset.expressions


def test_a_person_can_check_it(dataset, tmp_path):
    """The readable files alone tell every instance: its symbols, and that its mapping is its task's."""
    storage.save(dataset, tmp_path)
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    with (tmp_path / "instances.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) == len(dataset)
    for row in rows:
        task = tasks[row["task"]]
        distribution = task["distributions"][row["distribution"]]
        assert task["mappings"][row["input_symbol"]] == row["output_symbol"]
        assert row["text"] in distribution["validation" if row["splits"] == "validation" else "training"]
        if "hard_example_of" not in task:
            assert re.fullmatch(distribution["expression"], row["text"])
    counts = {name: sum(name in row["splits"].split("+") for row in rows) for name in dataset.splits}
    assert counts == {name: len(index) for name, index in dataset.splits.items()}


def test_symbols_have_names_of_their_own():
    vocabulary = Vocabulary(35, 65)
    names = [storage.symbol_name(vocabulary, token) for token in range(1, 101)]
    assert len(set(names)) == 100
    assert names[35] == "A"
    assert names[61] == "A1"


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign"])
def test_a_damaged_dataset_is_named(dataset, tmp_path, damage):
    storage.save(dataset, tmp_path)
    path = tmp_path / storage.FILE
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        np.savez(path, something=1)
    with pytest.raises(UserError, match=re.escape(str(path))):
        storage.load(tmp_path)


def test_statistics(dataset):
    found = storage.statistics(dataset)
    assert found["training"] + found["validation"] == len(dataset)
    pairs = {(int(t), int(x)) for t, x in zip(dataset.labels["task"], dataset.labels["input"], strict=True)}
    assert found["tasks_per_input_mean"] == len(pairs) / len({x for _, x in pairs})
