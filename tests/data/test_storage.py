"""A dataset is saved and loaded unchanged, and people can read its files."""

from __future__ import annotations

import csv
import dataclasses
import json
import re

import numpy as np
import pytest

from clusterlm_jax.data import storage
from clusterlm_jax.data.spec import DataSpec
from clusterlm_jax.data.synthetic import synthesise
from clusterlm_jax.records import UserError, Vocabulary
from tests.conftest import SMALL_DATA


def test_round_trip(dataset, tmp_path):
    storage.save(dataset, tmp_path)
    loaded = storage.load(tmp_path)
    assert storage.digest(loaded) == storage.digest(dataset)
    assert loaded.vocabulary == dataset.vocabulary
    assert loaded.expressions == dataset.expressions


def test_values_have_the_words_of_the_readable_files(dataset, tmp_path):
    storage.save(dataset, tmp_path)
    words = storage.words(dataset)
    with (tmp_path / "instances.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    for row in rows:
        value = {name: int(row[name]) for name in ("instruction", "distribution", "input", "output")}
        assert words["instruction"][value["instruction"]] == row["text"]
        assert words["distribution"][value["distribution"]] == dataset.expressions[value["distribution"]]
        assert words["input"][value["input"]] == row["input_symbol"]
        assert words["output"][value["output"]] == row["output_symbol"]


@pytest.mark.parametrize("shared_mappings", [None, 2])
def test_a_person_can_check_it(shared_mappings, tmp_path):
    """The readable files alone give the symbols of every instance, and the mappings of its distribution."""
    dataset = synthesise(dataclasses.replace(SMALL_DATA, shared_mappings=shared_mappings), 3)
    storage.save(dataset, tmp_path)
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    with (tmp_path / "instances.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) == len(dataset)
    for row in rows:
        task = tasks[row["task"]]
        distribution = task["distributions"][row["distribution"]]
        mappings = task["mappings"] | distribution.get("mappings", {})
        assert mappings[row["input_symbol"]] == row["output_symbol"]
        assert row["text"] in distribution["validation" if row["splits"] == "validation" else "training"]
        if "hard_example_of" not in task:
            assert re.fullmatch(distribution["expression"], row["text"])
    for task in tasks.values():
        similar = shared_mappings is not None and len(task["distributions"]) > 1
        assert len(task["mappings"]) == (2 if similar else 3)
        assert {len(d.get("mappings", {})) for d in task["distributions"].values()} == {1 if similar else 0}
    counts = {name: sum(name in row["splits"].split("+") for row in rows) for name in dataset.splits}
    assert counts == {name: len(index) for name, index in dataset.splits.items()}


def test_symbols_have_different_names():
    vocabulary = Vocabulary(35, 65)
    names = [storage.symbol_name(vocabulary, token) for token in range(1, 101)]
    assert len(set(names)) == 100
    assert names[35] == "A"
    assert names[61] == "A1"


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign", "words", "table"])
def test_a_damaged_dataset_is_named(dataset, tmp_path, damage):
    storage.save(dataset, tmp_path)
    path = tmp_path / storage.FILE
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "foreign":
        np.savez(path, something=1)
    else:
        vocabulary = np.array(["35", "25"]) if damage == "words" else np.array([[35, 25], [35, 25]])
        np.savez(path, **dict(np.load(path)) | {"vocabulary": vocabulary})
    with pytest.raises(UserError, match=re.escape(str(path))):
        storage.load(tmp_path)


def test_statistics(dataset):
    found = storage.statistics(dataset)
    assert found["training"] + found["validation"] == len(dataset)
    pairs = {(int(t), int(x)) for t, x in zip(dataset.labels["task"], dataset.labels["input"], strict=True)}
    assert found["tasks_per_input_mean"] == len(pairs) / len({x for _, x in pairs})
    assert found["similar_tasks"] == found["tasks"]
    assert found["outputs_per_input_mean"] == 1


def test_statistics_of_similar_tasks():
    """Counted by hand: an identity with D distributions has D functions, and 3 + 2 D mappings on five inputs."""
    dataset = synthesise(DataSpec(shared_mappings=3), 0)
    found = storage.statistics(dataset)
    distributions = found["distributions"]
    assert found["similar_tasks"] == distributions > found["tasks"]
    assert found["outputs_per_input_mean"] == pytest.approx((3 * 50 + 2 * distributions) / (5 * 50))
    assert found["tasks_per_input_mean"] == pytest.approx(5 * 50 / len(set(dataset.labels["input"].tolist())))
