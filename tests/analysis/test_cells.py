"""Cells and their rows: all that are expected and no others, and each can be computed again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax.analysis.cells import (
    INSTRUMENT_SCORES,
    KNN_KEYS,
    cells_of,
    job_of,
    keys_of,
    label_columns,
)
from clusterlm_jax.analysis.hidden_store import HiddenStore
from clusterlm_jax.analysis.instruments.hard import HARD_SCORES
from clusterlm_jax.analysis.nulls import nulls_of
from clusterlm_jax.analysis.scores import SCORES
from clusterlm_jax.analysis.scoring import scikit as room
from clusterlm_jax.analysis.scoring.scorer import Scorer
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.records import INSTRUMENTS, SPLITS, Cell, HiddenStates, UserError, layer_names


class Permuted:
    """Reads hidden states with the instances in another order."""

    def __init__(self, store: HiddenStore) -> None:
        self._store = store

    def layer(self, *where) -> np.ndarray:
        hidden_ND = self._store.layer(*where)
        return hidden_ND[self._order(len(hidden_ND))]

    def labels(self, *where) -> Mapping[str, np.ndarray]:
        columns = self._store.labels(*where)
        return {name: column[self._order(len(column))] for name, column in columns.items()}

    def _order(self, instances: int) -> np.ndarray:
        return np.random.default_rng(0).permutation(instances)


def test_the_cells_of_an_epoch() -> None:
    spec = AnalysisSpec()
    cells = cells_of("main", 3, 7, 70, SPLITS, layer_names(6), spec)
    assert len(cells) == len({cell.name for cell in cells}) == 2 * 8 * 7 + 8 * 2
    for job in spec.jobs:
        splits = {"validation"} if job in ("knn", "probe") else set(SPLITS)
        assert {cell.split for cell in cells if cell.job == job} == splits
    assert {(cell.run, cell.seed, cell.epoch, cell.step) for cell in cells} == {("main", 3, 7, 70)}
    only_raw = cells_of("main", 3, 7, 70, SPLITS, layer_names(6), dataclasses.replace(spec, jobs=("raw",)))
    assert only_raw == [cell for cell in cells if cell.job == "raw"]


def test_the_rows_are_exactly_those_expected(
    store: HiddenStore, spec: AnalysisSpec, cells: list[Cell], tmp_path: Path
) -> None:
    for cell, rows in Scorer(spec, tmp_path).score(cells, store):
        assert len(rows) == len({(row.label, row.score) for row in rows})
        assert {(row.label, row.score) for row in rows} == keys_of(cell, spec)
        for row in rows:
            assert job_of(row.reducer, row.score) == cell.job
            place = row.run, row.seed, row.epoch, row.step, row.split, row.layer
            assert place == (cell.run, cell.seed, cell.epoch, cell.step, cell.split, cell.layer)
            assert type(row.value) is float
            assert np.isfinite(row.value)


def test_the_keys_of_a_cell() -> None:
    """Counted by hand: 6 labels of 8 scores; 4 null labels of 3; a variance share of each label and of the position;
    5 of the neighbours and 2 null ones; 6 of the hard examples, in the training subset only.

    Of the instruments: 3 scores across distributions and their chance; 2 of the probe and its control; silhouette and
    NC1, or F1 and clusters of the tree, of each label, and one score of each null label of the task; 3 scores within
    inputs, of the task and its null labels."""
    spec = AnalysisSpec()

    def keys(split: str, job: str, spec: AnalysisSpec) -> frozenset:
        return keys_of(Cell("main", 0, 0, 0, split, "1", job), spec)

    assert {job: len(keys("validation", job, spec)) for job in spec.jobs} == {
        "raw": 6 * 8 + 4 * 3 + 7,
        "tsne": 6 * 8 + 4 * 3,
        "knn": 5 + 2,
        "residual": 6 * 8 + 4 * 3 + 7,
        "across": 3 * 2,
        "probe": 2 * 2,
        "geometry": 6 * 2 + 2,
        "tree": 6 * 2 + 2,
        "within_input": 3 * 3,
    }
    for job in ("raw", "tsne", "residual"):
        hard = keys("training_subset", job, spec) - keys("validation", job, spec)
        assert hard == {("task", score) for score in HARD_SCORES}
    inputs = dataclasses.replace(spec, labels=("input",))
    assert keys("training_subset", "tsne", inputs) == {("input", score) for score in SCORES}
    no_nulls = dataclasses.replace(spec, labels=("task",), null_draws=0)
    assert keys("validation", "tsne", no_nulls) == {("task", score) for score in SCORES}
    assert len(keys("validation", "knn", no_nulls)) == 5
    assert keys("validation", "geometry", no_nulls) == {("task", "silhouette"), ("task", "nc1")}
    assert keys("validation", "tree", no_nulls) == {("task", "tree_f1"), ("task", "tree_clusters")}
    assert {label for label, _ in keys("validation", "within_input", no_nulls)} == {"task"}


@pytest.mark.parametrize("job", ["across", "probe"])
def test_chance_and_control_do_not_depend_on_null_draws(job: str) -> None:
    """They are computed or drawn once, whatever labels and null labels are asked for."""
    few = AnalysisSpec(labels=("input",), null_draws=0)
    cell = Cell("main", 0, 0, 0, "validation", "1", job)
    assert keys_of(cell, few) == keys_of(cell, AnalysisSpec())


@pytest.mark.parametrize("changed", [{"labels": ("input",)}, {"labels": ("task",), "null_draws": 0}])
def test_an_instrument_gives_its_keys_for_all_settings(
    store: HiddenStore, tmp_path: Path, changed: dict[str, object]
) -> None:
    cells = cells_of("main", 0, 0, 0, SPLITS, ("1",), AnalysisSpec(jobs=INSTRUMENTS))
    spec = AnalysisSpec(kmeans_restarts=1, **changed)
    for cell, rows in Scorer(spec, tmp_path).score(cells, store):
        assert {(row.label, row.score) for row in rows} == keys_of(cell, spec)


def test_every_instrument_has_a_reducer_and_its_own_scores() -> None:
    """Breaks when two jobs have a score of the same name: its rows would be assigned to the wrong job."""
    assert tuple(INSTRUMENT_SCORES) == INSTRUMENTS
    scores = [score for own in INSTRUMENT_SCORES.values() for score in own]
    others = [*SCORES, *HARD_SCORES, "variance_share", *(score for _, score in KNN_KEYS)]
    assert len({*scores, *others}) == len(scores) + len(others)
    for job, own in INSTRUMENT_SCORES.items():
        assert {job_of("none", score) for score in own} == {job}
    assert [job_of("none", "knn_percentage"), job_of("none", "f1"), job_of("tsne", "f1")] == ["knn", "raw", "tsne"]


def test_a_probe_uses_the_same_halves_in_all_epochs_and_layers(
    states_of: Callable[..., HiddenStates], fill: Callable[..., HiddenStore], tmp_path: Path
) -> None:
    """The same states score the same in two layers of two epochs, but not with another seed, whose halves differ.

    Breaks when the cell's name decides the halves: a curve over epochs would jump with them.
    """
    store, values = HiddenStore(tmp_path / "hidden"), {}
    for seed, epoch in ((0, 0), (0, 3), (1, 0)):
        for split in ("training", "validation"):
            states = states_of(split)
            hidden_LND = np.stack([states.hidden_LND[2]] * 3)
            store.save(dataclasses.replace(states, hidden_LND=hidden_LND, seed=seed, epoch=epoch))
        for layer in ("1", "final_norm"):
            cell = Cell("main", seed, epoch, 0, "validation", layer, "probe")
            [(_, rows)] = Scorer(AnalysisSpec(), tmp_path).score([cell], store)
            values[seed, epoch, layer] = {(row.label, row.score): row.value for row in rows}
    first = values[0, 0, "1"]
    assert values[0, 0, "final_norm"] == values[0, 3, "1"] == values[0, 3, "final_norm"] == first
    assert values[1, 0, "1"] != first


def test_instruments_find_the_task_in_states_that_have_it(store: HiddenStore, tmp_path: Path) -> None:
    """States of the task, then of the distribution only, are read through the store.

    Breaks when an instrument gets labels of other states, or the training set instead of the split.
    """
    spec = AnalysisSpec(kmeans_restarts=1, null_draws=2)
    values = {}
    for weight, label in enumerate(("distribution", "task")):
        for split in ("training", *SPLITS):
            columns = store.labels("main", 0, 0, split)
            noise_ND = np.random.default_rng(len(columns["task"])).standard_normal((len(columns["task"]), 8))
            hidden_ND = 10 * np.eye(8)[columns[label]] + 0.1 * noise_ND
            place = {"run": "main", "seed": 0, "epoch": 5 + weight, "step": 0, "split": split}
            store.save(HiddenStates(np.float32(hidden_ND)[None], ("1",), columns, **place))
        for cell in cells_of("main", 0, 5 + weight, 0, SPLITS, ("1",), dataclasses.replace(spec, jobs=INSTRUMENTS)):
            [(_, rows)] = Scorer(spec, tmp_path).score([cell], store)
            values |= {(label, cell.split, row.label, row.score): row.value for row in rows}
    for split in SPLITS:
        of_task = {score: values["task", split, "task", score] for score in ("across", "tree_f1", "within_input_f1")}
        assert set(of_task.values()) == {1}
        assert values["task", split, "task", "tree_clusters"] == 4
        assert (
            values["task", split, "task", "silhouette"]
            > 0.9
            > 0.1
            > values["task", split, "regrouped_task", "silhouette"]
        )
        assert values["distribution", split, "distribution", "tree_f1"] == 1
        assert values["distribution", split, "distribution", "tree_clusters"] == 8
        assert values["distribution", split, "task", "tree_f1"] < 0.75
        assert values["distribution", split, "task", "across"] < 0.5
    assert values["task", "validation", "task", "probe_validation"] == 1
    assert values["distribution", "validation", "task", "probe_validation"] < 0.5


def test_an_unknown_reducer_is_named() -> None:
    with pytest.raises(UserError, match="'umap'; allowed: none, tsne, input_removed"):
        job_of("umap", "f1")


def test_null_labels_do_not_depend_on_what_else_is_scored(
    store: HiddenStore, spec: AnalysisSpec, tmp_path: Path
) -> None:
    """Breaks when labels share one generator: a null baseline would then depend on `eval.labels`."""
    cell = Cell("main", 0, 0, 0, "validation", "final_norm", "raw")
    fewer = dataclasses.replace(spec, labels=("input", "task"))
    [(_, rows)] = Scorer(fewer, tmp_path).score([cell], store)
    [(_, all_rows)] = Scorer(spec, tmp_path).score([cell], store)
    nulls = {row for row in rows if row.label in nulls_of(spec)}
    assert len(nulls) == 2 * 3
    assert nulls < set(all_rows)


def test_hard_examples_are_counted_in_the_clustering_by_task(
    states_of: Callable[..., HiddenStates], store: HiddenStore, tmp_path: Path
) -> None:
    """With states of their own task, all hard examples are with it. With states near their original's, they are with
    neither, because one of the four clusters has all instances of both tasks.

    Breaks when the clustering of another label is used: eight clusters would separate the two tasks.
    """
    states, cell = states_of("training_subset"), Cell("main", 0, 0, 0, "training_subset", "1", "raw")
    task_N, distribution_N = states.labels["task"], states.labels["distribution"]
    beside_N = np.where(task_N == 3, 1, np.where(distribution_N == 5, 4, task_N))
    for point_N, expected in ((task_N, (1, 0)), (beside_N, (0, 0))):
        hidden_ND = np.eye(8, dtype=np.float32)[point_N]
        hidden_ND[task_N == 3, 7] = 0.01
        store.save(dataclasses.replace(states, hidden_LND=np.stack([hidden_ND] * 3)))
        [(_, rows)] = Scorer(AnalysisSpec(labels=("task", "distribution")), tmp_path).score([cell], store)
        values = {row.score: row.value for row in rows}
        assert (values["hard_with_own"], values["hard_with_original"]) == expected


@pytest.mark.parametrize("missing", ["distribution", "mapping"])
def test_columns_that_cannot_be_combined_are_unchanged(states_of: Callable[..., HiddenStates], missing: str) -> None:
    columns = {name: column for name, column in states_of("validation").labels.items() if name != missing}
    assert label_columns(columns) == columns


def test_the_combined_label_has_a_value_for_each_pair(states_of: Callable[..., HiddenStates]) -> None:
    columns = states_of("validation").labels
    combined_N = label_columns(columns)["distribution_mapping"]
    pairs = list(zip(columns["distribution"].tolist(), columns["mapping"].tolist(), strict=True))
    assert len(set(combined_N.tolist())) == len(set(pairs)) == 24
    assert len(set(zip(combined_N.tolist(), pairs, strict=True))) == 24


def test_labels_with_equally_many_values_share_a_clustering(
    store: HiddenStore, spec: AnalysisSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """4 tasks, 8 distributions, 24 pairs, 12 mappings, 5 inputs, 5 outputs: five clusterings for six labels."""
    asked = []
    kmeans = room.kmeans
    monkeypatch.setattr(room, "kmeans", lambda points, k, *rest: asked.append(k) or kmeans(points, k, *rest))
    list(Scorer(spec, tmp_path).score([Cell("main", 0, 0, 0, "validation", "1", "raw")], store))
    assert sorted(asked) == [4, 5, 8, 12, 24]


def test_the_order_of_instances_does_not_matter_where_clusters_are_clear(store: HiddenStore, tmp_path: Path) -> None:
    """Layer 1 has 24 clear clusters, which KMeans finds from any start. Breaks when labels and states do not match."""
    backend = Scorer(AnalysisSpec(labels=("distribution_mapping",), null_draws=0), tmp_path)
    cell = Cell("main", 0, 0, 0, "validation", "1", "raw")
    [(_, rows)], [(_, permuted)] = backend.score([cell], store), backend.score([cell], Permuted(store))
    assert [row.value for row in permuted] == pytest.approx([row.value for row in rows])
    assert [row.value for row in rows if row.score in SCORES] == pytest.approx([1] * len(SCORES))


def test_neighbours_are_looked_for_in_the_training_set(store: HiddenStore, tmp_path: Path) -> None:
    """Layer 0 has only the input's embedding, so the neighbours are the first 10 training instances of that input."""
    backend = Scorer(AnalysisSpec(), tmp_path)
    [(_, rows)] = backend.score([Cell("main", 0, 0, 0, "validation", "0", "knn")], store)
    query, reference = (store.labels("main", 0, 0, split) for split in ("validation", "training"))
    shares = [
        (reference["task"][np.flatnonzero(reference["input"] == symbol)[:10]] == task).mean()
        for symbol, task in zip(query["input"], query["task"], strict=True)
    ]
    values = {(row.label, row.score): row.value for row in rows}
    assert values["task", "knn_percentage"] == pytest.approx(np.mean(shares))


def test_coordinates_are_saved_with_their_labels(store: HiddenStore, spec: AnalysisSpec, tmp_path: Path) -> None:
    list(Scorer(spec, tmp_path).score([Cell("main", 0, 0, 0, "validation", "0", "tsne")], store))
    [path] = tmp_path.glob("main/**/*.npz")
    kept = np.load(path)
    with kept:
        assert path == tmp_path / "main/seed=0/epoch=0000/validation/layer=0.npz"
        assert kept["coordinates_N3"].shape == (72, 3)
        np.testing.assert_array_equal(kept["task"], store.labels("main", 0, 0, "validation")["task"])
