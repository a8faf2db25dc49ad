"""A file of hidden states through the command line: the rows of the library, a page, and it resumes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clusterlm_jax import cluster_layers, config
from clusterlm_jax.analysis.table import read_rows
from clusterlm_jax.experiments import stages
from clusterlm_jax.experiments.states import file, page
from clusterlm_jax.records import UserError
from clusterlm_jax.report.spec import ReportSpec
from clusterlm_jax.workdir import WorkDir
from tests.command_line import ROOT, environment

FAST = {"tsne_iterations": 250, "kmeans_restarts": 1, "null_draws": 2}


def example(name: str):
    """A script of the folder examples/, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def states(tmp_path_factory) -> Path:
    """The hidden states of a small random GPT-2 of PyTorch, as the example writes them."""
    pytest.importorskip("torch")
    path = tmp_path_factory.mktemp("states") / "gpt2.safetensors"
    example("pytorch_hidden_states").main([f"--into={path}"])
    return path


@pytest.fixture(scope="module")
def undisturbed(states, tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("undisturbed") / "gpt2"
    settings = [f"--config.eval.{name}={value}" for name, value in FAST.items()]
    settings += ["--config.eval.workers=2", "--config.report.formats=('png',)", f"--config.states={states}"]
    command = [sys.executable, "-m", "clusterlm_jax.main", "--config=configs/states.py", f"--workdir={workdir}"]
    ran = subprocess.run([*command, *settings], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "4 layers of 30 states of width 32; labels distribution, input, task\n" in ran.stdout
    return workdir


def run_again(workdir: Path, **changes) -> None:
    """In this process, with the settings of the run."""
    given = json.loads((workdir / "config.json").read_text()) | changes
    stages.run(config.build(config.config_dict.ConfigDict(given)), WorkDir(workdir))


@pytest.mark.slow
def test_the_rows_are_those_of_the_library(states, undisturbed):
    given = file.read(states)
    expected = cluster_layers(given.hidden, given.labels, train=given.train, progress=False, **FAST)
    found = read_rows(undisturbed / "scores.csv")
    assert sorted(map(repr, found)) == sorted(map(repr, expected))
    assert {row.reducer for row in found} == {"none", "tsne", "input_removed"}
    assert {"knn_percentage", "across_same_input", "probe_validation", "tree_f1"} < {row.score for row in found}


@pytest.mark.slow
def test_the_page_shows_them(undisturbed):
    html = (undisturbed / "report.html").read_text()
    assert "By task, the best F1 is" in html and "whole distributions shuffled" in html
    figures = {path.stem.removeprefix("figure_states_") for path in (undisturbed / "figures").glob("*.png")}
    assert figures == {"layers", "instruments", "scatter", "spread"}
    best = (undisturbed / "tables" / "table_best_layers.csv").read_text().splitlines()
    assert [line.split(",")[1] for line in best] == ["label", "task", "distribution", "input"]
    rows = {
        (row.layer, row.reducer): row.value
        for row in read_rows(undisturbed / "scores.csv")
        if (row.label, row.score) == ("task", "f1") and row.reducer != "input_removed"
    }
    assert float(best[1].split(",")[4]) == max(rows.values())
    assert best[1].split(",")[2] in {layer for (layer, _), value in rows.items() if value == max(rows.values())}


@pytest.mark.slow
def test_a_run_without_its_last_cells_reads_the_file_again(undisturbed, states, tmp_path):
    """As after a kill: the rows are the same in the end. Another file in its place is refused."""
    before = (undisturbed / "scores.csv").read_text().splitlines()
    (undisturbed / "scores.csv").write_text("\n".join(before[:-40]))
    run_again(undisturbed, stages=["read", "analyse"])
    assert sorted((undisturbed / "scores.csv").read_text().splitlines()) == sorted(before)
    run_again(undisturbed, states=str(states), stages=["read", "analyse"])  # all there: done at once
    whole = states.read_bytes()
    (undisturbed / "scores.csv").write_text("\n".join(before[:-40]))
    try:
        states.write_bytes(whole + b" ")
        with pytest.raises(UserError, match="is not the file this run began with"):
            run_again(undisturbed, stages=["read", "analyse"])
    finally:
        states.write_bytes(whole)
        (undisturbed / "scores.csv").write_text("\n".join(before) + "\n")


@pytest.mark.slow
def test_several_files_on_one_page(undisturbed, tmp_path):
    """One of them was never run; the figure over the layers has a line for each that was."""
    workdirs = {"first": undisturbed, "second": undisturbed, "none": tmp_path / "none"}
    made = page.compare(workdirs, tmp_path, ReportSpec(formats=("png",)))
    html = made.read_text()
    assert "first" in html and "second" in html and "There is no work directory" in html


LABELS = {"task": np.array(["a", "b"] * 10), "ours": np.arange(20) % 5}


def build(path: Path, **changes):
    given = config.default("states")
    given.update({"states": str(path), "eval": FAST | changes | {"workers": 1, "tsne_perplexity": 3.0}})
    given.report.formats = ("png",)
    return config.build(given)


def test_an_npz_with_names_of_layers_gives_a_page_of_its_own(tmp_path, rng):
    """Names that are no numbers, a label of another name, no training set: what lacks something is left out."""
    hidden_LND = rng.normal(size=(3, 20, 4)).astype(np.float16)
    layers = ["embed", "block_0.mlp", "block_1.mlp"]
    np.savez(tmp_path / "own.npz", hidden=hidden_LND, layers=layers, **LABELS)
    work = tmp_path / "run"
    stages.run(build(tmp_path / "own.npz", jobs=("raw", "geometry")), WorkDir(work))
    rows = read_rows(work / "scores.csv")
    assert {row.layer for row in rows} == set(layers) and {row.split for row in rows} == {"training"}
    assert {row.label for row in rows} == {"task", "ours", "shuffled_task", "shuffled_ours"}
    expected = cluster_layers(
        dict(zip(layers, hidden_LND, strict=True)), LABELS, jobs=("raw", "geometry"), progress=False, **FAST
    )
    assert sorted(map(repr, rows)) == sorted(map(repr, expected))
    html = (work / "report.html").read_text()
    assert "ours (5 values)" in html and "there are no t-SNE coordinates" in html


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"states": np.zeros((1, 4, 2))}, "must have an array 'hidden'"),
        ({"hidden": np.zeros((4, 2))}, r"it has the shape \(4, 2\)"),
        ({"hidden": np.zeros((2, 4, 2)), "layers": ["a"]}, "names 1 layers, but has the states of 2"),
        ({"hidden": np.zeros((2, 4, 2)), "layers": ["a", "a"]}, "names 1 layers"),
        ({"hidden": np.zeros((2, 4, 2)), "task": np.array([{}] * 4)}, "cannot be read as .npz"),
        ({"hidden": np.zeros((2, 4, 2))}, "There is no label"),
        ({"hidden": np.zeros((2, 4, 2)), "task": np.zeros((4, 2), int)}, r"'task' has the shape \(4, 2\)"),
    ],
)
def test_a_file_that_is_unfit_is_refused(arrays, words, tmp_path):
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(UserError, match=words):
        stages.run(build(tmp_path / "own.npz"), WorkDir(tmp_path / "run"))


@pytest.mark.parametrize("name", ["", "nothing.npz", "own.csv", "damaged.npz", "damaged.safetensors"])
def test_no_such_file_or_a_damaged_one(name, tmp_path):
    for there in ("own.csv", "damaged.npz", "damaged.safetensors"):
        (tmp_path / there).write_text("no")
    with pytest.raises(UserError, match="cannot be read as" if "damaged" in name else "must be a file that ends in"):
        stages.run(build(tmp_path / name if name else ""), WorkDir(tmp_path / "run"))


def test_labels_and_jobs_that_are_not_there_are_named(tmp_path):
    np.savez(tmp_path / "own.npz", hidden=np.zeros((1, 20, 4)), **LABELS)
    for changes, words in (
        ({"labels": ("tasks",)}, "eval.labels is \\('tasks',\\); the states come with: task, ours"),
        ({"jobs": ("probe",)}, "'probe', which needs the label 'distribution' and states that are held out"),
    ):
        with pytest.raises(UserError, match=words):
            stages.run(build(tmp_path / "own.npz", **changes), WorkDir(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="with one seed"):
        config.build(config.config_dict.ConfigDict(build(tmp_path / "own.npz").as_dict() | {"seeds": (0, 1)}))
