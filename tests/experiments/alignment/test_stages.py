"""The alignment experiment, end to end: killed and resumed, and compared with its own parts."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

import jax
import numpy as np
import pytest

from clusterlm_jax import config
from clusterlm_jax.data import storage
from clusterlm_jax.data.alignment import OTHERS, aligned
from clusterlm_jax.experiments import phases, stages
from clusterlm_jax.experiments.alignment.settings import Alignment
from clusterlm_jax.experiments.alignment.stages import fine_tunings, the_base
from clusterlm_jax.experiments.work import Work
from clusterlm_jax.models.heads import HEAD, untied
from clusterlm_jax.records import UserError
from clusterlm_jax.workdir import WorkDir
from tests import command_line
from tests.command_line import ROOT, SMALL, command, kill_when, lines, metrics

pytestmark = pytest.mark.slow
EPOCHS = 2
SETTINGS = {
    **{key: value for key, value in SMALL.items() if not key.startswith(("train.", "eval."))},
    "seeds": (0,),
    "data.hard_tasks": 0,
    "data.source_target_pairs": 2,
    "data.task_vocabulary_size": 12,
    "model.layers": 1,
    **{
        f"{section}.{key}": value
        for section in ("train", "finetune")
        for key, value in {"epochs": EPOCHS, "batch_size": 6, "learning_rate": 0.02}.items()
    },
    "switch.examples": (1, 2),
    "switch.steps": 20,
}
FLAGS = (f"--config={ROOT / 'configs' / 'alignment.py'}", *(f"--config.{k}={v}" for k, v in SETTINGS.items()))
STAGES = "--config.stages=('data', 'train', 'align')"
FINE_TUNED = 3 * (EPOCHS + 1)  # rows of the base model and both fine-tunings
LEARNT = [
    f"{kind}/{name}" for kind in ("linear_switch", "mlp_switch") for name in ("examples=1", "examples=2", "layer=1")
]
BASELINES = [
    "mean_switch/examples=1",
    "mean_switch/examples=2",
    "kmeans_switch/task",
    "kmeans_switch/distribution_mapping",
]
METHODS = ["direct", "head", *LEARNT, *BASELINES]


def run(workdir: Path, *flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return command_line.run(workdir, *FLAGS, *flags, small=False, **variables)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    workdir = tmp_path_factory.mktemp("alignment") / "run"
    result = run(workdir)
    assert result.returncode == 0, result.stderr
    assert f"The report is at {workdir}/report.html" in result.stdout
    return workdir


def rows(workdir: Path, run: str) -> list[dict]:
    return [row for row in map(json.loads, metrics(workdir).splitlines()) if row["run"] == run]


def tasks(workdir: Path) -> list[dict]:
    return list(map(json.loads, (workdir / "tasks.jsonl").read_text().splitlines()))


def test_killed_in_each_phase_and_resumed_it_equals_the_undisturbed_run(undisturbed, tmp_path):
    """In the base model's training, in a fine-tuning, and while the methods are measured."""
    workdir = tmp_path / "run"
    for done in (2, FINE_TUNED - 1, FINE_TUNED + 3):
        kill_when(
            command(workdir, *FLAGS, STAGES, small=False), lambda done=done: lines(workdir / "metrics.jsonl") >= done
        )
        assert metrics(workdir) != metrics(undisturbed)
    result = run(workdir, STAGES)
    assert result.returncode == 0, result.stderr
    assert metrics(workdir) == metrics(undisturbed)
    assert tasks(workdir) == tasks(undisturbed)


def test_the_job_leaves_what_it_should(undisturbed):
    names = {path.name for path in undisturbed.iterdir()}
    assert {"config.json", "env.json", "run.json", "metrics.jsonl", "tasks.jsonl", "figures", "report.html"} <= names
    found = [json.loads(line)["run"] for line in metrics(undisturbed).splitlines()]
    trained = ("base", "direct/finetune", "head/finetune")
    assert found == [*(name for name in trained for _ in range(EPOCHS + 1)), *METHODS]
    figures = {path.stem for path in (undisturbed / "figures").glob("*.png")}
    assert figures == {"figure_table_11", "figure_fine_tuning", "figure_tasks", "figure_examples", "figure_layers"}
    assert {path.stem for path in (undisturbed / "tables").glob("*.md")} >= {"table_11", "table_layers"}
    page = (undisturbed / "report.html").read_text()
    assert page.count("Not run") == page.count("Not run: there are no other tasks"), (
        "so few tasks share all their inputs"
    )


def test_the_report_alone_redraws_without_a_device(undisturbed):
    page = (undisturbed / "report.html").read_bytes()
    (undisturbed / "report.html").unlink()
    result = run(undisturbed, "--config.stages=('report',)", JAX_PLATFORMS="no_such_platform")  # asking would fail
    assert result.returncode == 0, result.stderr
    assert len((undisturbed / "report.html").read_bytes()) == pytest.approx(len(page), rel=0.01)


def test_metrics_are_those_of_the_counts_by_task(undisturbed):
    dataset = aligned(storage.load(WorkDir(undisturbed).dataset(0)))
    task_N, validation, others = dataset.labels["task"], dataset.splits["validation"], dataset.splits[OTHERS]
    sources = set(task_N[validation].tolist())
    before = sum(t["correct"] for t in tasks(undisturbed) if t["run"] == "base" and t["role"] != "source") / len(others)
    for name in METHODS:
        (row,) = rows(undisturbed, name)
        of_method = [task for task in tasks(undisturbed) if task["run"] == name]
        assert {t["task"]: t["instances"] for t in of_method} == {
            task: int((task_N[np.concatenate([validation, others])] == task).sum())
            for task in {t["task"] for t in of_method}
        }
        assert {t["task"] for t in of_method if t["role"] == "source"} == sources
        right = {
            of_source: sum(t["correct"] for t in of_method if (t["role"] == "source") == of_source)
            for of_source in (True, False)
        }
        assert row["source_accuracy"] == pytest.approx(right[True] / len(validation))
        assert row["others_accuracy"] == pytest.approx(right[False] / len(others))
        assert row["accuracy_drop"] == pytest.approx(before - right[False] / len(others))
        assert ("switch_recall" in row) == ("switch" in name)


def test_fine_tuned_models_are_measured_at_their_chosen_epochs(undisturbed):
    """The training loop and the measuring of methods read the same accuracies by different code."""
    best = json.loads((undisturbed / "run.json").read_text())["phases"]
    for name in ("direct", "head"):
        (row,) = rows(undisturbed, name)
        at_epoch = rows(undisturbed, f"{name}/finetune")
        earliest = max(at_epoch, key=lambda r: (r["validation_accuracy"], -r["epoch"]))
        assert best[f"{name}/finetune"]["best"]["0"]["epoch"] == row["epoch"] == earliest["epoch"]
        assert row["source_accuracy"] == pytest.approx(earliest["validation_accuracy"])
        assert row["others_accuracy"] == pytest.approx(earliest["others_accuracy"])
        assert row["accuracy_drop"] == pytest.approx(at_epoch[0]["others_accuracy"] - earliest["others_accuracy"])
    assert rows(undisturbed, "direct/finetune")[0].items() >= {"epoch": 0, "step": 0}.items()


@pytest.fixture(scope="module")
def settings() -> Alignment:
    raw = config.default("alignment")
    with raw.unlocked():
        raw.update_from_flattened_dict(SETTINGS)
    return config.build(raw)


def test_head_tuning_changed_the_head_and_nothing_else(undisturbed, settings):
    """Of the parameters on the disk: those of the base model's best epoch, bit by bit, but for the head."""
    with Work(settings, WorkDir(undisturbed)) as work:
        base = the_base(settings, work)
        start = untied(phases.best_params(base, work.dir))
        _, tuned = fine_tunings(settings, base, start)
        params = phases.best_params(tuned, work.dir)
    equal = jax.tree.map(lambda a, b: bool(np.array_equal(a, b)), start, params)
    assert not equal.pop(HEAD)
    assert all(jax.tree.leaves(equal))


def test_a_switch_forgets_only_where_it_is_on(undisturbed):
    """Instances it leaves off are answered by the base model: no task loses more answers than were switched on."""
    base = {t["task"]: t["correct"] for t in tasks(undisturbed) if t["run"] == "base"}
    for task in tasks(undisturbed):
        if "switch" in task["run"]:
            assert abs(base[task["task"]] - task["correct"]) <= task["switched_on"]
        else:
            assert task["switched_on"] == 0


def test_stages_whose_earlier_ones_are_missing_are_refused(settings, tmp_path):
    def refused(stage: str, needed: str) -> None:
        with pytest.raises(UserError, match=f"The stage '{stage}' needs what '{needed}' leaves"):
            stages.run(dataclasses.replace(settings, stages=(stage, "report")), WorkDir(tmp_path))

    refused("train", "data")
    refused("report", "data")
    (WorkDir(tmp_path).dataset(0)).mkdir(parents=True)
    (WorkDir(tmp_path).dataset(0) / storage.FILE).touch()
    refused("align", "train")
    (tmp_path / "metrics.jsonl").write_text(
        json.dumps({"run": "base", "seed": 0, "epoch": EPOCHS - 1, "step": 1}) + "\n"
    )
    refused("align", "train")


def test_the_report_needs_the_data_alone(settings, tmp_path):
    """It shows as much as there is of a run that is still training."""
    (WorkDir(tmp_path).dataset(0)).mkdir(parents=True)
    (WorkDir(tmp_path).dataset(0) / storage.FILE).touch()
    stages.run(dataclasses.replace(settings, stages=("report",)), WorkDir(tmp_path))
    assert "Not run" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"data.source_target_pairs": 0}, "data.source_target_pairs is 0; it must be at least 1 and below"),
        ({"data.source_target_pairs": 3}, "below data.validation_tasks = 3"),
        ({"switch.layer": "2"}, "switch.layer is '2'; allowed: 0, 1, final_norm"),
        ({"switch.examples": (1, 1)}, "switch.examples is"),
        ({"switch.steps": 0}, "switch.steps is 0"),
        ({"finetune.epochs": 0}, "finetune.epochs is 0"),
        ({"finetune.batch_size": 1000}, "finetune.batch_size is 1000, but there are at most"),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(changed, sentence):
    raw = config.default("alignment")
    with raw.unlocked():
        raw.update_from_flattened_dict(SETTINGS | changed)
    with pytest.raises(UserError, match=sentence):
        config.build(raw)
