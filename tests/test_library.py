"""Arrays in, score rows out: the rows of the experiments, whatever the labels are called and however many there are."""

from __future__ import annotations

import doctest
import subprocess
import sys

import numpy as np
import pytest

from clusterlm_jax import cluster_layers, library
from clusterlm_jax.analysis.cells import cells_of
from clusterlm_jax.analysis.scoring.scorer import Scorer
from clusterlm_jax.analysis.spec import AnalysisSpec
from clusterlm_jax.records import INSTRUMENTS, JOBS, UserError
from tests.analysis.conftest import LAYERS, fill, one_thread, states_of, store  # noqa: F401 - fixtures

FAST = {"tsne_iterations": 250, "kmeans_restarts": 1, "null_draws": 2, "progress": False}
NO_TSNE = tuple(job for job in JOBS if job != "tsne")


@pytest.fixture
def labels(rng) -> dict[str, np.ndarray]:
    """Four tasks of two distributions; every input of every task."""
    return {
        "task": np.repeat(["a", "b", "c", "d"], 12),
        "distribution": np.repeat(np.arange(8), 6),
        "input": np.tile([True, False, True], 16),
        "output": rng.integers(0, 3, 48),
        "mapping": rng.integers(0, 3, 48),
        "mood of the day": rng.integers(0, 2, 48).astype("S1"),
    }


@pytest.fixture
def hidden_LND(rng, labels) -> np.ndarray:
    noise_LND = rng.standard_normal((2, 48, 6))
    noise_LND[1, :, 0] += 50 * np.unique(labels["task"], return_inverse=True)[1]
    return noise_LND


@pytest.fixture
def train() -> np.ndarray:
    return np.arange(48) % 3 > 0


def named(rows, **of: str) -> list[float]:
    return [row.value for row in rows if all(getattr(row, name) == value for name, value in of.items())]


def test_the_example_of_the_docstring():
    assert doctest.testmod(library).failed == 0
    assert doctest.testmod(library).attempted > 5


def test_the_package_and_the_analysis_load_no_jax():
    code = """
import sys, clusterlm_jax
assert not {"jax", "sklearn", "numpy"} & {*sys.modules}, "the package is not light"
clusterlm_jax.cluster_layers
assert "jax" not in sys.modules
from clusterlm_jax import *
clusterlm_jax.nothing
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=library.__file__[:-25])
    assert "AttributeError: module 'clusterlm_jax' has no attribute 'nothing'" in ran.stderr


def test_the_rows_are_those_of_the_experiments(store, states_of, tmp_path):  # noqa: F811
    """On the same states with the same seed, number by number, of every job."""
    spec = AnalysisSpec(tsne_iterations=250, kmeans_restarts=1, null_draws=2)
    cells = cells_of("main", 0, 0, 0, ("validation",), LAYERS[1:2], spec)
    expected = [row for _, rows in Scorer(spec, tmp_path).score(cells, store) for row in rows]
    training, validation = states_of("training"), states_of("validation")
    both = {name: np.concatenate([training.labels[name], validation.labels[name]]) for name in training.labels}
    hidden_LND = np.concatenate([training.hidden_LND, validation.hidden_LND], axis=1)[1:2]
    train = np.arange(hidden_LND.shape[1]) < training.hidden_LND.shape[1]
    rows = cluster_layers({LAYERS[1]: hidden_LND[0]}, both, train=train, **FAST)
    found = {(row.label, row.reducer, row.score): row for row in rows}
    for row in expected:
        same = found[row.label, row.reducer, row.score]
        if not row.score.startswith("within_input"):  # seeded by the number of the input, which is another one here
            assert same == row or np.isnan([same.value, row.value]).all()
    assert len(rows) > len(expected)  # more labels: `original`, `instruction`, `position`


def test_several_processes_give_the_same_rows(hidden_LND, labels, train, tmp_path):
    own = {name: labels[name] for name in ("task", "distribution")}
    given = {"labels": own, "train": train, "jobs": ("raw", "tsne", "probe"), **FAST}
    alone = cluster_layers(hidden_LND, random_state=3, embeddings=tmp_path / "alone", **given)
    several = cluster_layers(hidden_LND, random_state=3, n_jobs=2, embeddings=tmp_path / "several", **given)
    assert alone == several
    assert {row.seed for row in alone} == {3}
    assert alone != cluster_layers(hidden_LND, **given)
    one, other = (sorted((tmp_path / name).rglob("*.npz")) for name in ("alone", "several"))
    assert len(one) == 2
    for path, twin in zip(one, other, strict=True):
        np.testing.assert_array_equal(np.load(path)["coordinates_N3"], np.load(twin)["coordinates_N3"])


def test_clusters_are_found_where_they_are(hidden_LND, labels, train):
    rows = cluster_layers(hidden_LND, labels, train=train, jobs=NO_TSNE, neighbours=3, **FAST)
    for score, least in {"f1": 1, "ari": 1, "knn_percentage": 0.99, "tree_f1": 1, "across": 0.99}.items():
        first, last = named(rows, label="task", score=score, reducer="none")
        assert last >= least > first, score
    assert max(named(rows, label="shuffled_task", score="f1", reducer="none")) < 0.8
    assert {row.split for row in rows} == {"validation"}


@pytest.mark.parametrize("lacking", ["task", "distribution", "input", "output", "mapping", "mood of the day"])
def test_a_missing_label_switches_off_what_needs_it(lacking, hidden_LND, labels, train):
    """And nothing else: the other rows are the very same."""
    whole = cluster_layers(hidden_LND[:1], labels, train=train, jobs=NO_TSNE, **FAST)
    fewer = {name: values for name, values in labels.items() if name != lacking}
    rows = cluster_layers(hidden_LND[:1], fewer, train=train, jobs=JOBS, **FAST)
    rows = [row for row in rows if row.reducer != "tsne"]
    where = {(row.label, row.reducer, row.score): row for row in whole}
    assert all(where[row.label, row.reducer, row.score] == row or np.isnan(row.value) for row in rows)
    scores = {row.score for row in rows}
    lost = {row.score for row in whole} - scores
    expected = {
        "task": {"knn_", "across", "probe", "within"},
        "distribution": {"across", "probe"},
        "input": {"across_", "within"},
        "output": {"knn_accuracy"},
    }
    assert {next(start for start in expected[lacking] if name.startswith(start)) for name in lost} == expected.get(
        lacking, set()
    )


def test_without_a_training_set_all_instances_are_scored(hidden_LND, labels):
    rows = cluster_layers(hidden_LND[:1], labels, jobs=JOBS, **FAST)
    assert {row.split for row in rows} == {"training"}
    assert not [row for row in rows if row.score.startswith(("knn", "probe"))]
    assert {row.reducer for row in rows} == {"none", "tsne", "input_removed"}
    assert named(rows, label="task", score="across") and len(INSTRUMENTS) == 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_LND": np.zeros((2, 3))}, r"shapes \[\(3,\)\]"),
        ({"hidden_LND": {"a": np.zeros((48, 3)), "b": np.zeros((48, 2))}}, "it must be one"),
        ({"hidden_LND": np.full((1, 48, 3), np.nan)}, "layer '0' are not all finite"),
        ({"hidden_LND": {"a/b": np.zeros((48, 3))}}, "A layer has the name 'a/b'"),
        ({"labels": {}}, "There is no label"),
        ({"labels": {"task": np.zeros(47, int)}}, r"'task' has the shape \(47,\)"),
        ({"labels": {"task": np.zeros(48)}}, "the type float64"),
        ({"labels": {"file": np.zeros(48, int)}}, "A label has the name 'file'"),
        ({"labels": {"shuffled_task": np.zeros(48, int)}}, "as those of the nulls do"),
        ({"train": np.ones(48, bool)}, "train must be 48 booleans"),
        ({"train": np.arange(48)}, "train must be 48 booleans"),
        ({"train": None, "jobs": ("knn",)}, "'knn', which needs states that are held out"),
        ({"labels": {"a": np.arange(48) % 2}, "jobs": ("probe",)}, "the label 'task' and the label 'distribution'"),
        ({"jobs": ("umap",)}, "eval.jobs is"),
        ({"n_jobs": 0}, "n_jobs is 0"),
        ({"perplexity": 3}, "does not take such settings.*perplexity"),
        ({"labels": {"input": np.arange(48)}, "jobs": ("residual",)}, "needs every input in the training set"),
    ],
)
def test_what_does_not_fit_is_refused(changes, words, hidden_LND, labels, train):
    given = {"hidden_LND": hidden_LND, "labels": labels, "train": train, **FAST} | changes
    with pytest.raises(UserError, match=words):
        cluster_layers(given.pop("hidden_LND"), given.pop("labels"), **given)
